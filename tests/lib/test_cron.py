"""Moments of a cron by a wall clock, through both changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest

from remosa.lib.cron import is_cron, next_time, shortest

BERLIN = "Europe/Berlin"


def moments(cron: str, after: datetime, count: int) -> list[str]:
    found = []
    for _number in range(count):
        after = next_time(cron, BERLIN, after=after)
        found.append(f"{after:%d %H:%M}")
    return found


def test_a_time_that_comes_twice_counts_once() -> None:
    """On the 25th of October half past two comes twice: at 00:30 and at 01:30 UTC."""
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)

    assert moments("30 2 * * *", before, 3) == ["25 00:30", "26 01:30", "27 01:30"]
    assert moments("15,45 2 * * *", before, 4) == ["25 00:15", "25 00:45", "26 01:15", "26 01:45"]


def test_every_hour_is_every_hour_also_when_the_clocks_go_back() -> None:
    before = datetime(2026, 10, 24, 23, 50, tzinfo=UTC)

    assert moments("30 * * * *", before, 4) == ["25 00:30", "25 01:30", "25 02:30", "25 03:30"]
    assert moments("*/30 */1 * * *", before, 4) == ["25 00:00", "25 00:30", "25 01:00", "25 01:30"]


def test_a_time_that_is_skipped_comes_at_the_change() -> None:
    """On the 29th of March half past two does not exist; three o'clock is 01:00 UTC."""
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)

    assert moments("30 2 * * *", before, 3) == ["29 01:00", "30 00:30", "31 00:30"]


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "x * * * *", "* * * * * *", "@daily"])
def test_what_is_no_cron_of_five_fields(cron: str) -> None:
    assert not is_cron(cron)


def test_the_shortest_time_between_two_moments() -> None:
    now = datetime(2026, 10, 1, tzinfo=UTC)

    assert shortest("*/20 8 * * *", BERLIN, now=now) == timedelta(minutes=20)
    assert shortest("0,5 8 * * *", BERLIN, now=now) == timedelta(minutes=5)
