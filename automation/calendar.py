"""Wall clocks of places: when a window that repeats by a site's own clock is open, when a place is on air. Pure.

A window says the same times on the wall every day or week, whatever the clocks were set to meanwhile. A
time that a change of the clocks skips counts as the moment of the change; of one that comes twice, the
window begins at the first and ends at the second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from remosa.lib.hours import DAYS, Week, spans_of

DAY = timedelta(days=1)
AHEAD = 14  # days that are looked at for the next opening or closing


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


# --- broadcast hours -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Air:
    """Whether a place is on air, and until when; None for what lies beyond a fortnight."""

    is_on: bool
    until: datetime | None


def air_at(
    week: Week, *, zone: ZoneInfo, holidays: Mapping[date, Sequence[str]], now: datetime
) -> Air | None:
    """The air of a place at ``now``; None when nobody has told its hours.

    The hours are those of the wall clock in ``zone``; a holiday has its own, or none.
    """
    if not week:
        return None
    today = _wall(now, zone).date()
    spans = _joined(
        span
        for step in range(-2, AHEAD + 1)
        for span in _spans_on(today + step * DAY, week, zone=zone, holidays=holidays)
    )
    for begin, end in spans:
        if begin <= now < end:
            return Air(True, end if end - now < AHEAD * DAY else None)
    return Air(False, min((begin for begin, _end in spans if begin > now), default=None))


def _spans_on(
    day: date, week: Week, *, zone: ZoneInfo, holidays: Mapping[date, Sequence[str]]
) -> list[tuple[datetime, datetime]]:
    midnight = datetime.combine(day, time())
    return [
        (
            (midnight + timedelta(minutes=start)).replace(tzinfo=zone, fold=0).astimezone(UTC),
            (midnight + timedelta(minutes=end)).replace(tzinfo=zone, fold=1).astimezone(UTC),
        )
        for start, end in spans_of(holidays.get(day, week.get(DAYS[day.weekday()], ())))
    ]


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The spans in order; what touches or overlaps is one."""
    joined: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


@dataclass(frozen=True)
class Manners:
    """How a job behaves by the clock of a place."""

    on_air: str  # "act", "wait", "suggest", "leave"
    wait: timedelta
    off_air: str  # "act", "before"
    lead: timedelta


@dataclass(frozen=True)
class Timing:
    """What may be done just now; ``reason`` and ``until`` say why nothing may, and when that ends."""

    may: Literal["act", "suggest", "nothing"]
    reason: str = ""
    until: datetime | None = None


def timing(manners: Manners, air: Air | None, *, down_since: datetime | None, now: datetime) -> Timing:
    """On air: as the job says, after its wait. Off air: at once, or so long before the opening."""
    if air is None:
        return Timing("act")
    if not air.is_on:
        if manners.off_air == "act" or air.until is None or now >= air.until - manners.lead:
            return Timing("act")
        return Timing("nothing", "before_opening", air.until - manners.lead)
    if manners.on_air == "leave":
        return Timing("nothing", "on_air", air.until)
    if manners.on_air == "act":
        return Timing("act")
    waited = (down_since or now) + manners.wait
    if now < waited:
        return Timing("nothing", "on_air_wait", waited)
    return Timing("suggest") if manners.on_air == "suggest" else Timing("act")
