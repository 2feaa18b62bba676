"""Delivery reports: they come late, twice, in the wrong order, and for numbers that were used before."""

import uuid
from datetime import datetime, timedelta
from typing import Literal

from django.db import transaction
from django.db.models import Q, QuerySet

from devices.services import record_delivery, record_sent
from sms.models import Gateway, SmsMessage
from sms.services.messages import note_move, settle_units
from sms.states import SMS, SmsState

Applied = Literal["applied", "repeated", "unmatched", "ambiguous", "ignored", "too_early"]
REF_AGE = timedelta(hours=72)  # gateways use their numbers again: an older message is not meant
LEFT = (SmsState.SENDING, SmsState.SENT, SmsState.UNKNOWN, SmsState.DELIVERED, SmsState.UNDELIVERED)
WAITING = (SmsState.QUEUED, SmsState.CLAIMED)


def apply_delivery_report(
    *,
    gateway: Gateway,
    delivered: bool,
    at: datetime,
    ref: str = "",
    client_ref: str = "",
    to: str = "",
    of_part: bool = False,
) -> Applied:
    """Move the message that ``gateway`` reports on; ``client_ref`` is our id, ``ref`` the gateway's.

    Safe to repeat and safe in any order: the first final report stays. A message of another gateway
    is never found. ``ambiguous`` means that several recent messages carry this ref; ``ignored``, that
    one part of several arrived (``of_part``), which settles nothing; ``too_early``, that the answer which
    names this ref may be on its way to us still.
    """
    found = list(_meant(gateway, ref=ref, client_ref=client_ref, to=to, at=at)[:2])
    if len(found) != 1:
        if not found and not client_ref and _is_on_the_wire(gateway, to=to):
            return "too_early"
        return "ambiguous" if found else "unmatched"
    message = found[0]
    if of_part and delivered and message.segments > 1:
        return "ignored"
    with transaction.atomic():
        target = SmsState.DELIVERED if delivered else SmsState.UNDELIVERED
        times = {"delivered_at": at} if delivered else {"reason": "undelivered"}
        if SMS.move(message, target, now=at, why="delivery report", **times):
            _settle(message, delivered=delivered, at=at)
            return "applied"
        return "applied" if delivered and _stop_retrying(message, at=at) else "repeated"


def _meant(gateway: Gateway, *, ref: str, client_ref: str, to: str, at: datetime) -> QuerySet[SmsMessage]:
    rows = SmsMessage.objects.filter(gateway=gateway).select_related("platform", "command")
    if client_ref:
        try:
            return rows.filter(pk=uuid.UUID(client_ref))
        except ValueError:
            return rows.none()
    if not ref:
        return rows.none()
    rows = rows.filter(Q(state__in=LEFT), gateway_ref=ref, created_at__gte=at - REF_AGE)
    return rows.filter(to=to) if to else rows


def _is_on_the_wire(gateway: Gateway, *, to: str) -> bool:
    """Whether a message is with this gateway whose ref we do not know yet."""
    rows = SmsMessage.objects.filter(gateway=gateway, state=SmsState.SENDING, gateway_ref="")
    return (rows.filter(to=to) if to else rows).exists()


def _settle(message: SmsMessage, *, delivered: bool, at: datetime) -> None:
    """What follows from a final report, also when it overtook the answer of the gateway."""
    SmsMessage.objects.filter(pk=message.pk, sent_at=None).update(sent_at=at)
    if message.command_id:
        record_sent(message.command_id, at=at)
        record_delivery(message.command_id, delivered=delivered, at=at)
    settle_units(message, spent=True)
    note_move(message, now=at)


def _stop_retrying(message: SmsMessage, *, at: datetime) -> bool:
    """The gateway said "not queued" and delivered all the same: it must not be sent a second time."""
    if message.state not in WAITING or not message.attempts:
        return False
    if not SMS.move(
        message, SmsState.CANCELLED, now=at, why="delivered after all", reason="delivered_after_all"
    ):
        return False
    _settle(message, delivered=True, at=at)
    return True
