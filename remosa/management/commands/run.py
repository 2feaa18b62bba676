"""``manage.py run``: the whole product on this machine, until Ctrl-C.

Prepares the database, the static files and the first administrator, then keeps the processes of
the Procfile (and, with ``DEMO`` on, the simulator) running under one supervisor. Standard output
carries exactly one line, the address to open; complaints go to standard error, the rest to
``var/log``.
"""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from remosa.demo import ensure_admin
from remosa.lib.http import HttpFailure, request
from remosa.localenv import DEMO_MINUTE_S, PortError, admin_password, demo_is_on, port_from_env
from remosa.ports import is_free, kept_port
from remosa.supervisor import Program, Supervisor

ADMIN = "admin"
SIMULATOR_PORT = 8100
WEB_THREADS = 4
MANAGE = [sys.executable, "manage.py"]


class Command(BaseCommand):
    help = "Run REMOSA on this machine: console, worker, outbox, poller and (DEMO=1) the simulator."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            port = port_from_env()
        except PortError as exc:
            raise CommandError(str(exc)) from exc
        var = Path(settings.BASE_DIR) / "var"
        (var / "log").mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_free(port):
            raise CommandError(
                f"Port {port} of 127.0.0.1 is in use. Stop what listens there, or choose another: PORT=8001 make run"
            )
        with only_one(var / "run.lock"):
            try:
                simulator_port = prepare(var, port=port, demo=demo_is_on())
            except KeyboardInterrupt:
                return  # nothing has been started yet, and a next start carries on
            code = self._supervise(var / "log", port=port, simulator_port=simulator_port)
        if code:
            sys.exit(code)

    def _supervise(self, log_dir: Path, *, port: int, simulator_port: int | None) -> int:
        supervisor = Supervisor(
            programs(port=port, simulator_port=simulator_port), log_dir=log_dir, mark=uuid4().hex
        )
        return supervisor.run(
            is_ready=lambda: answers(f"http://127.0.0.1:{port}/healthz"),
            on_ready=lambda: self._announce(port),
        )

    def _announce(self, port: int) -> None:
        self.stdout.write(f"REMOSA http://127.0.0.1:{port}/ login: {ADMIN} password: {password_to_show()}")
        self.stdout.flush()
        connections.close_all()  # the supervisor has no further use for the database


def programs(*, port: int, simulator_port: int | None) -> list[Program]:
    """What runs, the console first; the simulator only when it has a port."""
    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    web += ["--workers", "1", "--blocking-threads", str(WEB_THREADS), "--no-ws", "remosa.wsgi:application"]
    wanted = [
        Program("web", web),
        Program("worker", [*MANAGE, "qcluster"]),
        Program("outbox", [*MANAGE, "outbox"]),
        Program("poller", [*MANAGE, "poll"]),
    ]
    if simulator_port is not None:
        simulator = [*MANAGE, "simulator", "--minute", f"{DEMO_MINUTE_S:g}s", "--port", str(simulator_port)]
        # another story on every start, or the same player would be hung by each restart
        wanted.append(Program("simulator", [*simulator, "--seed", str(int(time.time()))]))
    return wanted


def prepare(var: Path, *, port: int, demo: bool) -> int | None:
    """Bring database, static files and accounts up to date; the simulator's port when there is a demo.

    Safe to repeat: a second start keeps everything.
    """
    with (var / "log" / "setup.log").open("a", encoding="utf-8") as log:
        call_command("migrate", interactive=False, stdout=log, stderr=log)
        collect_static(log)
        ensure_admin(admin_password(Path(settings.BASE_DIR)))
        simulator_port = None
        if demo:
            simulator_port = kept_port(var / "simulator.port", preferred=SIMULATOR_PORT, avoid=port)
            url = f"http://127.0.0.1:{simulator_port}"
            call_command("seed_demo", simulator_url=url, minute=DEMO_MINUTE_S, stdout=log, stderr=log)
    connections.close_all()
    return simulator_port


def collect_static(log: TextIO) -> None:
    """Gather static files when anything that feeds them has changed since the last time."""
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    now = static_fingerprint()
    if stamp.exists() and stamp.read_text(encoding="ascii") == now:
        return
    if sys.stderr.isatty():
        print("Preparing the static files, about half a minute…", file=sys.stderr, flush=True)
    call_command("collectstatic", interactive=False, verbosity=0, stdout=log, stderr=log)
    stamp.write_text(now, encoding="ascii")


def static_fingerprint() -> str:
    """Changes with the pinned packages and with our own static files."""
    base = Path(settings.BASE_DIR)
    digest = hashlib.sha256()
    for root in (base / "requirements.txt", *map(Path, settings.STATICFILES_DIRS)):
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                digest.update(
                    f"{path.relative_to(base)} {path.stat().st_mtime_ns} {path.stat().st_size}\n".encode()
                )
    return digest.hexdigest()


def password_to_show() -> str:
    """The generated password while it is still the right one."""
    password = admin_password(Path(settings.BASE_DIR))
    user = get_user_model()._default_manager.filter(username=ADMIN).first()
    return (
        password if user is not None and user.check_password(password) else "(changed since the first start)"
    )


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within a moment."""
    try:
        return request("GET", url, deadline_s=2.0).status == 200
    except HttpFailure:
        return False


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the run lock of this directory: two runs would share one database and one outbox."""
    with path.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise CommandError(
                f"REMOSA already runs from this directory (process {lock.read().strip()})."
            ) from exc
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
