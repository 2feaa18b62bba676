"""What people do with incoming SMS that nobody could place: say what it answers, or teach what it means."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from devices.models import Command, Device, OwnReplyRule
from devices.replies import ReplyRule, read_reply
from devices.services import assign_reply, record_reply
from devices.services.rules import make_rule
from platforms import audit
from sms.errors import SmsInvalid
from sms.models import InboundSms
from sms.states import INBOUND, WAITS_FOR_A_PERSON, InboundState

LATELY = 20  # commands that an SMS may be said to answer


def assignable(row: InboundSms) -> QuerySet[Command]:
    """The commands that ``row`` may answer: those of its own device that had left before it came, newest first."""
    if row.device_id is None:
        return Command.objects.none()
    left = Command.objects.filter(device=row.device_id, sent_at__lte=row.received_at)
    newest = left.order_by("-sent_at").values_list("pk", flat=True)[:LATELY]
    return Command.objects.filter(pk__in=list(newest)).select_related("template__model", "device")


def assign(row: InboundSms, *, command: Command, by: Any, now: datetime) -> bool:
    """A person says which command ``row`` answers; False when it is settled already.

    SmsInvalid for a command of another device, or one that had not left when the SMS came.
    """
    if not assignable(row).filter(pk=command.pk).exists():
        sentence = _("This SMS cannot be the answer to that command.")
        raise SmsInvalid(sentence, fields={"command": sentence})
    with transaction.atomic():
        if not INBOUND.move(row, InboundState.MATCHED, now=now, reason="assigned", command=command):
            return False
        assign_reply(command, text=row.body, at=row.received_at, by=by)
        audit.record(
            actor=audit.person(by), verb="sms.assigned", target=row, platform=row.platform,
            cause_id=command.cause_id, after={"command": str(command.pk)}, at=now,
        )  # fmt: skip
    return True


def assign_device(row: InboundSms, *, device: Device, by: Any, now: datetime) -> bool:
    """A person says that ``device`` sent ``row``: it is read as its text; False when it is settled already.

    SmsInvalid for a device of another platform.
    """
    if device.platform_id != row.platform_id:
        sentence = _("Choose a socket of the platform that this SMS came to.")
        raise SmsInvalid(sentence, fields={"device": sentence})
    with transaction.atomic():
        mine = InboundSms.objects.filter(pk=row.pk, device=None, state__in=WAITS_FOR_A_PERSON)
        if not mine.update(device=device):
            return False
        row.refresh_from_db()
        outcome = record_reply(device, text=row.body, at=row.received_at)
        kind = outcome.verdict.kind if outcome.verdict is not None else ""
        if outcome.match == row.state:
            InboundSms.objects.filter(pk=row.pk).update(reason=kind)
        else:
            INBOUND.move(row, InboundState(outcome.match), now=now, reason=kind, command=outcome.command)
        audit.record(
            actor=audit.person(by), verb="sms.assigned", target=row, platform=row.platform,
            after={"device": str(device), "match": outcome.match}, at=now,
        )  # fmt: skip
    return True


def facts_in(row: InboundSms, made: OwnReplyRule) -> dict[str, Any]:
    """What the rule ``made`` reads from ``row``."""
    return dict(read_reply(row.body, [ReplyRule.from_dict(made.rule)], awaiting=None).facts)


def teach(row: InboundSms, *, rule: Mapping[str, Any], by: Any, now: datetime) -> OwnReplyRule:
    """Make a rule of the platform from ``row``, and read the SMS again by it.

    Raises ReplyRuleError for a bad rule, SmsInvalid where the SMS is of no device with a model.
    """
    known = Device.objects.select_related("model", "platform")
    device = known.filter(pk=row.device_id).first() if row.device_id is not None else None
    if device is None or device.model is None or device.platform_id != row.platform_id:
        sentence = _("Only a text of a socket with a model can teach a rule.")
        raise SmsInvalid(sentence, fields={"rule": sentence})
    with transaction.atomic():
        made = make_rule(
            platform=device.platform, model=device.model, rule=rule, text=row.body, by=by, now=now
        )
        if row.state in WAITS_FOR_A_PERSON:
            outcome = record_reply(device, text=row.body, at=row.received_at)
            kind = outcome.verdict.kind if outcome.verdict is not None else ""
            if outcome.match == "matched":
                INBOUND.move(row, InboundState.MATCHED, now=now, reason="taught", command=outcome.command)
            elif outcome.match == "understood":
                INBOUND.move(row, InboundState.UNDERSTOOD, now=now, why="taught", reason=kind)
            elif kind != "unrecognised":
                InboundSms.objects.filter(pk=row.pk).update(reason=kind)
    return made
