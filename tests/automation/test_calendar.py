"""Windows by the wall clock of a place, through changes of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from automation.calendar import open_window

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
