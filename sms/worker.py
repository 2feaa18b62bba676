"""The outbox process: one thread that claims, threads that send, one that settles, and the housekeeping.

The claiming thread hears the bell itself and takes no more than senders are free, so that what has passed the
barrier leaves at once, and a gateway that hangs holds up one sender only. What the senders bring back of messages
to people is settled together, as much as came while the last lot was written. A command is asked about, sent and
settled by its sender alone: no guard and no lock that it waits for holds up the others.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections

from devices.services import sweep_commands
from remosa.lib.clock import utcnow
from sms.bell import Listener
from sms.models import Gateway
from sms.outbox import Claim, Pump, Sent, Taken
from sms.services.inbound import sweep_inbound
from sms.services.inboxes import due_inboxes, poll_inbox
from sms.services.statuses import ask_statuses, due_status_rounds

logger = logging.getLogger(__name__)
INBOXES_AT_ONCE = 4
# a queue that is full waits so long for all senders but one: they are given work, and settled, together
GATHER_S = 0.005


class Worker:
    """Runs until ``stop`` is set; what is on the wire then is brought to its end."""

    def __init__(self, pump: Pump, *, threads: int, poll_s: float, stop: threading.Event) -> None:
        self.pump, self.threads, self.poll_s, self.stop = pump, threads, poll_s, stop
        self._changed = threading.Condition()  # guards the four below
        self._free = threads
        self._sent: list[Sent] = []
        self._no_more = False  # nothing will be sent any more
        self._is_waited_for = False  # the claiming thread could go on with one more sender
        self._enough = max(1, threads - 1)  # the most that one platform gets at once
        self._is_full = False  # the last look found work for all that were free
        self._claimed: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._listener = Listener(stop)
        self._reading: dict[tuple[str, int], Future[None]] = {}

    def run(self) -> None:
        """Start the threads, keep house, and come back when all of them have ended."""
        senders = [
            threading.Thread(target=self._send, name=f"outbox-{place}") for place in range(self.threads)
        ]
        settling = threading.Thread(target=self._settle, name="outbox-settles")
        claiming = threading.Thread(target=self._claim, name="outbox-claims")
        for thread in (*senders, settling, claiming):
            thread.start()
        try:
            with ThreadPoolExecutor(INBOXES_AT_ONCE, thread_name_prefix="inbox") as readers:
                while not self.stop.is_set():
                    self._guarded(self._keep_house, readers)
                    self.stop.wait(self.poll_s)
        finally:
            self.stop.set()
            self._listener.wake()
            claiming.join()
            for _sender in senders:
                self._claimed.put(None)
            for sender in senders:
                sender.join()
            with self._changed:
                self._no_more = True
                self._changed.notify()
            settling.join()
            self._listener.close()
            connections.close_all()

    # --- claiming -------------------------------------------------------------------------------------
    def _claim(self) -> None:
        try:
            heard: frozenset[int] | None = None
            while not self.stop.is_set():
                self.pump.turns.hears(heard or ())
                self._guarded(self._hand_out, heard is None)
                heard = self._listener.wait(self.poll_s)
        finally:
            connections.close_all()  # this thread's own

    def _hand_out(self, look: bool) -> None:
        """Claim as much as senders are free, again and again until nothing is due or nobody is free."""
        self._is_waited_for = True
        while not self.stop.is_set() and (places := self._places(gather=self._is_full)):
            taken = self._take(places, look=look)
            look, self._is_full = False, len(taken.claims) == places or self.pump.turns.hold_back()
            with self._changed:
                self._free -= len(taken.claims)
            for claim in taken.claims:
                self._claimed.put(claim)
            if not taken.touched:
                break
        self._is_waited_for = not self._places() or self.pump.turns.hold_back()

    def _take(self, places: int, *, look: bool) -> Taken:
        """Claim; once more on a new connection where the old one was lost."""
        try:
            return self.pump.take(places, look=look)
        except (OperationalError, InterfaceError):
            connection.close()
            return self.pump.take(places, look=True)

    def _places(self, *, gather: bool = False) -> int:
        """How many senders are free, and none while the settling is behind."""
        with self._changed:
            places = 0 if len(self._sent) >= self.threads else self._free
        if not gather or places >= self._enough:
            return places
        time.sleep(GATHER_S)
        return self._places()

    # --- sending --------------------------------------------------------------------------------------
    def _send(self) -> None:
        try:
            while (claim := self._claimed.get()) is not None:
                self._guarded(self._bring_through, claim)
        finally:
            connections.close_all()  # this thread's own

    def _bring_through(self, claim: Claim) -> None:
        is_asked_about, sent = claim.gateway is None, None
        try:
            if is_asked_about:
                close_old_connections()
            sent = self.pump.carry(claim)
            if sent is not None and is_asked_about:
                self.pump.settle([sent])
                sent = None
        finally:
            self.pump.turns.give_back(claim.message.platform_id)
            with self._changed:
                self._free += 1
                if sent is not None and not is_asked_about:
                    self._sent.append(sent)
                    self._changed.notify()
            self._wake()

    def _wake(self) -> None:
        if self._is_waited_for:
            self._listener.wake()

    # --- settling -------------------------------------------------------------------------------------
    def _settle(self) -> None:
        try:
            while results := self._wait_for_results():
                self._guarded(self.pump.settle, results)
                self._wake()
        finally:
            connections.close_all()  # this thread's own

    def _wait_for_results(self) -> list[Sent]:
        """All that came since the last time, of a full queue also in the next moment; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._sent or self._no_more)
            if self._is_full:
                self._changed.wait_for(lambda: len(self._sent) >= self._enough or self._no_more, GATHER_S)
            results, self._sent = self._sent, []
        return results

    # --- the house ------------------------------------------------------------------------------------
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
