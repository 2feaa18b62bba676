"""Write the ledger, and read it: by day, by month, as a statement."""

import calendar
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from platforms.models import LedgerEntry, Platform
from platforms.quotas import sms_period
from remosa.lib.prepared import Change, inserting
from remosa.lib.tables import Sheet

Direction = LedgerEntry.Direction


@dataclass(frozen=True)
class Tariff:
    """What a gateway takes for one part, and which it is."""

    gateway_id: int | None = None
    gateway_name: str = ""
    unit_cost: Decimal = Decimal(0)
    currency: str = "RUB"


def charge(
    *,
    platform: Platform,
    direction: str,
    subject_id: uuid.UUID,
    units: int,
    tariff: Tariff,
    at: datetime,
    reserved_at: datetime | None = None,
    purpose: str = "",
    is_certain: bool = True,
    is_beyond_limit: bool = False,
) -> None:
    """Write one SMS down, in the caller's transaction; repeating it is harmless. See ``entry``."""
    line = entry(
        platform=platform, direction=direction, subject_id=subject_id, units=units, tariff=tariff, at=at,
        reserved_at=reserved_at, purpose=purpose, is_certain=is_certain, is_beyond_limit=is_beyond_limit,
    )  # fmt: skip
    try:
        with transaction.atomic():
            line.save(force_insert=True)
    except IntegrityError:
        if not LedgerEntry.objects.filter(direction=direction, subject_id=subject_id).exists():
            raise


def entry(
    *,
    platform: Platform,
    direction: str,
    subject_id: uuid.UUID,
    units: int,
    tariff: Tariff,
    at: datetime,
    reserved_at: datetime | None = None,
    purpose: str = "",
    is_certain: bool = True,
    is_beyond_limit: bool = False,
) -> LedgerEntry:
    """One SMS as a line of the ledger, not yet written.

    ``reserved_at`` is the moment whose month the limit was taken from: an SMS that was asked for
    before midnight and left after it belongs to the month in which it was asked for.
    """
    period = sms_period(platform, reserved_at or at)
    price = platform.sms_price_out if direction == Direction.OUT else platform.sms_price_in
    return LedgerEntry(
        direction=direction, subject_id=subject_id, platform=platform, purpose=purpose, at=at, period=period,
        day=_day_within(period, platform, at), gateway_id=tariff.gateway_id,
        gateway_name=tariff.gateway_name[:100], units=units, unit_cost=tariff.unit_cost,
        cost_currency=tariff.currency, unit_price=tariff.unit_cost if price is None else price,
        price_currency=tariff.currency if price is None else platform.currency, is_certain=is_certain,
        is_beyond_limit=is_beyond_limit,
    )  # fmt: skip


def writing(entries: Sequence[LedgerEntry]) -> Change:
    """What writes lines that are not in the ledger yet. IntegrityError when one is."""
    return inserting(entries)


def days_of(period: str) -> list[date]:
    """Every day of a month ``YYYY-MM``. ValueError for what is no month."""
    year, month = (int(part) for part in period.split("-"))
    return [date(year, month, day) for day in range(1, calendar.monthrange(year, month)[1] + 1)]


def _day_within(period: str, platform: Platform, at: datetime) -> date:
    days = days_of(period)
    return max(days[0], min(days[-1], at.astimezone(ZoneInfo(platform.time_zone)).date()))


def by_day(platform: Platform, period: str) -> list[tuple[date, int]]:
    """Parts sent on each day of the month, days without any included."""
    rows = LedgerEntry.objects.filter(platform=platform, period=period, direction=Direction.OUT)
    counted = dict(rows.order_by().values_list("day").annotate(Sum("units")))
    return [(day, counted.get(day, 0)) for day in days_of(period)]


def forecast(counts: Sequence[tuple[date, int]], *, today: date, promised: int = 0) -> int:
    """Parts at the month's end, if the days that are left are like the last seven whole days. Pure.

    Today counts with what it already has, and with what an ordinary day has if that is more.
    """
    done = sum(count for day, count in counts if day <= today) + promised
    whole = [count for day, count in counts if day < today][-7:]
    so_far_today = sum(count for day, count in counts if day == today) + promised
    left = sum(1 for day, _count in counts if day > today)
    ordinary = sum(whole) / len(whole) if whole else float(so_far_today)
    return round(done + max(0.0, ordinary - so_far_today if whole else 0.0) + ordinary * left)


# --- the statement of a month ---------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One row of a statement: a gateway, a direction and a price."""

    gateway_name: str
    direction: str
    messages: int
    units: int
    uncertain: int
    unit_cost: Decimal
    cost_currency: str
    unit_price: Decimal
    price_currency: str

    @property
    def cost(self) -> Decimal:
        return self.units * self.unit_cost

    @property
    def price(self) -> Decimal:
        return self.units * self.unit_price


@dataclass(frozen=True)
class Statement:
    """A month of one client: what was sent and received, what it cost, what the client pays."""

    platform: Platform
    period: str
    lines: tuple[Line, ...]

    def total(self, what: str) -> dict[str, Decimal]:
        """``price`` or ``cost`` by currency."""
        totals: dict[str, Decimal] = {}
        for line in self.lines:
            currency = getattr(line, f"{what}_currency")
            totals[currency] = totals.get(currency, Decimal(0)) + getattr(line, what)
        return totals

    def units(self, direction: str) -> int:
        """Parts in one direction."""
        return sum(line.units for line in self.lines if line.direction == direction)


def statement(platform: Platform, period: str) -> Statement:
    """What the ledger says of one month. Sums are exact: money is multiplied here, not in the database."""
    keys = (
        "gateway_name", "direction", "unit_cost", "cost_currency", "unit_price", "price_currency", "is_certain",
    )  # fmt: skip
    rows = LedgerEntry.objects.filter(platform=platform, period=period).order_by(*keys)
    merged: dict[tuple[Any, ...], list[int]] = {}
    for row in rows.values(*keys).annotate(messages=Count("pk"), parts=Sum("units")):
        counts = merged.setdefault(tuple(row[key] for key in keys[:-1]), [0, 0, 0])
        counts[0] += row["messages"]
        counts[1] += row["parts"]
        counts[2] += 0 if row["is_certain"] else row["parts"]
    lines = [
        Line(
            name,
            direction,
            counts[0],
            counts[1],
            counts[2],
            unit_cost,
            cost_currency,
            unit_price,
            price_currency,
        )
        for (name, direction, unit_cost, cost_currency, unit_price, price_currency), counts in merged.items()
    ]
    order = {Direction.OUT: 0, Direction.IN: 1}
    lines.sort(key=lambda line: (order[Direction(line.direction)], line.gateway_name, line.unit_price))
    return Statement(platform, period, tuple(lines))


def months_of(platform: Platform) -> list[str]:
    """The months of which there is a statement, the latest first."""
    rows = LedgerEntry.objects.filter(platform=platform).order_by("-period")
    return list(rows.values_list("period", flat=True).distinct())


def sheets_of(found: Statement, *, with_cost: bool) -> list[Sheet]:
    """The statement as tables: the sums, and every SMS. What a gateway takes is for its owner's eyes."""
    return [_sums(found, with_cost=with_cost), _details(found, with_cost=with_cost)]


def _sums(found: Statement, *, with_cost: bool) -> Sheet:
    names = [
        "month",
        "gateway",
        "direction",
        "messages",
        "parts",
        "uncertain_parts",
        "price_per_part",
        "price",
        "currency",
    ]
    titles = [
        _("month"), _("gateway"), _("direction"), _("messages"), _("parts"), _("of these uncertain"),
        _("price per part"), _("price"), _("currency"),
    ]  # fmt: skip
    if with_cost:
        names += ["cost_per_part", "cost", "cost_currency"]
        titles += [_("cost per part"), _("cost"), _("currency of the cost")]
    rows: list[list[Any]] = []
    for line in found.lines:
        row: list[Any] = [
            found.period, line.gateway_name or "—", Direction(line.direction).label, line.messages, line.units,
            line.uncertain, line.unit_price, line.price, line.price_currency,
        ]  # fmt: skip
        rows.append(row + ([line.unit_cost, line.cost, line.cost_currency] if with_cost else []))
    for currency, price in found.total("price").items():
        total: list[Any] = [found.period, _("total"), "", "", "", "", "", price, currency]
        rows.append(total + ([""] * 3 if with_cost else []))
    if with_cost:
        rows += [
            [found.period, _("total cost"), *[""] * 7, "", cost, currency]
            for currency, cost in found.total("cost").items()
        ]
    return Sheet(_("Statement"), names, [str(title) for title in titles], rows)


def _details(found: Statement, *, with_cost: bool) -> Sheet:
    names = [
        "at",
        "gateway",
        "direction",
        "purpose",
        "sms",
        "parts",
        "price",
        "currency",
        "certain",
        "beyond_limit",
    ]
    titles = [
        _("time"), _("gateway"), _("direction"), _("purpose"), _("SMS"), _("parts"), _("price"), _("currency"),
        _("certain"), _("beyond the limit"),
    ]  # fmt: skip
    if with_cost:
        names += ["cost", "cost_currency"]
        titles += [_("cost"), _("currency of the cost")]

    def rows() -> Iterator[list[Any]]:
        entries = LedgerEntry.objects.filter(platform=found.platform, period=found.period).order_by(
            "at", "pk"
        )
        zone = ZoneInfo(found.platform.time_zone)
        for entry in entries.iterator(chunk_size=1000):
            row: list[Any] = [
                entry.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z"), entry.gateway_name,
                Direction(entry.direction).label, entry.purpose, str(entry.subject_id), entry.units, entry.price,
                entry.price_currency, _("yes") if entry.is_certain else _("no"),
                _("yes") if entry.is_beyond_limit else _("no"),
            ]  # fmt: skip
            yield row + ([entry.cost, entry.cost_currency] if with_cost else [])

    return Sheet("SMS", names, [str(title) for title in titles], rows())
