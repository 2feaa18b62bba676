"""Incoming SMS: written down first, then matched to the device that sent it and the command it answers.

An incoming SMS is evidence, never an order. Only a device of the gateway's own platform is
believed when the gateway belongs to a platform: a client cannot speak for another client's socket.
"""

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction

from devices.models import Device
from devices.services import record_reply
from platforms import audit, ledger
from remosa.lib.phones import normalise_msisdn
from remosa.lib.texts import storable
from sms.models import Gateway, InboundSms
from sms.ports import InboundText
from sms.segments import count
from sms.services.messages import tariff_of
from sms.signals import inbound_matched
from sms.states import INBOUND, InboundState

logger = logging.getLogger(__name__)
SWEEP = 200
MAX_BODY, MAX_SENDER = 1600, 32
REF_AGE = timedelta(hours=72)  # as in ``reports``


def receive(
    *, gateway: Gateway, text: InboundText, now: datetime, batch: str = ""
) -> tuple[InboundSms, bool]:
    """Write down one SMS and match it; (row, whether it is new). The row is committed before the match.

    The same SMS handed over twice is one row: by the gateway's ref and its text, else by sender, time and
    text. Handed over again under a new ref (same sender, time and text), it is kept beside the first, set
    aside, and answers nothing. A ref that comes back with another text, or days later, is another SMS.
    One without ref and time cannot be told from another; ``batch`` names it within a repeated read.
    """
    row = InboundSms(
        gateway=gateway, platform=gateway.platform, sender=storable(text.sender).strip()[:MAX_SENDER],
        body=storable(text.body)[:MAX_BODY], sent_at=text.sent_at, received_at=now,
        dedupe_key=_dedupe_key(gateway, text, batch), text_key=_text_key(gateway, text),
        state=InboundState.RECEIVED, state_changed_at=now,
    )  # fmt: skip
    if _insert(row):
        return _match_safely(row, now=now), True
    first = InboundSms.objects.filter(dedupe_key=row.dedupe_key).first()
    if first is not None and not _is_ref_reused(first, text):
        return _original(row.text_key) or first, False
    if first is not None:
        row.dedupe_key = _digest(gateway, "ref again", text.ref, *_content(text))
        if _insert(row):
            return _match_safely(row, now=now), True
    return _repeated(row, now=now), False


def _insert(row: InboundSms) -> bool:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _is_ref_reused(first: InboundSms, text: InboundText) -> bool:
    """Gateways count from one again: the same ref days apart is not the same SMS."""
    if not text.ref or text.sent_at is None or first.sent_at is None:
        return False
    return abs(text.sent_at - first.sent_at) > REF_AGE


def _repeated(row: InboundSms, *, now: datetime) -> InboundSms:
    """Keep what is the same SMS under a new name, so that nothing that was acknowledged is lost; its first row."""
    text_key, row.text_key = row.text_key, None
    row.state, row.reason = InboundState.IGNORED, "repeated"
    if _insert(row):
        audit.record(
            actor=audit.SYSTEM,
            verb="sms.repeated",
            target=row,
            platform=row.platform,
            reason="repeated",
            at=now,
        )
    return _original(text_key) or InboundSms.objects.get(dedupe_key=row.dedupe_key)


def _original(text_key: str | None) -> InboundSms | None:
    return InboundSms.objects.filter(text_key=text_key).first() if text_key else None


def _dedupe_key(gateway: Gateway, text: InboundText, batch: str) -> str:
    if text.ref:
        return _digest(gateway, "ref", text.ref, text.sender, text.body)
    if text.sent_at is not None:
        return _digest(gateway, "text", *_content(text))
    return _digest(gateway, "batch", batch, text.sender, text.body)


def _text_key(gateway: Gateway, text: InboundText) -> str | None:
    """What an SMS is whatever the gateway calls it; None when nobody knows when it was sent."""
    return _digest(gateway, "text", *_content(text)) if text.sent_at is not None else None


def _content(text: InboundText) -> tuple[str, str, str]:
    return text.sender, text.sent_at.isoformat() if text.sent_at else "", text.body


def _digest(gateway: Gateway, *parts: str) -> str:
    told = "\x1f".join([str(gateway.pk), *parts])
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()


def _match_safely(row: InboundSms, *, now: datetime) -> InboundSms:
    """Match, or leave the row to the sweep; a row that cannot be matched at all goes to the visible inbox."""
    try:
        return match_inbound(row, now=now)
    except DatabaseError:
        logger.warning("inbound match postponed id=%s", row.pk)
    except Exception:  # one poisonous SMS must not stop the others
        logger.exception("inbound match failed id=%s", row.pk)
        INBOUND.move(row, InboundState.UNMATCHED, now=now, why="error", reason="error")
    return row


def match_inbound(row: InboundSms, *, now: datetime) -> InboundSms:
    """Find the device and the command that ``row`` answers and say what came of it; once."""
    with transaction.atomic():
        locked = (
            InboundSms.objects.select_for_update(of=("self",))
            .select_related("gateway__platform")
            .get(pk=row.pk)
        )
        if locked.state != InboundState.RECEIVED:
            return locked
        device = _device_of(locked)
        if device is None:
            _conclude(locked, InboundState.UNMATCHED, now=now, reason="stranger")
            return locked
        outcome = record_reply(device, text=locked.body, at=locked.received_at)
        shown = outcome.verdict.masked_text[:MAX_BODY] if outcome.verdict else locked.body
        _conclude(
            locked, InboundState(outcome.match), now=now,
            reason=(outcome.verdict.mismatch or outcome.verdict.kind) if outcome.verdict else "",
            device=device, platform=device.platform, command=outcome.command, body=shown,
        )  # fmt: skip
    return locked


def _device_of(row: InboundSms) -> Device | None:
    try:
        number = normalise_msisdn(row.sender)
    except ValueError:
        return None
    devices = Device.objects.filter(msisdn=number, is_active=True).select_related("platform", "model")
    if row.gateway is not None and row.gateway.platform_id is not None:
        devices = devices.filter(platform=row.gateway.platform_id)
    return devices.first()


def _conclude(row: InboundSms, target: InboundState, *, now: datetime, reason: str, **columns: Any) -> None:
    parts = count(row.body).parts  # before what must not be kept is masked
    if not INBOUND.move(row, target, now=now, reason=reason, **columns):
        return
    device: Device | None = row.device
    actor = audit.SYSTEM if device is None else audit.Actor(audit.Kind.DEVICE, str(device.pk), str(device))
    audit.record(
        actor=actor, verb="sms.received", target=row, platform=row.platform, reason=reason, at=now,
        cause_id=row.command.cause_id if row.command else None, after={"match": row.state},
    )  # fmt: skip
    if row.platform is not None:
        ledger.charge(
            platform=row.platform, direction=ledger.Direction.IN, subject_id=row.pk, units=parts,
            tariff=tariff_of(row.gateway, ledger.Direction.IN), at=now, reserved_at=row.received_at,
        )  # fmt: skip
    key = row.pk
    transaction.on_commit(lambda: inbound_matched.send_robust(InboundSms, inbound_id=key))


def sweep_inbound(*, now: datetime) -> int:
    """Match what was received and left lying; the number of rows that moved."""
    waiting = InboundSms.objects.filter(state=InboundState.RECEIVED).order_by("received_at")[:SWEEP]
    return sum(_match_safely(row, now=now).state != InboundState.RECEIVED for row in waiting)


def ignore(row: InboundSms, *, by: object, now: datetime) -> bool:
    """A person sets an SMS aside; False when it is settled already."""
    with transaction.atomic():
        if not INBOUND.move(row, InboundState.IGNORED, now=now, reason="ignored"):
            return False
        audit.record(actor=audit.person(by), verb="sms.ignored", target=row, platform=row.platform, at=now)
    return True
