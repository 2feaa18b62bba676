"""The plugins, seen from outside: a little suite of its own in a child pytest with two workers."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import os
import pytest
from django.db import connection

@pytest.mark.django_db
@pytest.mark.parametrize("number", range(4))
def test_database(number, figure):
    with connection.cursor() as cursor:
        cursor.execute("SELECT upper('remosa')")
        assert cursor.fetchone() == ("REMOSA",)
    figure(f"worker {number}", f"{connection.vendor}, DATABASE_URL starts {os.environ['DATABASE_URL'][:8]}")
    figure("said by all", "once")

@pytest.mark.soak
def test_long(figure):
    figure("soak", "ran")
"""

SETTINGS = """
import environ
SECRET_KEY = "only for this suite"
DATABASES = {"default": environ.Env().db_url("DATABASE_URL")}
INSTALLED_APPS = []
USE_TZ = True
"""

CONFIGURATION = """
[pytest]
DJANGO_SETTINGS_MODULE = little_settings
addopts =
    -p xdist.plugin -p pytest_django.plugin
    -p tests.plugins.postgres -p tests.plugins.figures -p tests.plugins.soak
markers =
    soak: long
"""


@pytest.fixture
def run_suite(tmp_path: Path):
    """Run the little suite with ``arguments``; the finished process."""
    (tmp_path / "test_little.py").write_text(SUITE)
    (tmp_path / "little_settings.py").write_text(SETTINGS)
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path,
            env={
                **inherited,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # what else is installed takes long to load
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def test_figures_of_both_runs_are_printed_by_the_second(run_suite, postgres_server_url: str, tmp_path: Path):
    first = run_suite(FIGURES_FILE=str(tmp_path / "figures.jsonl"))

    second = run_suite("--database=postgresql", FIGURES_FILE=str(tmp_path / "figures.jsonl"))

    assert "4 passed" in first.stdout
    assert "4 passed" in second.stdout
    printed = second.stdout.partition(" figures ")[2].splitlines()
    assert "worker 3: sqlite, DATABASE_URL starts sqlite:/" in printed
    assert "worker 3: postgresql, DATABASE_URL starts postgres (postgresql)" in printed
    assert printed.count("said by all: once") == 1


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A temporary directory that the server's user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)  # noqa: S103  it holds nothing but the cluster, which is private
        yield Path(name)


def test_a_run_on_postgresql_leaves_nothing_behind(run_suite, postgres_server_url: str, open_directory: Path):
    run = run_suite("--database=postgresql", TMPDIR=str(open_directory))

    assert "4 passed" in run.stdout
    assert [*open_directory.glob("pg-*"), *open_directory.glob("figures-*")] == []
    assert [line for line in _command_lines() if f"{open_directory}/pg-" in line] == []


def test_the_shell_s_database_is_never_touched(run_suite, postgres_url: str):
    run = run_suite(DATABASE_URL=postgres_url)

    assert "worker 0: sqlite" in run.stdout
    with psycopg.connect(postgres_url.rpartition("/")[0] + "/postgres") as connection:
        names = [name for (name,) in connection.execute("SELECT datname FROM pg_database")]
    assert [name for name in names if name.startswith("test_")] == []


def test_a_missing_postgresql_skips_loudly_and_fails_in_ci(run_suite, tmp_path: Path):
    nowhere = {"PATH": str(tmp_path), "TEST_POSTGRES_BIN": str(tmp_path)}

    elsewhere = run_suite("--database=postgresql", **nowhere)
    in_ci = run_suite("--database=postgresql", CI="true", **nowhere)

    assert elsewhere.returncode == 0
    assert "apt-get install postgresql" in elsewhere.stdout
    assert " passed" not in elsewhere.stdout
    assert in_ci.returncode == pytest.ExitCode.USAGE_ERROR
    assert "apt-get install postgresql" in in_ci.stderr


@pytest.mark.parametrize(("soak", "runs"), [("0", False), ("1", True)])
def test_soak_tests_run_only_when_asked_for(run_suite, soak: str, runs: bool):
    run = run_suite("-k", "test_long", SOAK=soak)

    assert ("soak: ran" in run.stdout) is runs


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return lines
