"""Judge alerts at once, in the process that took them: an urgent path does not wait for the queue.

One thread per process, started by the first alert; a platform that is woken again while it waits is
judged once. What this thread does not come to (the process ends, the database is away), the sweep that
the queue runs each minute does.
"""

import logging
import threading

from django.conf import settings
from django.db import close_old_connections, connection

from automation.services import alerts
from remosa.lib.clock import utcnow

logger = logging.getLogger(__name__)


class Prompter:
    """Platforms that wait to be judged, and the thread that judges them."""

    def __init__(self) -> None:
        self._there_is_work = threading.Condition()
        self._waiting: dict[int, None] = {}  # in the order in which they came
        self._thread: threading.Thread | None = None

    def wake(self, platform_id: int) -> None:
        """Judge this platform's alerts soon."""
        with self._there_is_work:
            self._waiting[platform_id] = None
            if self._thread is None or not self._thread.is_alive():  # the first time, and after a fork
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()
            self._there_is_work.notify()

    def _next(self) -> int:
        with self._there_is_work:
            while not self._waiting:
                self._there_is_work.wait()
            platform_id = next(iter(self._waiting))
            del self._waiting[platform_id]
            return platform_id

    def _run(self) -> None:
        while True:
            platform_id = self._next()
            try:
                close_old_connections()
                alerts.judge_platform(platform_id, now=utcnow())
            except Exception:
                logger.exception("alerts not judged platform=%s", platform_id)
                connection.close()


_prompter = Prompter()


def wake(platform_id: int) -> None:
    """Alerts of this platform are committed: judge them now."""
    if settings.ALERTS_AT_ONCE:
        _prompter.wake(platform_id)
