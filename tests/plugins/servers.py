"""Fixtures over ``tests.servers``: child processes, Prometheus, Chromium."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.alertmanager import Alertmanager, start_alertmanager
from tests.servers.availability import ServerMissing, skip_or_fail
from tests.servers.chromium import Page, open_browser
from tests.servers.prometheus import Prometheus, promtool, start_prometheus


@pytest.fixture
def start_child(tmp_path: Path) -> Iterator[Callable[..., process.Child]]:
    """``start_child(argv, env=…)`` as ``process.start``, its log in ``tmp_path``; ended with the test."""
    children: list[process.Child] = []

    def start(argv: list[str | Path], **options) -> process.Child:
        options.setdefault("log", tmp_path / f"child-{len(children)}.log")
        children.append(process.start(argv, **options))
        return children[-1]

    yield start
    for child in reversed(children):
        child.stop()


@pytest.fixture
def run_prometheus(tmp_path: Path) -> Iterator[Callable[[Mapping], Prometheus]]:
    """``run_prometheus(config)`` starts a real Prometheus with that configuration; ended with the test."""
    with ExitStack() as servers:

        def run(config: Mapping) -> Prometheus:
            try:
                server = start_prometheus(config)
            except ServerMissing as missing:
                skip_or_fail(missing)
            servers.callback(server.stop)
            return server

        yield run


@pytest.fixture
def run_alertmanager() -> Iterator[Callable[[str], Alertmanager]]:
    """``run_alertmanager(config)`` starts a real Alertmanager with that file; ended with the test."""
    with ExitStack() as servers:

        def run(config: str) -> Alertmanager:
            try:
                server = start_alertmanager(config)
            except ServerMissing as missing:
                skip_or_fail(missing)
            servers.callback(server.stop)
            return server

        yield run


@pytest.fixture(scope="session")
def run_promtool() -> Callable[..., str]:
    """``run_promtool("check", "metrics", stdin=text)``: see ``promtool``; skipped where it is missing."""

    def run(*args: str, stdin: str = "") -> str:
        try:
            return promtool(*args, stdin=stdin)
        except ServerMissing as missing:
            skip_or_fail(missing)
            raise  # skip_or_fail has raised already

    return run


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page of a new headless Chromium.

    Playwright keeps an event loop in this thread while the browser is open, so Django would refuse
    the ORM here; the test's own queries are sequential, and it says so. For the same reason the
    browser lives for one test only: a loop left behind would break ``asyncio.run`` in the next.
    """
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    try:
        with open_browser() as browser:
            yield browser.new_page(locale="ru-RU", viewport={"width": 1280, "height": 800})
    except ServerMissing as missing:
        skip_or_fail(missing)
