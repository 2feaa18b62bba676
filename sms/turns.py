"""Whose message goes next: platforms take turns, whoever has waited longest first. No database, no log.

A platform that floods the outbox waits for itself: while others have something to send, each gets one
message per round, and no platform holds all senders of a process, should its gateway hang. The memory is
that of one process, and losing it costs nothing; each process is fair by itself.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress

LOOK_EVERY_S = 0.1  # somebody new is noticed after this long
LOOK_SHARE = 10  # looking takes at most a tenth of the time


class Turns:
    """Safe to share between threads. ``at_once`` is how many messages of one platform may be on their way."""

    def __init__(self, *, monotonic: Callable[[], float], at_once: int | None = None) -> None:
        self._monotonic, self._at_once = monotonic, at_once
        self._lock = threading.Lock()
        self._order: deque[int] = deque()
        self._looked_until = float("-inf")
        self._busy: Counter[int] = Counter()
        self._served: dict[int, float] = {}

    def take_many(self, places: int, find: Callable[[], Iterable[int]], *, look: bool) -> Counter[int]:
        """So many ``places`` shared out in turn, as {platform: how many}; each comes back by ``give_back``.

        ``find`` names the platforms that have something. It is asked when nobody is left in the order, after a
        while, and when ``look`` says so. Who has taken stays in the order, until ``has_nothing`` says otherwise.
        """
        shares: Counter[int] = Counter()
        with self._lock:
            self._look_if_due(find, look)
            while shares.total() < places and (platform := self._next()) is not None:
                shares[platform] += 1
                self._order.append(platform)
        return shares

    def hears(self, platforms: Iterable[int]) -> None:
        """Somebody said that these have something: who had nobody in the order need not look now."""
        with self._lock:
            if not self._order:
                self._looked_until = self._monotonic() + LOOK_EVERY_S
            self._order.extend(platform for platform in platforms if platform not in self._order)

    def hold_back(self) -> bool:
        """Whether a platform has as many on their way as it may have."""
        with self._lock:
            return self._at_once is not None and any(busy >= self._at_once for busy in self._busy.values())

    def has_nothing(self, platform: int) -> None:
        """This platform has no message that is due."""
        with self._lock, suppress(ValueError):
            self._order.remove(platform)

    def _look_if_due(self, find: Callable[[], Iterable[int]], look: bool) -> None:
        if look or not self._order or self._monotonic() >= self._looked_until:
            self._look(find)

    def _next(self) -> int | None:
        for _place in range(len(self._order)):
            platform = self._order.popleft()
            if self._at_once is None or self._busy[platform] < self._at_once:
                self._busy[platform] += 1
                return platform
            self._order.append(platform)
        return None

    def _look(self, find: Callable[[], Iterable[int]]) -> None:
        began = self._monotonic()
        waiting = sorted(find(), key=lambda platform: self._served.get(platform, float("-inf")))
        ended = self._monotonic()
        self._order = deque(waiting)
        self._looked_until = ended + max(LOOK_EVERY_S, LOOK_SHARE * (ended - began))

    def served(self, platform: int) -> None:
        """A message of this platform is about to leave. One that only had to wait does not count."""
        with self._lock:
            self._served[platform] = self._monotonic()

    def give_back(self, platform: int) -> None:
        """The message of this platform has come as far as it goes, or there was none."""
        with self._lock:
            self._busy[platform] -= 1
            if self._busy[platform] <= 0:
                del self._busy[platform]
