"""The outbox process: sender threads, a bell, and the housekeeping between two rings.

The main thread listens and keeps house; ``OUTBOX_THREADS`` senders wait for it, so that a gateway
that hangs holds up one of them only. A sender that found a row wakes a colleague: there may be more.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections

from devices.services import sweep_commands
from remosa.lib.clock import utcnow
from sms.bell import Listener
from sms.models import Gateway
from sms.outbox import Pump
from sms.services.inbound import sweep_inbound
from sms.services.inboxes import due_inboxes, poll_inbox
from sms.services.statuses import ask_statuses, due_status_rounds

logger = logging.getLogger(__name__)
INBOXES_AT_ONCE = 4
SENDERS_FIRST_S = 0.2  # after the bell the house waits so long: who has an SMS to send needs the processor


class Worker:
    """Runs until ``stop`` is set; what is on the wire then is brought to its end."""

    def __init__(self, pump: Pump, *, threads: int, poll_s: float, stop: threading.Event) -> None:
        self.pump, self.threads, self.poll_s, self.stop = pump, threads, poll_s, stop
        self._work = threading.BoundedSemaphore(threads)  # one for each sender that should look
        self._reading: dict[tuple[str, int], Future[None]] = {}

    def run(self) -> None:
        """Start the senders, keep house, and come back when all of them have ended."""
        senders = [
            threading.Thread(target=self._send, name=f"outbox-{number}") for number in range(self.threads)
        ]
        for sender in senders:
            sender.start()
        listener, house_at, rang = Listener(self.stop), float("-inf"), False
        try:
            with ThreadPoolExecutor(INBOXES_AT_ONCE, thread_name_prefix="inbox") as readers:
                while not self.stop.is_set():
                    self._wake_one()  # before anything else: an SMS may be waiting
                    late_s = time.monotonic() - house_at
                    if late_s >= (SENDERS_FIRST_S if rang else 0.0):
                        house_at = time.monotonic() + self.poll_s
                        self._guarded(self._keep_house, readers)
                    rang = listener.wait(SENDERS_FIRST_S if rang else self.poll_s)
        finally:
            self.stop.set()
            for _sender in senders:
                self._wake_one()
            listener.close()
            for sender in senders:
                sender.join()
            connections.close_all()

    def _wake_one(self) -> None:
        """Let one more sender look; enough when all of them are about to."""
        with suppress(ValueError):
            self._work.release()

    def _send(self) -> None:
        try:
            while not self.stop.is_set():
                self._work.acquire(timeout=self.poll_s)
                self._guarded(self._carry_all)
        finally:
            connections.close_all()  # this thread's own

    def _carry_all(self) -> None:
        close_old_connections()
        while not self.stop.is_set() and self.pump.run_one(claimed=self._wake_one):
            pass

    def _keep_house(self, readers: ThreadPoolExecutor) -> None:
        """What the poll is for: the abandoned, the late, the inboxes, what waits for its turn."""
        close_old_connections()
        now = utcnow()
        self.pump.reap()
        sweep_commands(now=now)
        sweep_inbound(now=now)
        self._reading = {key: task for key, task in self._reading.items() if not task.done()}
        due = [("inbox", poll_inbox, gateway) for gateway in due_inboxes(now=now)]
        due += [("status", ask_statuses, gateway) for gateway in due_status_rounds(now=now)]
        for what, step, gateway in due:
            key = (what, gateway.pk)
            if key not in self._reading:
                self._reading[key] = readers.submit(self._guarded, self._read, step, gateway)

    def _read(self, step: Callable[..., int | None], gateway: Gateway) -> None:
        try:
            step(gateway, now=utcnow())
        finally:
            connections.close_all()  # this thread's own

    def _guarded(self, step: Callable[..., None], *arguments: object) -> None:
        """A loop that must survive: whatever happens in one round, the next one comes."""
        try:
            step(*arguments)
        except (OperationalError, InterfaceError) as exc:
            logger.warning("outbox round lost step=%s error=%s", step.__name__, type(exc).__name__)
            connection.close()
            self.stop.wait(self.poll_s)
        except Exception:
            logger.exception("outbox round failed step=%s", step.__name__)
            self.stop.wait(self.poll_s)
