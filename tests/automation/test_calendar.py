"""Windows by the wall clock of a place, through changes of the clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from automation.calendar import Air, Manners, Timing, air_at, open_window, timing

BERLIN, DAY = ZoneInfo("Europe/Berlin"), timedelta(days=1)


def at(day: int, hour: int, minute: int = 0, *, month: int = 10) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_what_does_not_repeat_is_open_from_its_start_to_before_its_end() -> None:
    window = (at(1, 8), at(1, 10))

    seen = [
        open_window(*window, every=None, zone=BERLIN, now=now) for now in (at(1, 7, 59), at(1, 8), at(1, 10))
    ]

    assert seen == [None, window, None]


def test_a_daily_window_keeps_its_local_hours_when_the_clocks_go_back() -> None:
    start, end = at(20, 6), at(20, 8)  # 8 to 10 in Berlin's summer

    summer = open_window(start, end, every=DAY, zone=BERLIN, now=at(24, 7))
    winter = open_window(start, end, every=DAY, zone=BERLIN, now=at(26, 7))

    assert summer == (at(24, 6), at(24, 8))
    assert winter == (at(26, 7), at(26, 9)), "8 to 10 is an hour later in UTC now"
    assert open_window(start, end, every=DAY, zone=BERLIN, now=at(26, 6, 30)) is None


def test_an_hour_that_comes_twice_is_covered_both_times() -> None:
    start, end = at(20, 0), at(20, 1)  # 2 to 3 in Berlin, which comes twice on the 25th

    night = open_window(start, end, every=DAY, zone=BERLIN, now=at(25, 1, 30))

    assert night == (at(25, 0), at(25, 2))


def test_an_hour_that_is_skipped_opens_no_window_that_lasts() -> None:
    start, end = at(20, 1, month=3), at(20, 2, month=3)  # 2 to 3 in Berlin, which the 29th does not have

    nights = [
        open_window(start, end, every=DAY, zone=BERLIN, now=datetime(2026, 3, 29, 0, tzinfo=UTC) + minutes)
        for minutes in (timedelta(minutes=m) for m in range(0, 180, 5))
    ]

    assert len([one for one in nights if one]) <= 12


@pytest.mark.parametrize("every", [DAY, timedelta(days=7)])
def test_nothing_repeats_backwards(every: timedelta) -> None:
    assert open_window(at(20, 6), at(20, 8), every=every, zone=BERLIN, now=at(13, 7)) is None


def test_a_window_over_midnight_is_open_on_both_days() -> None:
    start, end = at(20, 20), at(21, 3)  # 22 to 5

    assert open_window(start, end, every=DAY, zone=BERLIN, now=at(22, 23)) == (at(22, 20), at(23, 3))
    assert open_window(start, end, every=DAY, zone=BERLIN, now=at(23, 2)) == (at(22, 20), at(23, 3))


# --- broadcast hours -----------------------------------------------------------------------------

WORKDAYS = {day: ["09:00-22:00"] for day in ("mon", "tue", "wed", "thu", "fri")} | {"fri": ["18:00-02:00"]}


def air(now: datetime, holidays: dict[date, list[str]] | None = None, week: object = WORKDAYS) -> Air | None:
    return air_at(week, zone=BERLIN, holidays=holidays or {}, now=now)  # type: ignore[arg-type]


def test_a_place_is_on_air_in_its_own_hours() -> None:
    """The 5th of October 2026 is a Monday; Berlin is two hours ahead."""
    assert air(at(5, 6, 59)) == Air(False, at(5, 7))
    assert air(at(5, 7)) == Air(True, at(5, 20))
    assert air(at(5, 20)) == Air(False, at(6, 7))
    assert air(at(10, 0, 0) - timedelta(minutes=1)) == Air(True, at(10, 0)), "Friday's, past midnight"
    assert air(at(10, 0)) == Air(False, at(12, 7))
    assert air(at(5, 8), week={}) is None


def test_hours_are_those_of_the_wall_when_the_clocks_change() -> None:
    """On the 25th of October three o'clock comes twice."""
    week = {"sat": ["20:00-03:00"], "sun": ["09:00-10:00"], "mon": ["09:00-10:00"]}

    assert air(at(25, 1, 30), week=week) == Air(True, at(25, 2)), "until the second three o'clock"
    assert air(at(25, 8, 30), week=week) == Air(True, at(25, 9))
    assert air(at(26, 7), week=week) == Air(False, at(26, 8))


def test_a_holiday_has_its_own_hours_or_none() -> None:
    closed, short = date(2026, 10, 6), date(2026, 10, 10)

    assert air(at(6, 10), {closed: []}) == Air(False, at(7, 7))
    assert air(at(10, 10), {short: ["12:00-13:00"]}) == Air(True, at(10, 11))


def test_round_the_clock_never_ends_within_sight() -> None:
    week = {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}

    found = air(at(25, 1), week=week)

    assert found is not None
    assert (found.is_on, found.until) == (True, None)


@pytest.mark.parametrize(
    ("on_air", "minutes_down", "wanted"),
    [
        ("act", 1, Timing("act")),
        ("wait", 29, Timing("nothing", "on_air_wait", at(5, 8, 1))),
        ("wait", 30, Timing("act")),
        ("suggest", 29, Timing("nothing", "on_air_wait", at(5, 8, 1))),
        ("suggest", 30, Timing("suggest")),
        ("leave", 300, Timing("nothing", "on_air", at(5, 20))),
    ],
)
def test_on_air(on_air: str, minutes_down: int, wanted: Timing) -> None:
    manners = Manners(on_air, timedelta(minutes=30), "before", timedelta(hours=1))
    now = at(5, 8)

    found = timing(manners, air(now), down_since=now - timedelta(minutes=minutes_down), now=now)

    assert found == wanted


def test_off_air_a_repair_waits_for_the_opening_unless_told_otherwise() -> None:
    before = Manners("leave", timedelta(), "before", timedelta(hours=1))
    at_once = Manners("leave", timedelta(), "act", timedelta(hours=1))

    assert timing(before, air(at(5, 1)), down_since=None, now=at(5, 1)) == Timing(
        "nothing", "before_opening", at(5, 6)
    )
    assert timing(before, air(at(5, 6)), down_since=None, now=at(5, 6)) == Timing("act")
    assert timing(at_once, air(at(5, 1)), down_since=None, now=at(5, 1)) == Timing("act")
    assert timing(before, None, down_since=None, now=at(5, 1)) == Timing("act"), "nobody told the hours"
