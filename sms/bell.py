"""Wake the outbox at once: NOTIFY on PostgreSQL, the queue everywhere. Both are hints; the poll finds the row."""

import logging
import threading
import time
from typing import Any

from django.db import connection

from remosa.lib.tasks import later

CHANNEL = "remosa_outbox"
PUMP = "sms.tasks.pump"
STRETCH_S = 0.5

logger = logging.getLogger(__name__)


def ring() -> None:
    """Say, when the current transaction commits, that the outbox has work."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    later(PUMP)


class Listener:
    """Waits for the bell on a connection of its own; where there is none to be heard it only waits."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._connection: Any = None

    def wait(self, timeout_s: float) -> bool:
        """Return when the bell rang (or may have), when ``timeout_s`` passed, or soon after ``stop`` was set.

        True when it rang.
        """
        if connection.vendor != "postgresql":
            self._stop.wait(timeout_s)
            return False
        import psycopg  # absent where only SQLite is used

        try:
            if self._connection is None:
                self._connection = self._listen(psycopg)
                return True  # it may have rung before we listened: look once now
            return self._hear(timeout_s)
        except psycopg.Error as exc:
            logger.warning("outbox bell lost error=%s", type(exc).__name__)
            self.close()
            self._stop.wait(timeout_s)
            return False

    def _hear(self, timeout_s: float) -> bool:
        """Listen in short stretches: a signal sets ``stop`` but does not end a stretch."""
        ends = time.monotonic() + timeout_s
        while not self._stop.is_set() and (left_s := ends - time.monotonic()) > 0:
            if any(self._connection.notifies(timeout=min(left_s, STRETCH_S), stop_after=1)):
                return True
        return False

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self, psycopg: Any) -> Any:
        params = connection.get_connection_params()
        wanted = {key: params[key] for key in ("dbname", "user", "password", "host", "port") if key in params}
        listening = psycopg.connect(**wanted, autocommit=True, connect_timeout=5)
        listening.execute(f"LISTEN {CHANNEL}")
        return listening
