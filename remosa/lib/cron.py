"""Times that come again by a wall clock: five fields of cron in a time zone. Pure."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from croniter import croniter

LOOKED_AT = 24  # moments that are compared to see how close they come


def next_time(cron: str, time_zone: str, *, after: datetime) -> datetime:
    """The first moment of ``cron`` after ``after``, in UTC; the cron runs in ``time_zone``.

    A time that a change of the clocks skips comes at the change; one that comes twice counts once, unless
    the cron names no hour.
    """
    zone = ZoneInfo(time_zone)
    times = croniter(cron, after.astimezone(zone))
    names_an_hour = "*" not in cron.split()[1]
    while True:
        found: datetime = times.get_next(datetime).astimezone(UTC)
        if not (names_an_hour and found.astimezone(zone).fold):
            return found


def is_cron(cron: str) -> bool:
    """Whether these are five fields that make sense."""
    return len(cron.split()) == 5 and bool(croniter.is_valid(cron))


def shortest(cron: str, time_zone: str, *, now: datetime) -> timedelta:
    """The shortest time between two of the next moments."""
    times = [now]
    for _number in range(LOOKED_AT):
        times.append(next_time(cron, time_zone, after=times[-1]))
    return min(later - earlier for earlier, later in pairwise(times[1:]))
