"""What O1 and O2 share: the outbox, a bare SKIP LOCKED loop and django-q2, each in processes of its own.

Each tells the moment at which it would send by one datagram to the benchmark: the key and its monotonic
time, which is one clock for all processes of a machine.

    python -m bench._outbox outbox|skip_locked URL      started by ``Started``
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from bench.harness import NotRun

CHANNEL = "bench_bare"
TARGET = "BENCH_TARGET"
PATIENCE_S = 120.0


def note(key: str) -> None:
    """Say now. Also the whole of a task of django-q2."""
    now = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(json.dumps([key, now]).encode(), ("127.0.0.1", int(os.environ[TARGET])))


class Ear:
    """Hears the datagrams of all; ``ear.env`` tells children where it is."""

    def __init__(self) -> None:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 0))
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        os.environ[TARGET] = str(self._line.getsockname()[1])

    def hear(self, count: int) -> dict[str, float]:
        """{key: when} of the next ``count`` that were sent."""
        heard: dict[str, float] = {}
        ends = time.monotonic() + PATIENCE_S
        while len(heard) < count:
            if not select.select([self._line], [], [], max(0.0, ends - time.monotonic()))[0]:
                raise NotRun(f"only {len(heard)} of {count} arrived")
            key, at = json.loads(self._line.recv(4096))
            heard[key] = at
        return heard


@contextmanager
def started(*argv: str, says: str = "") -> Iterator[subprocess.Popen[str]]:
    """A program for the length of the block; waits until it has said ``says``."""
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        [sys.executable, *argv],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        while says and says not in (line := child.stdout.readline() if child.stdout else ""):
            if not line:
                raise NotRun(f"{argv} ended before it was ready")
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a queue may forget to end
            child.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()


def outbox() -> Any:
    """The real outbox, with a gateway that notes when it would send its first byte."""
    return started("-m", "bench._outbox", "outbox", says="outbox: started")


def queue() -> Any:
    """django-q2 as this project sets it: ORM broker, poll 0.2 s, two workers, successes not stored."""
    return started("manage.py", "qcluster")


def skip_locked(url: str) -> Any:
    """The least that a queue in PostgreSQL can be: claim and barrier committed, no Django, no guards."""
    return started("-m", "bench._outbox", "skip_locked", url, says="ready")


# --- asking ------------------------------------------------------------------------------------------
def prepare() -> Any:
    """A platform with one gateway that is never the bottleneck."""
    from platforms.services import create_platform
    from sms import bell
    from sms.models import Gateway

    bell.later = lambda *_arguments: None  # the queue's own wake-up is the peer here, not a helper
    platform = create_platform(name="bench", sms_limit=10_000_000)
    Gateway.objects.create(platform=platform, name="bench", kind="bench", rate_per_minute=100_000_000)
    return platform


def ask_outbox(platform: Any) -> str:
    """One SMS, committed when this returns; its key at the gateway."""
    from remosa.lib.clock import utcnow
    from sms.services import enqueue

    key = str(uuid.uuid4())
    row = enqueue(
        platform=platform, to="+79161234567", body="#01#", purpose="notice", dedupe_key=key, now=utcnow(),
    )  # fmt: skip
    return str(row.pk)


def ask_queue() -> str:
    from django_q.tasks import async_task

    key = str(uuid.uuid4())
    async_task("bench._outbox.note", key)
    return key


def ask_bare(line: Any) -> str:
    """One row and its bell, in one transaction."""
    key = str(uuid.uuid4())
    with line.transaction():
        line.execute("INSERT INTO bench_bare (key) VALUES (%s)", [key])
        line.execute(f"NOTIFY {CHANNEL}")
    return key


def bare_line(url: str) -> Any:
    """A connection for ``ask_bare``; makes its table."""
    import psycopg

    line = psycopg.connect(url, autocommit=True)
    line.execute(
        "CREATE TABLE IF NOT EXISTS bench_bare (id bigserial PRIMARY KEY, key text, state text DEFAULT 'queued')"
    )
    line.execute("CREATE INDEX IF NOT EXISTS bench_due ON bench_bare (id) WHERE state = 'queued'")
    return line


# --- the children ------------------------------------------------------------------------------------
def run_outbox() -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from sms.gateways.base import Backend
    from sms.ports import Accepted

    class BenchGateway(Backend):
        """Notes the moment and accepts."""

        fields: ClassVar[tuple[Any, ...]] = ()

        def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
            note(client_ref)
            return Accepted(ref=client_ref, parts=1)

    sys.modules["bench._outbox"].BenchGateway = BenchGateway  # type: ignore[attr-defined]
    settings.DEBUG = False
    settings.SMS_GATEWAYS = {**settings.SMS_GATEWAYS, "bench": "bench._outbox.BenchGateway"}
    call_command("outbox")


def run_skip_locked(url: str) -> None:
    import psycopg

    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    listening = psycopg.connect(url, autocommit=True)
    listening.execute(f"LISTEN {CHANNEL}")
    line = psycopg.connect(url, autocommit=True)
    print("ready", flush=True)
    claim = (
        "UPDATE bench_bare SET state = 'claimed' WHERE id = (SELECT id FROM bench_bare WHERE state = 'queued' "
        "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, key"
    )
    while not stopped:
        while row := line.execute(claim).fetchone():
            line.execute(
                "UPDATE bench_bare SET state = 'sending' WHERE id = %s AND state = 'claimed'", [row[0]]
            )
            note(row[1])
            line.execute("UPDATE bench_bare SET state = 'sent' WHERE id = %s AND state = 'sending'", [row[0]])
        for _bell in listening.notifies(timeout=0.5, stop_after=1):
            pass


if __name__ == "__main__":
    sys.modules["bench._outbox"] = sys.modules["__main__"]
    if sys.argv[1] == "outbox":
        run_outbox()
    else:
        run_skip_locked(sys.argv[2])
