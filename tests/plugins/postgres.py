"""``pytest --database=postgresql``: the same tests on a throw-away PostgreSQL.

The controller starts the server before Django reads its settings and names it in ``DATABASE_URL``,
which the xdist workers inherit; it stops the server when the run ends. Tests that run child
processes against PostgreSQL while the suite itself is on SQLite ask for ``postgres_url``.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.servers.availability import ServerMissing, in_ci, skip_or_fail
from tests.servers.postgres import PostgresServer, new_database, start_postgres, throwaway_postgres

SERVER_URL = "TEST_POSTGRES_URL"  # set by the controller, read by the workers
# Set outright: neither the shell's nor .env's database is ever touched. A file, and one that cannot be:
# settings.TEST names the real one, and of a database in memory the live server would share the connection.
NOWHERE = "sqlite:////nonexistent/only-the-test-database-exists.sqlite3"

_server = pytest.StashKey[PostgresServer]()
_missing = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="the database that the tests run on (default: sqlite)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Point DATABASE_URL at the chosen database; Django's settings are read after this."""
    options = early_config.known_args_namespace
    if options.database == "sqlite":
        os.environ["DATABASE_URL"] = NOWHERE
        return
    if SERVER_URL not in os.environ and not (options.help or options.version or options.collectonly):
        try:
            early_config.stash[_server] = server = start_postgres()
        except ServerMissing as missing:
            if in_ci():
                raise pytest.UsageError(f"--database=postgresql: {missing}") from missing
            early_config.stash[_missing] = str(missing)
            os.environ["DATABASE_URL"] = NOWHERE
            return
        early_config.add_cleanup(server.stop)
        os.environ[SERVER_URL] = server.url
    if SERVER_URL in os.environ:
        os.environ["DATABASE_URL"] = os.environ[SERVER_URL]


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_server, None):
        os.environ.pop(SERVER_URL, None)
        os.environ.pop("DATABASE_URL", None)


def pytest_report_header(config: pytest.Config) -> str:
    if reason := config.stash.get(_missing, None):
        return f"database: NONE, every test is skipped: {reason}"
    return f"database: {config.getoption('database')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if reason := config.stash.get(_missing, None):
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """The URL of a running PostgreSQL (superuser): the run's own, else one started for this worker."""
    if SERVER_URL in os.environ:
        yield os.environ[SERVER_URL]
        return
    try:
        with throwaway_postgres() as server:
            yield server.url
    except ServerMissing as missing:
        skip_or_fail(missing)


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """The URL of a new, empty database for one test and the processes that it starts."""
    with new_database(postgres_server_url, f"t_{uuid.uuid4().hex}") as url:
        yield url
