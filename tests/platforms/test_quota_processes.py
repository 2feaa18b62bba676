"""Twelve processes at a limit of one hundred get exactly one hundred, on a database of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROCESSES, REQUESTS, LIMIT = 12, 40, 100

pytestmark = pytest.mark.timeout(600)


def crowd(database_url: str) -> list[int]:
    """What the processes counted: granted, reserved, used, reservations."""
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "remosa.settings",
        "DEBUG": "true", "LOG_LEVEL": "ERROR", "DATABASE_URL": database_url,
    }  # fmt: skip
    script = str(ROOT / "tests" / "platforms" / "quota_child.py")
    done = subprocess.run(
        [sys.executable, script, str(PROCESSES), str(REQUESTS), str(LIMIT)], env=env, cwd=ROOT, capture_output=True,
        text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def check(name: str, database_url: str, figure: Callable[[str, str], None]) -> None:
    granted, reserved, used, rows = crowd(database_url)

    asked = f"{PROCESSES} processes, {PROCESSES * REQUESTS} requests twice each, limit {LIMIT}"
    figure(f"limit on {name}", f"{asked}: {granted} granted")
    assert (granted, reserved + used, rows) == (LIMIT, LIMIT, LIMIT)
    assert used > 0


def test_twelve_processes_get_exactly_the_limit_on_sqlite(
    tmp_path: Path, migrated_sqlite: Path, figure: Callable[[str, str], None]
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "crowd.sqlite3")
    check("SQLite", f"sqlite:///{tmp_path / 'crowd.sqlite3'}", figure)


def test_twelve_processes_get_exactly_the_limit_on_postgresql(
    migrated_postgres_url: str, figure: Callable[[str, str], None]
) -> None:
    check("PostgreSQL", migrated_postgres_url, figure)
