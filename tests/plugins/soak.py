"""Tests marked ``soak`` run only with ``SOAK=1`` (`make soak`), whatever else was selected."""

import os

import pytest


def soaking() -> bool:
    """Whether this run takes the time for the long forms."""
    return os.environ.get("SOAK", "") == "1"


@pytest.hookimpl(tryfirst=True)  # before ``-m soak`` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if soaking():
        for item in items:
            if "is_soak" in getattr(item, "fixturenames", ()):
                item.add_marker("soak")
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def is_soak() -> bool:
    """For a test whose one body has a short and a long form."""
    return soaking()
