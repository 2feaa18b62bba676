"""Limits: reserve, commit, release. Each is one conditional UPDATE, exact under concurrency.

The limit itself lives on the Platform row and is read inside the same statement, so that a change
of the limit counts at once. A share of the SMS limit is kept for people: automation may fill only
the rest.
"""

import math
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from django.db import models, transaction
from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Floor

from platforms.errors import QuotaExceeded
from platforms.models import Platform, QuotaReservation, Usage
from remosa.lib.prepared import Change, Given, PreparedQuery, PreparedUpdate, each_given, execute, padded

SMS = "sms"
DEVICES = "devices"
ALWAYS = "always"  # the period of a limit that does not start anew
LIMIT_COLUMNS = {SMS: "sms_limit", DEVICES: "device_limit"}


def sms_period(platform: Platform, at: datetime) -> str:
    """The calendar month of ``at`` in the platform's time zone, as YYYY-MM."""
    return at.astimezone(ZoneInfo(platform.time_zone)).strftime("%Y-%m")


def _ceiling(kind: str, *, for_people: bool) -> Subquery:
    column = F(LIMIT_COLUMNS[kind])
    limit = (
        column
        if for_people or kind != SMS
        else Floor(column * (Value(1.0) - F("sms_people_share_ratio")) + Value(1e-6))
    )
    return Subquery(
        Platform.objects.filter(pk=OuterRef("platform_id")).values(
            ceiling=models.ExpressionWrapper(limit, models.IntegerField())
        )
    )


def reserve(
    *,
    platform: Platform,
    kind: str,
    units: int,
    key: uuid.UUID,
    at: datetime,
    for_people: bool,
    beyond_limit: bool = False,
) -> None:
    """Promise ``units`` to the work ``key``; QuotaExceeded when they do not fit. Repeating a key is harmless.

    ``beyond_limit``: the work has to be done whatever the limit says. It counts all the same, and is marked.
    """
    period = sms_period(platform, at) if kind == SMS else ALWAYS
    with transaction.atomic():
        _reservation, created = QuotaReservation.objects.get_or_create(
            key=key, defaults={"platform": platform, "kind": kind, "period": period, "units": units}
        )
        if not created:
            return
        Usage.objects.bulk_create([Usage(platform=platform, kind=kind, period=period)], ignore_conflicts=True)
        usage = Usage.objects.filter(platform=platform, kind=kind, period=period)
        fits = usage.annotate(ceiling=_ceiling(kind, for_people=for_people)).filter(
            ceiling__gte=F("used") + F("reserved") + units
        )
        if fits.update(reserved=F("reserved") + units):
            return
        if not beyond_limit:
            raise QuotaExceeded(
                kind=kind, wanted=units, left=remaining(platform, kind, at=at, for_people=for_people)
            )
        usage.update(reserved=F("reserved") + units)
        QuotaReservation.objects.filter(key=key).update(is_beyond_limit=True)


def settle(*, key: uuid.UUID, spent: bool) -> QuotaReservation | None:
    """Commit (``spent``) or release a reservation, once; None when it was settled before or never made."""
    target = QuotaReservation.State.COMMITTED if spent else QuotaReservation.State.RELEASED
    with transaction.atomic(savepoint=False):
        mine = QuotaReservation.objects.filter(key=key, state=QuotaReservation.State.RESERVED)
        if not mine.update(state=target):
            return None
        row = QuotaReservation.objects.get(key=key)
        Usage.objects.filter(platform=row.platform_id, kind=row.kind, period=row.period).update(
            reserved=F("reserved") - row.units, used=F("used") + (row.units if spent else 0)
        )
    return row


def settle_all(keys: Collection[uuid.UUID], *, spent: bool) -> frozenset[uuid.UUID]:
    """``settle`` for many at once; those that were not settled before. In the caller's transaction."""
    mine = hold(keys)
    execute(*settlement(mine, spent=spent))
    return frozenset(row.key for row in mine)


def hold(keys: Collection[uuid.UUID]) -> list[QuotaReservation]:
    """Those of these reservations that are not settled yet, locked."""
    given = padded(list(keys)) if keys else []
    return _held(len(given)).objects(key=given) if given else []


def settlement(held: Sequence[QuotaReservation], *, spent: bool) -> list[Change]:
    """What commits (``spent``) or releases reservations that are held."""
    if not held:
        return []
    target = QuotaReservation.State.COMMITTED if spent else QuotaReservation.State.RELEASED
    keys = padded([row.key for row in held])
    units: Counter[tuple[int, str, str]] = Counter()
    for row in held:
        units[row.platform_id, row.kind, row.period] += row.units
    return [
        _settling(len(keys)).with_values(key=keys, state=target),
        *(
            _counting.with_values(
                platform=platform_id, kind=kind, period=period, reserved=sum_, used=sum_ if spent else 0
            )
            for (platform_id, kind, period), sum_ in sorted(units.items())
        ),
    ]


@cache
def _held(count: int) -> PreparedQuery:
    keys = each_given("key", _KEY, count)
    held = QuotaReservation.objects.filter(key__in=keys, state=QuotaReservation.State.RESERVED)
    return PreparedQuery(lambda: held.select_for_update().order_by("key"))


@cache
def _settling(count: int) -> PreparedUpdate:
    rows = QuotaReservation.objects.filter(key__in=each_given("key", _KEY, count))
    return PreparedUpdate(lambda: (rows, {"state": Given("state", models.CharField())}))


_KEY = QuotaReservation._meta.get_field("key")
_counting = PreparedUpdate(
    lambda: (
        Usage.objects.filter(
            platform=Given("platform", Platform._meta.pk), kind=Given("kind", models.CharField()),
            period=Given("period", models.CharField()),
        ),
        {
            "reserved": F("reserved") - Given("reserved", models.IntegerField()),
            "used": F("used") + Given("used", models.IntegerField()),
        },
    )
)  # fmt: skip


def spend(*, platform: Platform, kind: str, units: int, at: datetime, for_people: bool = True) -> None:
    """Reserve and commit in one step, for what is used up at once (a new device)."""
    key = uuid.uuid4()
    with transaction.atomic():
        reserve(platform=platform, kind=kind, units=units, key=key, at=at, for_people=for_people)
        settle(key=key, spent=True)


def give_back(*, platform: Platform, kind: str, units: int) -> None:
    """Return units of a limit that does not start anew (a deleted device)."""
    Usage.objects.filter(platform=platform, kind=kind, period=ALWAYS, used__gte=units).update(
        used=F("used") - units
    )


def remaining(platform: Platform, kind: str, *, at: datetime, for_people: bool = True) -> int:
    """Units that may still be reserved now; never negative."""
    period = sms_period(platform, at) if kind == SMS else ALWAYS
    row = Usage.objects.filter(platform=platform, kind=kind, period=period).first()
    taken = row.used + row.reserved if row else 0
    fresh = Platform.objects.get(pk=platform.pk)
    limit = getattr(fresh, LIMIT_COLUMNS[kind])
    if kind == SMS and not for_people:
        limit = math.floor(limit * (1 - fresh.sms_people_share_ratio) + 1e-6)
    return max(0, limit - taken)
