"""Limits are exact: whoever asks, how often, from how many threads and around whatever midnight."""

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, transaction

from platforms import quotas
from platforms.errors import QuotaExceeded
from platforms.models import Platform, QuotaReservation, Usage
from tests.factories import NOW, make_platform
from tests.together import together


def reserve(platform: Platform, units: int = 1, *, people: bool = True, key: uuid.UUID | None = None,
            at: datetime = NOW) -> uuid.UUID:  # fmt: skip
    key = key or uuid.uuid4()
    quotas.reserve(platform=platform, kind=quotas.SMS, units=units, key=key, at=at, for_people=people)
    return key


def counted(platform: Platform, kind: str = quotas.SMS) -> list[tuple[str, int, int]]:
    rows = Usage.objects.filter(platform=platform, kind=kind).order_by("period")
    return list(rows.values_list("period", "reserved", "used"))


@pytest.fixture
def platform(db: None) -> Platform:
    return make_platform(sms_limit=10, sms_people_share_ratio=0.2, device_limit=3, time_zone="UTC")


def test_a_reservation_is_promised_then_spent(platform: Platform) -> None:
    key = reserve(platform, 3)
    promised = counted(platform)

    settled = quotas.settle(key=key, spent=True)

    assert settled is not None
    assert promised == [("2026-03", 3, 0)]
    assert counted(platform) == [("2026-03", 0, 3)]


def test_a_released_reservation_costs_nothing(platform: Platform) -> None:
    key = reserve(platform, 3)

    quotas.settle(key=key, spent=False)

    assert counted(platform) == [("2026-03", 0, 0)]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_reservation_is_settled_once(platform: Platform, first: bool, second: bool) -> None:
    key = reserve(platform, 3)
    quotas.settle(key=key, spent=first)

    again = quotas.settle(key=key, spent=second)

    assert again is None
    assert counted(platform) == [("2026-03", 0, 3 if first else 0)]


def test_settling_what_was_never_reserved_does_nothing(platform: Platform) -> None:
    assert quotas.settle(key=uuid.uuid4(), spent=True) is None
    assert counted(platform) == []


def test_the_same_key_reserves_once(platform: Platform) -> None:
    key = reserve(platform, 4)

    reserve(platform, 4, key=key)

    assert counted(platform) == [("2026-03", 4, 0)]


@pytest.mark.databases
def test_what_has_to_be_done_is_counted_beyond_the_limit_and_marked(platform: Platform) -> None:
    within, beyond = uuid.uuid4(), uuid.uuid4()
    for key, units in ((within, 9), (beyond, 3)):
        quotas.reserve(
            platform=platform,
            kind=quotas.SMS,
            units=units,
            key=key,
            at=NOW,
            for_people=True,
            beyond_limit=True,
        )
    quotas.settle(key=beyond, spent=True)

    marks = dict(QuotaReservation.objects.values_list("key", "is_beyond_limit"))
    assert marks == {within: False, beyond: True}
    assert counted(platform) == [("2026-03", 9, 3)]
    assert quotas.remaining(platform, quotas.SMS, at=NOW) == 0
    with pytest.raises(QuotaExceeded):
        reserve(platform)


def test_what_does_not_fit_leaves_no_trace(platform: Platform) -> None:
    reserve(platform, 8)

    with pytest.raises(QuotaExceeded) as refused:
        reserve(platform, 3)

    assert (refused.value.kind, refused.value.wanted, refused.value.left) == ("sms", 3, 2)
    assert counted(platform) == [("2026-03", 8, 0)]
    assert QuotaReservation.objects.count() == 1


def test_exactly_the_limit_fits(platform: Platform) -> None:
    reserve(platform, 10)

    with pytest.raises(QuotaExceeded):
        reserve(platform, 1)

    assert quotas.remaining(platform, quotas.SMS, at=NOW) == 0


def test_a_share_is_kept_for_people(platform: Platform) -> None:
    reserve(platform, 8, people=False)

    with pytest.raises(QuotaExceeded):
        reserve(platform, 1, people=False)
    reserve(platform, 2, people=True)

    assert counted(platform) == [("2026-03", 10, 0)]


@pytest.mark.parametrize(
    ("limit", "ratio", "automatic"),
    [
        (10, 0.2, 8),
        (10, 0.0, 10),
        (10, 1.0, 0),
        (7, 0.2, 5),
        (1, 0.2, 0),
        (0, 0.2, 0),
        (30, 0.1, 27),
        (3, 0.33, 2),
    ],
)
@pytest.mark.databases
def test_automation_gets_what_the_share_leaves_rounded_down(
    db: None, limit: int, ratio: float, automatic: int
) -> None:
    platform = make_platform(sms_limit=limit, sms_people_share_ratio=ratio)

    granted = 0
    while granted <= limit:
        try:
            reserve(platform, people=False)
        except QuotaExceeded:
            break
        granted += 1

    assert granted == automatic
    assert quotas.remaining(platform, quotas.SMS, at=NOW, for_people=False) == 0


def test_a_limit_lowered_below_its_use_stops_new_reservations_only(platform: Platform) -> None:
    key = reserve(platform, 6)
    Platform.objects.filter(pk=platform.pk).update(sms_limit=2)

    with pytest.raises(QuotaExceeded) as refused:
        reserve(platform, 1)
    quotas.settle(key=key, spent=True)

    assert refused.value.left == 0
    assert counted(platform) == [("2026-03", 0, 6)]


def test_a_raised_limit_counts_at_once_although_the_caller_holds_an_old_row(platform: Platform) -> None:
    reserve(platform, 10)
    Platform.objects.filter(pk=platform.pk).update(sms_limit=11)

    reserve(platform, 1)

    assert counted(platform) == [("2026-03", 11, 0)]


def test_the_month_is_that_of_the_platforms_clock(db: None) -> None:
    new_year_in_vladivostok = datetime(2025, 12, 31, 14, 30, tzinfo=UTC)
    east, west = make_platform(time_zone="Asia/Vladivostok"), make_platform(time_zone="America/New_York")

    assert quotas.sms_period(east, new_year_in_vladivostok) == "2026-01"
    assert quotas.sms_period(west, new_year_in_vladivostok) == "2025-12"


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]
)
def test_every_hour_of_a_year_belongs_to_one_month_and_months_only_go_forward(db: None, zone: str) -> None:
    platform = make_platform(time_zone=zone)
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)

    periods = [quotas.sms_period(platform, begin + timedelta(minutes=30 * half)) for half in range(365 * 48)]

    assert periods == sorted(periods)
    assert len(set(periods)) == 12


def test_units_stay_in_the_month_in_which_they_were_promised(platform: Platform) -> None:
    key = reserve(platform, 9, at=datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))

    quotas.settle(key=key, spent=True)
    reserve(platform, 9, at=datetime(2026, 4, 1, tzinfo=UTC))

    assert counted(platform) == [("2026-03", 0, 9), ("2026-04", 9, 0)]


def test_devices_have_no_month_and_can_be_given_back(platform: Platform) -> None:
    for month in (1, 2, 3):
        quotas.spend(platform=platform, kind=quotas.DEVICES, units=1, at=datetime(2026, month, 1, tzinfo=UTC))
    with pytest.raises(QuotaExceeded):
        quotas.spend(platform=platform, kind=quotas.DEVICES, units=1, at=NOW)

    quotas.give_back(platform=platform, kind=quotas.DEVICES, units=1)
    quotas.spend(platform=platform, kind=quotas.DEVICES, units=1, at=NOW)

    assert counted(platform, quotas.DEVICES) == [("always", 0, 3)]


def test_more_than_there_is_is_never_given_back(platform: Platform) -> None:
    quotas.give_back(platform=platform, kind=quotas.DEVICES, units=1)

    assert quotas.remaining(platform, quotas.DEVICES, at=NOW) == 3


def test_one_platform_does_not_spend_what_is_anothers(platform: Platform) -> None:
    other = make_platform(sms_limit=1)
    reserve(platform, 10)

    reserve(other, 1)

    assert counted(other)[0][1:] == (1, 0)


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("people", [True, False])
def test_threads_at_the_limit_get_exactly_the_limit(people: bool) -> None:
    platform = make_platform(sms_limit=20, sms_people_share_ratio=0.5)
    limit = 20 if people else 10

    def grab(_number: int) -> int:
        granted = 0
        for _try in range(6):
            try:
                key = reserve(platform, people=people)
            except QuotaExceeded:
                continue
            granted += 1
            quotas.settle(key=key, spent=True)
        return granted

    results = together(8, grab)

    assert all(isinstance(result, int) for result in results), results
    assert sum(results) == limit
    assert counted(platform) == [("2026-03", 0, limit)]


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_threads_with_one_key_reserve_once_and_settle_once() -> None:
    platform, key = make_platform(sms_limit=5), uuid.uuid4()

    promised = together(10, lambda _number: reserve(platform, 5, key=key))
    settled = together(10, lambda number: quotas.settle(key=key, spent=number % 2 == 0))

    assert promised == [key] * 10
    assert sum(each is not None for each in settled) == 1
    reserved, used = counted(platform)[0][1:]
    assert (reserved, used) in {(0, 0), (0, 5)}


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_the_ledger_is_the_sum_of_its_reservations_after_a_crowd() -> None:
    platform = make_platform(sms_limit=30)

    def live(number: int) -> None:
        for step in range(5):
            try:
                key = reserve(platform, 1 + number % 3)
            except QuotaExceeded:
                continue
            if step % 3 == 0:
                quotas.settle(key=key, spent=True)
            elif step % 3 == 1:
                quotas.settle(key=key, spent=False)

    results = together(8, live)

    rows = QuotaReservation.objects.filter(platform=platform)
    sums = {
        state: sum(row.units for row in rows if row.state == state) for state in ("reserved", "committed")
    }
    assert results == [None] * 8
    assert counted(platform) == [("2026-03", sums["reserved"], sums["committed"])]
    assert sum(sums.values()) <= 30


@pytest.mark.databases
def test_the_database_itself_refuses_a_negative_count(platform: Platform) -> None:
    reserve(platform)

    with pytest.raises(IntegrityError), transaction.atomic():
        Usage.objects.update(reserved=-1)

    assert connection.needs_rollback is False
