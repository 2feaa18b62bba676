"""Figures: what the tests counted, printed after the run as ``name: text`` lines.

A test hands its finding to the ``figure`` fixture. The lines go through a file, so they arrive from
xdist's workers, and with ``FIGURES_FILE`` set several runs share one summary: `make test` prints
the figures of both of its runs at the end of the second.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = "FIGURES_FILE"

_own_file = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if FILE not in os.environ:  # a worker inherits the controller's
        handle, path = tempfile.mkstemp(prefix="figures-", suffix=".jsonl")
        os.close(handle)
        config.stash[_own_file] = Path(path)
        os.environ[FILE] = path


def pytest_unconfigure(config: pytest.Config) -> None:
    if own := config.stash.get(_own_file, None):
        own.unlink(missing_ok=True)
        os.environ.pop(FILE, None)


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """``figure("isolation", "312 combinations, 0 leaks")`` adds that line to the summary."""
    suffix = "" if pytestconfig.getoption("database", "sqlite") == "sqlite" else " (postgresql)"

    def add(name: str, text: str) -> None:
        line = json.dumps({"name": name, "text": text + suffix}, ensure_ascii=False) + "\n"
        target = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(target, line.encode())  # one write: workers do not cut each other's lines
        finally:
            os.close(target)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = read(Path(os.environ[FILE]))
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


def read(path: Path) -> list[str]:
    """The ``name: text`` lines of a figures file, each once, sorted."""
    if not path.is_file():
        return []
    entries = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return sorted({f"{entry['name']}: {entry['text']}" for entry in entries})
