"""The wall clock, and whether it can be trusted just now."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones


def utcnow() -> datetime:
    """The current time, aware, in UTC. Ask once per decision and pass it down."""
    return datetime.now(UTC)


@cache
def time_zones() -> frozenset[str]:
    """The IANA names that this machine knows; read once, because each look reads hundreds of files."""
    return frozenset(available_timezones())


class JumpDetector:
    """Compares the wall clock with the monotonic one from look to look.

    A step of the wall clock (NTP, a person, a suspended machine) is not time that passed: whoever
    measures "for 5 minutes" in wall time must not count it.
    """

    def __init__(
        self,
        *,
        tolerance_s: float = 5.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tolerance_s = tolerance_s
        self.drift_s = 0.0  # wall minus monotonic time between the last two looks, seconds
        self._wall, self._monotonic = wall, monotonic
        self._last = (wall(), monotonic())

    def jumped(self) -> bool:
        """True if the wall clock ran backwards or jumped by more than the tolerance since the last look."""
        wall, monotonic = self._wall(), self._monotonic()
        wall_passed, really_passed = wall - self._last[0], monotonic - self._last[1]
        self._last = (wall, monotonic)
        self.drift_s = wall_passed - really_passed
        return wall_passed < 0 or abs(self.drift_s) > self.tolerance_s
