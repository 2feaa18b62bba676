"""Wall clocks of places: when a window that repeats by a site's own clock is open. Pure.

A window says the same times on the wall every day or week, whatever the clocks were set to meanwhile. A
time that a change of the clocks skips counts as the moment of the change; of one that comes twice, the
window begins at the first and ends at the second.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def open_window(
    starts_at: datetime, ends_at: datetime, *, every: timedelta | None, zone: ZoneInfo, now: datetime
) -> tuple[datetime, datetime] | None:
    """(start, end) of the occurrence that covers ``now``, in UTC; None when none does. ``every`` None: once."""
    if every is None:
        return (starts_at, ends_at) if starts_at <= now < ends_at else None
    first, last = _wall(starts_at, zone), _wall(ends_at, zone)
    number = (_wall(now, zone) - first) // every
    for turn in (number - 1, number, number + 1):
        if turn < 0:
            continue
        begin = (first + turn * every).replace(tzinfo=zone, fold=0).astimezone(UTC)
        end = (last + turn * every).replace(tzinfo=zone, fold=1).astimezone(UTC)
        if begin <= now < end:
            return begin, end
    return None


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
