"""Wake the outbox at once: NOTIFY on PostgreSQL, the queue everywhere. Both are hints; the poll finds the row."""

import logging
import os
import select
import threading
import time
from contextlib import suppress
from typing import Any

from django.db import connection

from remosa.lib.tasks import later

CHANNEL = "remosa_outbox"
PUMP = "sms.tasks.pump"
STRETCH_S = 0.5

logger = logging.getLogger(__name__)


def ring(platform_id: int) -> None:
    """Say, when the current transaction commits, that the outbox has work of this platform."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(platform_id)])
    later(PUMP)


class Listener:
    """Waits for the bell on a connection of its own; where there is none to be heard it only waits."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._connection: Any = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def wait(self, timeout_s: float) -> frozenset[int] | None:
        """Return when the bell rang, when somebody called ``wake``, or soon after ``stop`` was set.

        The platforms for which it rang; None when it is time to look for oneself: ``timeout_s`` passed, or a
        bell may have been missed.
        """
        if connection.vendor != "postgresql":
            return self._hear(timeout_s)
        import psycopg  # absent where only SQLite is used

        try:
            if self._connection is None:
                self._connection = self._listen(psycopg)
                return None  # it may have rung before we listened
            return self._hear(timeout_s)
        except psycopg.Error as exc:
            logger.warning("outbox bell lost error=%s", type(exc).__name__)
            self._hang_up()
            self._stop.wait(timeout_s)
            return None

    def wake(self) -> None:
        """End a ``wait``, from any thread."""
        with suppress(BlockingIOError):  # it is about to wake up
            os.write(self._wake, b"w")

    def _hear(self, timeout_s: float) -> frozenset[int] | None:
        """Listen in short stretches: a signal sets ``stop`` but does not end a stretch."""
        ends = time.monotonic() + timeout_s
        heard_at = [self._woken] if self._connection is None else [self._woken, self._connection.fileno()]
        while not self._stop.is_set() and (left_s := ends - time.monotonic()) > 0:
            ready = select.select(heard_at, [], [], min(left_s, STRETCH_S))[0]
            rung = (
                self._rung() if self._connection is not None and len(ready) > (self._woken in ready) else None
            )
            if self._woken in ready:
                os.read(self._woken, 4096)
            if ready and (rung or self._woken in ready):
                return rung or frozenset()
        return None

    def _rung(self) -> frozenset[int]:
        payloads = [bell.payload for bell in self._connection.notifies(timeout=0)]
        return frozenset(int(payload) for payload in payloads if payload.isdecimal())

    def close(self) -> None:
        """Let the connection and the pipe go; no ``wake`` may come afterwards."""
        self._hang_up()
        os.close(self._woken)
        os.close(self._wake)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self, psycopg: Any) -> Any:
        params = connection.get_connection_params()
        wanted = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
        listening = psycopg.connect(**wanted, autocommit=True, connect_timeout=5)
        listening.execute(f"LISTEN {CHANNEL}")
        return listening
