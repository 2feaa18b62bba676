"""A database with every table is made once in a run, by the real migrations; whoever needs one gets a copy.

``migrated_sqlite`` is a file to copy; ``migrated_postgres_url`` a new database for one test and its processes.
The tests' own database is such a copy too.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.plugins.postgres import SERVER_URL
from tests.servers.postgres import new_database

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder that all processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def migrated_sqlite(run_folder: Path) -> Path:
    """A SQLite file with every table, to be copied."""
    file = run_folder / "migrated.sqlite3"
    with one_at_a_time(run_folder):
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            migrate(f"sqlite:///{unfinished}")
            unfinished.rename(file)
    return file


@pytest.fixture
def migrated_postgres_url(postgres_server_url: str, run_folder: Path) -> Iterator[str]:
    """The URL of a new database with every table, for one test and the processes that it starts."""
    template = migrated_template(postgres_server_url, run_folder)
    with new_database(postgres_server_url, f"t_{uuid.uuid4().hex}", template=template) as url:
        yield url


@pytest.fixture(scope="session")
def copied_test_database(
    request: pytest.FixtureRequest, django_db_modify_db_settings: None, run_folder: Path
) -> Iterator[None]:
    """The tests' own database, ready before Django looks for it; gone after the run unless --reuse-db."""
    from django.conf import settings

    if request.config.getoption("create_db"):
        yield
        return
    keep, database = request.config.getoption("reuse_db"), settings.DATABASES["default"]
    if SERVER_URL in os.environ:
        server, name = os.environ[SERVER_URL], database["TEST"].get("NAME") or f"test_{database['NAME']}"
        with new_database(server, name, template=migrated_template(server, run_folder)):
            yield
        return
    file = Path(database["TEST"]["NAME"])
    if not (keep and file.exists()):
        remove(file)
        shutil.copy(request.getfixturevalue("migrated_sqlite"), file)
    yield
    if not keep:
        remove(file)


def migrated_template(server_url: str, run_folder: Path) -> str:
    """The name of a database with every table on that server; nobody is connected to it."""
    with one_at_a_time(run_folder), psycopg.connect(server_url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
        if not found:
            unfinished = f"{TEMPLATE}_unfinished"
            with new_database(server_url, unfinished) as url:
                migrate(url)
                connection.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                        sql.Identifier(unfinished), sql.Identifier(TEMPLATE)
                    )
                )
    return TEMPLATE


def migrate(database_url: str) -> None:
    """What ``manage.py migrate`` makes of an empty database."""
    env = {"PATH": os.environ["PATH"], "DEBUG": "true", "LOG_LEVEL": "ERROR", "DATABASE_URL": database_url}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        where = urlsplit(database_url).path
        raise RuntimeError(f"migrating {where} failed:\n{done.stderr}")


def remove(file: Path) -> None:
    """The database file and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """The processes of a run take turns."""
    with (folder / "migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
