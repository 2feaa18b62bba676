"""A throw-away PostgreSQL: its own cluster in a temporary directory, on a free loopback port.

The durability settings are the defaults (fsync stays on): the kill tests mean what they say.
PostgreSQL refuses to run as root; root starts it as ``postgres`` or ``nobody``.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.servers import process
from tests.servers.availability import find_program
from tests.servers.ports import free_port

ROLE = "remosa"
START_TRIES = 3  # another program may take the port before the server does


class PostgresServer:
    """One running cluster. ``url`` names its database ``remosa``, owned by a superuser of that name."""

    def __init__(
        self, *, directory: Path, port: int, password: str, launch: Callable[[], process.Child]
    ) -> None:
        self.directory = directory
        self.port = port
        self.launch = launch
        self.child = launch()
        self.url = f"postgres://{ROLE}:{password}@127.0.0.1:{port}/{ROLE}"
        self.admin_url = f"postgres://{ROLE}:{password}@127.0.0.1:{port}/postgres"

    def is_ready(self) -> bool:
        """Whether it takes connections; RuntimeError when it has ended."""
        if not self.child.is_running:
            raise RuntimeError(f"PostgreSQL ended while starting:\n{self.child.output()}")
        try:
            with psycopg.connect(self.admin_url, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def interrupt(self) -> None:
        """End the server as a restart of its machine does; ``resume`` brings it back with all its data."""
        self.child.stop(signum=signal.SIGINT, grace_s=30)

    def crash(self) -> None:
        """Stop at once, without a word to anybody: what was not committed is gone. ``resume`` recovers."""
        self.child.stop(signum=signal.SIGQUIT, grace_s=30)

    def resume(self) -> None:
        """Start it again on the same port."""
        self.child = self.launch()
        process.wait_until(self.is_ready, deadline_s=60, what="PostgreSQL")

    def stop(self) -> None:
        """End the server (fast shutdown) and remove the cluster."""
        self.child.stop(signum=signal.SIGINT, grace_s=30)
        shutil.rmtree(self.directory, ignore_errors=True)


def start_postgres() -> PostgresServer:
    """Start a new cluster and wait until it accepts queries; ServerMissing where none is installed."""
    home = os.environ.get(
        "TEST_POSTGRES_BIN", "/usr/lib/postgresql/*/bin"
    )  # a directory, to choose a version
    postgres = find_program("postgres", f"{home}/postgres", package="postgresql")
    user = _unprivileged_user()
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    password = secrets.token_hex(16)
    try:
        _initialise(postgres.with_name("initdb"), directory, password=password, user=user)
        server = _launch(postgres, directory, password=password, user=user)
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(ROLE)))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return server


@contextmanager
def throwaway_postgres() -> Iterator[PostgresServer]:
    """A server for the length of a ``with`` block."""
    server = start_postgres()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def new_database(server_url: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """Create the database ``name`` on the server of ``server_url``, yield its URL, drop it again."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _unprivileged_user() -> str | None:
    """Who runs the server; None means "whoever we are"."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _initialise(initdb: Path, directory: Path, *, password: str, user: str | None) -> None:
    password_file = directory / "password"
    password_file.write_text(password)
    if user:
        group = pwd.getpwnam(user).pw_gid
        for path in (directory, password_file):
            os.chown(path, pwd.getpwnam(user).pw_uid, group)
    access = ["-U", ROLE, "-A", "scram-sha-256", f"--pwfile={password_file}"]
    subprocess.run(
        [initdb, "-D", directory / "data", *access, "--encoding=UTF8", "--locale=C.UTF-8"],
        check=True,
        capture_output=True,
        cwd=directory,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
    )
    password_file.unlink()


def _launch(postgres: Path, directory: Path, *, password: str, user: str | None) -> PostgresServer:
    """Start the server and wait for it; try another port where somebody was quicker."""
    for try_number in range(1, START_TRIES + 1):
        port = free_port()
        place = ["-D", directory / "data", "-p", str(port), "-k", directory]
        launch = partial(
            process.start,
            [postgres, *place, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"],
            log=directory / "log",
            cwd=directory,
            user=user,
            dies_with_us=signal.SIGINT,
        )
        server = PostgresServer(directory=directory, port=port, password=password, launch=launch)
        try:
            process.wait_until(server.is_ready, deadline_s=60, what="PostgreSQL")
        except BaseException as exc:
            server.child.stop(signum=signal.SIGINT)
            if try_number == START_TRIES or not isinstance(exc, RuntimeError):
                raise
        else:
            break
    return server
