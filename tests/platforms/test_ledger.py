"""The ledger: every part that was paid for, once, in its month, at the price of its moment."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from platforms import ledger
from platforms.ledger import Direction, Tariff
from platforms.models import LedgerEntry, Platform
from tests.factories import NOW, make_platform

pytestmark = pytest.mark.django_db
OWN = Tariff(1, "modem", Decimal("2.5000"), "RUB")
SHARED = Tariff(2, "smsc", Decimal("3.1000"), "RUB")


def charge(platform: Platform, **over: Any) -> None:
    wanted = {
        "direction": Direction.OUT, "subject_id": uuid.uuid4(), "units": 1, "tariff": OWN, "at": NOW,
    }  # fmt: skip
    ledger.charge(platform=platform, **{**wanted, **over})


@pytest.mark.databases
def test_an_sms_is_written_down_once_in_each_direction(north: Platform) -> None:
    key = uuid.uuid4()

    for direction in (Direction.OUT, Direction.OUT, Direction.IN):
        charge(north, subject_id=key, direction=direction)

    assert sorted(LedgerEntry.objects.values_list("direction", flat=True)) == ["in", "out"]


@pytest.mark.databases
def test_the_clients_price_stands_beside_the_cost(db: None) -> None:
    platform = make_platform(sms_price_out=Decimal("5.00"), sms_price_in=Decimal(0), currency="EUR")

    charge(platform, units=3)
    charge(platform, direction=Direction.IN)

    out, into = LedgerEntry.objects.order_by("-direction")
    assert (out.cost, out.cost_currency, out.price, out.price_currency) == (
        Decimal("7.5"), "RUB", Decimal(15), "EUR",
    )  # fmt: skip
    assert (into.cost, into.price) == (Decimal("2.5"), 0)


def test_without_a_price_of_its_own_the_client_pays_the_cost(north: Platform) -> None:
    charge(north, units=2)

    entry = LedgerEntry.objects.get()
    assert (entry.price, entry.price_currency) == (entry.cost, "RUB")


def test_a_later_price_changes_nothing_that_was_written(north: Platform) -> None:
    charge(north)
    north.sms_price_out = Decimal(9)
    north.save()
    charge(north)

    assert sorted(entry.price for entry in LedgerEntry.objects.all()) == [Decimal("2.5"), 9]


@pytest.mark.parametrize(
    ("zone", "at", "month", "day"),
    [
        ("Asia/Vladivostok", datetime(2025, 12, 31, 13, 59, tzinfo=UTC), "2025-12", date(2025, 12, 31)),
        ("Asia/Vladivostok", datetime(2025, 12, 31, 14, 0, tzinfo=UTC), "2026-01", date(2026, 1, 1)),
        ("America/New_York", datetime(2026, 3, 8, 6, 59, tzinfo=UTC), "2026-03", date(2026, 3, 8)),  # DST begins
        ("Europe/Berlin", datetime(2026, 3, 31, 21, 59, tzinfo=UTC), "2026-03", date(2026, 3, 31)),  # summer time
        ("Europe/Berlin", datetime(2026, 3, 31, 22, 0, tzinfo=UTC), "2026-04", date(2026, 4, 1)),
        ("Europe/Berlin", datetime(2026, 10, 31, 22, 59, tzinfo=UTC), "2026-10", date(2026, 10, 31)),  # winter time
        ("Europe/Berlin", datetime(2026, 10, 31, 23, 0, tzinfo=UTC), "2026-11", date(2026, 11, 1)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC), "2026-10", date(2026, 10, 4)),  # 30 minutes
    ],
)  # fmt: skip
def test_month_and_day_are_those_of_the_platforms_clock(
    zone: str, at: datetime, month: str, day: date
) -> None:
    charge(make_platform(time_zone=zone), at=at)

    entry = LedgerEntry.objects.get()
    assert (entry.period, entry.day) == (month, day)


def test_what_was_asked_for_before_midnight_stays_in_that_month(db: None) -> None:
    platform = make_platform(time_zone="UTC")
    asked, left = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 4, 1, 0, 0, 5, tzinfo=UTC)

    charge(platform, at=left, reserved_at=asked)

    entry = LedgerEntry.objects.get()
    assert (entry.period, entry.day, entry.at) == ("2026-03", date(2026, 3, 31), left)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Africa/Casablanca", "Pacific/Apia"])
def test_no_half_hour_of_a_year_is_lost_or_counted_twice(zone: str) -> None:
    platform = make_platform(time_zone=zone)
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    moments = [
        begin + timedelta(minutes=30 * half) for half in range(int((end - begin) / timedelta(minutes=30)))
    ]
    chosen = [*moments[::37], moments[0], moments[-1]]  # a step that meets every hour of the day
    for moment in chosen:
        charge(platform, at=moment)

    months = [f"2026-{month:02d}" for month in range(1, 13)]
    counted = [sum(units for _day, units in ledger.by_day(platform, month)) for month in months]

    assert sum(counted) == len(chosen)
    assert [ledger.statement(platform, month).units("out") for month in months] == counted


@pytest.mark.databases
def test_the_statement_has_one_line_per_gateway_direction_and_price(north: Platform) -> None:
    charge(north, units=2), charge(north, units=3), charge(north, tariff=SHARED, is_certain=False)
    charge(north, direction=Direction.IN, tariff=Tariff(1, "modem", Decimal("0.10")))
    north.sms_price_out = Decimal("4.00")
    charge(north)
    charge(make_platform("elsewhere"), units=99)

    found = ledger.statement(north, "2026-03")

    lines = [
        (line.gateway_name, line.direction, line.messages, line.units, line.uncertain, line.price)
        for line in found.lines
    ]
    assert lines == [
        ("modem", "out", 2, 5, 0, Decimal("12.5")),
        ("modem", "out", 1, 1, 0, Decimal(4)),
        ("smsc", "out", 1, 1, 1, Decimal("3.1")),
        ("modem", "in", 1, 1, 0, Decimal("0.1")),
    ]  # fmt: skip
    assert found.total("price") == {"RUB": Decimal("19.7")}
    assert found.total("cost") == {"RUB": Decimal("18.2")}


def test_money_is_added_exactly(north: Platform) -> None:
    for _number in range(30):
        charge(north, tariff=Tariff(1, "modem", Decimal("0.1001")))

    assert ledger.statement(north, "2026-03").total("price") == {"RUB": Decimal("3.0030")}


def test_currencies_are_never_added_to_one_another(north: Platform) -> None:
    charge(north), charge(north, tariff=Tariff(3, "twilio", Decimal("0.05"), "USD"))

    assert ledger.statement(north, "2026-03").total("price") == {
        "RUB": Decimal("2.5"),
        "USD": Decimal("0.05"),
    }


@pytest.mark.databases
def test_the_database_refuses_a_negative_price(north: Platform) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        charge(north, tariff=Tariff(1, "x", Decimal(-1)))


def test_the_statement_as_tables_shows_the_cost_only_to_its_owner(north: Platform) -> None:
    north.time_zone = "Europe/Moscow"
    north.save()
    charge(north, purpose="command")

    for with_cost in (True, False):
        sums, details = ledger.sheets_of(ledger.statement(north, "2026-03"), with_cost=with_cost)
        rows = [list(row) for row in details.rows]
        assert ("cost" in sums.names) is ("cost" in details.names) is with_cost
        assert all(len(row) == len(sums.names) for row in sums.rows)
        assert [len(row) for row in rows] == [len(details.names)]
        assert rows[0][0] == "2026-03-03 15:00:00 +0300"  # the platform's own clock


# --- the forecast ------------------------------------------------------------------------------------

MARCH = ledger.days_of("2026-03")


def test_a_steady_month_ends_where_it_leads() -> None:
    counts = [(day, 10 if day <= date(2026, 3, 15) else 0) for day in MARCH]

    assert ledger.forecast(counts, today=date(2026, 3, 15)) == 310


def test_the_first_day_knows_only_itself() -> None:
    counts = [(day, 4 if day.day == 1 else 0) for day in MARCH]

    assert ledger.forecast(counts, today=date(2026, 3, 1)) == 4 * 31


def test_the_last_day_adds_nothing_but_its_own_rest() -> None:
    counts = [(day, 10) for day in MARCH[:-1]] + [(MARCH[-1], 12)]

    assert ledger.forecast(counts, today=MARCH[-1]) == 312


def test_a_storm_of_long_ago_does_not_lead_the_forecast() -> None:
    counts = [(day, 500 if day.day == 2 else 1 if day.day <= 20 else 0) for day in MARCH]

    assert ledger.forecast(counts, today=date(2026, 3, 20)) == 519 + 11


@given(st.lists(st.integers(0, 1000), min_size=31, max_size=31), st.integers(1, 31), st.integers(0, 100))
def test_a_forecast_is_never_below_what_is_already_used(
    numbers: list[int], today: int, promised: int
) -> None:
    counts = [(day, number if day.day <= today else 0) for day, number in zip(MARCH, numbers, strict=True)]

    done = sum(count for _day, count in counts) + promised
    assert ledger.forecast(counts, today=date(2026, 3, today), promised=promised) >= done


@pytest.mark.parametrize("period", ["", "2026", "2026-13", "2026-00", "x-y", "2026-03-01"])
def test_what_is_no_month_is_refused(period: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever int and date say
        ledger.days_of(period)
