"""Reads of ``sms`` that several interfaces share."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from sms.models import Gateway, SmsMessage
from sms.services.gateways import candidates, is_well, routes
from sms.states import SmsState

LOOKED_AT = 500  # waiting commands that are counted one by one


@dataclass(frozen=True)
class BlockedGateway:
    """A gateway that takes nothing now: since when, why, and how many commands wait for it alone."""

    gateway: Gateway
    since: datetime | None
    reason: str
    waiting: int


def blocked_gateways(platform_id: int, *, now: datetime) -> list[BlockedGateway]:
    """The suspended gateways that this platform would use, in the order of trying.

    Whether the name of a shared gateway may be shown is the caller's business.
    """
    rows = candidates(platform_id)
    return _blocked([row for row in rows if row.breaker == Gateway.Breaker.OPEN], [platform_id], now=now)


def blocked_for(platform_ids: Collection[int], *, now: datetime) -> list[BlockedGateway]:
    """The suspended gateways that these platforms would use, each once, those with most waiting first.

    Three queries, however many platforms; one while all gateways are well.
    """
    wanted = Q(platform__in=platform_ids) | Q(platform=None)
    rows = Gateway.objects.filter(wanted, is_enabled=True, breaker=Gateway.Breaker.OPEN)
    found = _blocked(list(rows.select_related("platform").order_by("priority", "pk")), platform_ids, now=now)
    return sorted(found, key=lambda row: -row.waiting)


def _blocked(
    suspended: list[Gateway], platform_ids: Collection[int], *, now: datetime
) -> list[BlockedGateway]:
    """A command waits for a gateway when it may travel by it and by no other that is well."""
    if not suspended:
        return []
    stuck = _stuck_commands(platform_ids, now=now)
    return [
        BlockedGateway(row, row.breaker_since or row.last_error_at, row.last_error,
                       sum(row.pk in ways for ways in stuck))
        for row in suspended
    ]  # fmt: skip


def _stuck_commands(platform_ids: Collection[int], *, now: datetime) -> list[set[int]]:
    """For each waiting command that no gateway which is well may carry: the gateways that may."""
    queued = SmsMessage.objects.filter(
        platform__in=platform_ids,
        state=SmsState.QUEUED,
        purpose=SmsMessage.Purpose.COMMAND,
        expires_at__gt=now,
    )
    messages = list(queued.select_related("command__device").order_by("created_at")[:LOOKED_AT])
    if not messages:
        return []
    own: dict[int | None, list[Gateway]] = defaultdict(list)
    rows = Gateway.objects.filter(Q(platform__in=platform_ids) | Q(platform=None), is_enabled=True)
    for row in rows.order_by(F("platform").asc(nulls_last=True), "priority", "pk"):
        own[row.platform_id].append(row)
    stuck = []
    for message in messages:
        ways = routes(message, own[message.platform_id] + own[None])
        if not any(row.breaker == Gateway.Breaker.CLOSED and is_well(row, now=now) for row in ways):
            stuck.append({row.pk for row in ways})
    return stuck
