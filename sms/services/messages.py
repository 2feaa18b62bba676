"""Put an SMS into the outbox, and take it back: rows first, sending later."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from devices.models import Command
from platforms import audit, ledger, quotas
from platforms.models import Platform
from remosa.lib.phones import normalise_msisdn
from remosa.lib.prepared import execute
from sms import bell
from sms.errors import DedupeConflict, SmsInvalid
from sms.models import Gateway, SmsMessage
from sms.segments import Segments, count
from sms.signals import message_moved
from sms.states import SMS, SmsState

MAX_LENGTH = 1600  # characters
Purpose = SmsMessage.Purpose


def enqueue(
    *,
    platform: Platform,
    to: str,
    body: str,
    purpose: str,
    dedupe_key: str,
    now: datetime,
    expires_at: datetime | None = None,
    for_people: bool = False,
    beyond_limit: bool = False,
    command: Command | None = None,
    gateway: Gateway | None = None,
) -> SmsMessage:
    """Write one SMS into the outbox; idempotent by ``(platform, dedupe_key)``.

    ``for_people`` lets it use the share of the limit that is kept for people, ``beyond_limit`` more than all
    of it; ``expires_at`` defaults to ``SMS_VALIDITY_S`` from now; ``gateway`` pins a test. Raises SmsInvalid
    for a number or a text that cannot be sent, QuotaExceeded, and DedupeConflict when the key was used for
    another number or text.
    """
    number, segments = _number(to), measure(body)
    found = SmsMessage.objects.filter(platform=platform, dedupe_key=dedupe_key).first()
    if found is None:
        message = SmsMessage(
            platform=platform, gateway=gateway, command=command, purpose=purpose, to=number, body=body,
            segments=segments.parts, state=SmsState.QUEUED, state_changed_at=now, dedupe_key=dedupe_key,
            next_attempt_at=now, created_at=now,
            expires_at=expires_at or now + timedelta(seconds=settings.SMS_VALIDITY_S),
        )  # fmt: skip
        found = _write(message, now=now, for_people=for_people, beyond_limit=beyond_limit)
    if (found.to, found.body) != (number, body):
        raise DedupeConflict(_("This key was already used for another SMS."))
    return found


def _write(message: SmsMessage, *, now: datetime, for_people: bool, beyond_limit: bool) -> SmsMessage:
    """Insert ``message`` and reserve its units; the row that was there first when somebody was faster."""
    with transaction.atomic():
        SmsMessage.objects.bulk_create([message], ignore_conflicts=True)
        row = SmsMessage.objects.get(platform=message.platform_id, dedupe_key=message.dedupe_key)
        if row.pk != message.pk:
            return row
        quotas.reserve(
            platform=message.platform, kind=quotas.SMS, units=message.segments, key=message.pk, at=now,
            for_people=for_people, beyond_limit=beyond_limit,
        )  # fmt: skip
        row.events.create(from_state="", to_state=SmsState.QUEUED, at=now)
        bell.ring(message.platform_id)
    return message


def _number(to: str) -> str:
    try:
        return normalise_msisdn(to)
    except ValueError as exc:
        raise SmsInvalid(str(exc), fields={"to": str(exc)}) from exc


def measure(body: str) -> Segments:
    """What ``body`` costs; SmsInvalid for a text that cannot be sent."""
    if not body.strip():
        raise SmsInvalid(_("The SMS is empty."), fields={"body": _("Write a text.")})
    if len(body) > MAX_LENGTH:
        sentence = _("At most %(length)d characters fit.") % {"length": MAX_LENGTH}
        raise SmsInvalid(sentence, fields={"body": sentence})
    if "\x00" in body:
        raise SmsInvalid(
            _("The text holds a zero character."), fields={"body": _("Remove the zero character.")}
        )
    try:
        return count(body)
    except ValueError as exc:
        raise SmsInvalid(str(exc), fields={"body": str(exc)}) from exc


def cancel(message: SmsMessage, *, now: datetime, by: str = "", reason: str = "cancelled") -> bool:
    """Take back what has not left; False when it is too late. Its units are free again."""
    with transaction.atomic():
        if not SMS.move(message, SmsState.CANCELLED, now=now, why=reason, by=by, reason=reason):
            return False
        settle_units(message, spent=False)
        note_move(message, now=now)
    return True


def settle_units(message: SmsMessage, *, spent: bool) -> None:
    """Spend or give back what was reserved for ``message``; harmless when that was done before.

    What is spent stands in the ledger from the same transaction on.
    """
    reservation = quotas.settle(key=message.pk, spent=spent)
    if reservation is not None and spent:
        ledger.charge(**_charge(message), is_beyond_limit=reservation.is_beyond_limit)


def settle_sent(messages: Sequence[SmsMessage], *, now: datetime) -> None:
    """What follows when messages to people were sent: units, ledger, audit and bells, for all of them at once."""
    held = quotas.hold([message.pk for message in messages])
    keys = {row.key for row in held}
    paid = [ledger.entry(**_charge(message)) for message in messages if message.pk in keys]
    execute(
        *quotas.settlement(held, spent=True),
        *([ledger.writing(paid)] if paid else []),
        audit.writing([audit.line(**_note(message, now=now)) for message in messages]),
    )
    for message in messages:
        _ring(message)


def _charge(message: SmsMessage) -> dict[str, Any]:
    """``message`` as the ledger takes it."""
    return {
        "platform": message.platform, "direction": ledger.Direction.OUT, "subject_id": message.pk,
        "units": message.segments, "tariff": tariff_of(message.gateway, ledger.Direction.OUT),
        "at": message.state_changed_at, "reserved_at": message.created_at, "purpose": message.purpose,
        "is_certain": message.state != SmsState.UNKNOWN,
    }  # fmt: skip


def tariff_of(gateway: Gateway | None, direction: str) -> ledger.Tariff:
    """What one part costs through ``gateway``."""
    if gateway is None:
        return ledger.Tariff()
    cost = gateway.price if direction == ledger.Direction.OUT else gateway.price_in
    return ledger.Tariff(gateway.pk, gateway.name, cost, gateway.currency)


def note_move(message: SmsMessage, *, now: datetime) -> None:
    """The audit line and the bell of a step that settles something."""
    audit.record(**_note(message, now=now))
    _ring(message)


def _note(message: SmsMessage, *, now: datetime) -> dict[str, Any]:
    """The step of ``message`` as the audit takes it."""
    cause: uuid.UUID | None = message.command.cause_id if message.command_id else None
    return {
        "actor": audit.SYSTEM, "verb": f"sms.{message.state}", "target": message, "platform": message.platform,
        "cause_id": cause, "reason": message.reason, "at": now,
        "after": {"purpose": message.purpose, "parts": message.segments, "tries": message.attempts},
    }  # fmt: skip


def _ring(message: SmsMessage) -> None:
    key = message.pk
    transaction.on_commit(lambda: message_moved.send_robust(SmsMessage, message_id=key))
