"""Reads of ``sms`` that several interfaces share."""

from dataclasses import dataclass
from datetime import datetime

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

    A command waits for a gateway when it may travel by it and by no other that is well. Whether the
    name of a shared gateway may be shown is the caller's business.
    """
    suspended = [row for row in candidates(platform_id) if row.breaker == Gateway.Breaker.OPEN]
    if not suspended:
        return []
    queued = SmsMessage.objects.filter(
        platform=platform_id, state=SmsState.QUEUED, purpose=SmsMessage.Purpose.COMMAND
    )
    stuck = []
    for message in queued.select_related("command__device").order_by("created_at")[:LOOKED_AT]:
        ways = routes(message)
        if not any(row.breaker == Gateway.Breaker.CLOSED and is_well(row, now=now) for row in ways):
            stuck.append({row.pk for row in ways})
    return [
        BlockedGateway(row, row.breaker_since or row.last_error_at, row.last_error,
                       sum(row.pk in ways for ways in stuck))
        for row in suspended
    ]  # fmt: skip
