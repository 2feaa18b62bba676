"""What became of a command: every report moves it forward or is only written down.

All of these are safe to repeat and safe in any order. Each rings the bell ``command_moved`` and
frees the actuator's lane when it ends the command.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from devices.models import Command, Device
from devices.replies import ReplyRule, ReplyVerdict, load_rules, read_reply
from devices.services.commands import dispatch_waiting, state_after_refusal
from devices.signals import command_moved
from devices.states import AWAITING_REPLY, COMMAND, IN_FLIGHT, CommandState, DeviceState
from platforms import audit

S = CommandState
BOOT_MINUTES = 5  # after power is back, until a player is expected online


def _get(command_id: uuid.UUID) -> Command:
    return Command.objects.select_related("device__model", "template__model", "platform", "target").get(
        pk=command_id
    )


def _move(command: Command, target: CommandState, *, now: datetime, why: str = "", **columns: Any) -> bool:
    """Move, ring, and give the lane to the next; False when the move is not in the table."""
    with transaction.atomic():
        if not COMMAND.move(command, target, now=now, why=why, **columns):
            return False
        key, device_id = command.pk, command.device_id
        transaction.on_commit(lambda: command_moved.send(Command, command_id=key))
        if target not in IN_FLIGHT:
            dispatch_waiting(device_id=device_id, now=now)
    return True


def recovery_time(command: Command) -> timedelta:
    """How long after the device acts its players may be dark: the command's own minutes, and booting."""
    minutes = command.params.get("minutes", 0) if command.power == "cycle" else 0
    return timedelta(seconds=(float(minutes) + BOOT_MINUTES) * settings.DEVICE_MINUTE_S)


def record_sent(command_id: uuid.UUID, *, at: datetime) -> bool:
    """The gateway took the message."""
    command = _get(command_id)
    reply_wait = timedelta(seconds=settings.COMMAND_REPLY_WAIT_S)
    times: dict[str, Any] = {
        "sent_at": at,
        "reply_until": at + reply_wait,
        "verify_until": at + reply_wait + recovery_time(command),
    }
    if _move(command, S.SENT, now=at, **times):
        return True
    # a report or the reply was faster: only the times are missing
    Command.objects.filter(pk=command_id, sent_at=None).update(**times)
    return False


def record_failed(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """Nothing left, and nothing more will be tried."""
    return _move(_get(command_id), S.FAILED, now=at, why=reason, failure_reason=reason)


def record_unknown(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """It may have left. Until the quarantine ends no other command may use the lane."""
    command = _get(command_id)
    reply_until = at + timedelta(seconds=settings.COMMAND_REPLY_WAIT_S)
    quarantine = max(settings.OUTBOX_LEASE_S, settings.SMS_VALIDITY_S) + 60
    return _move(
        command, S.UNKNOWN, now=at, why=reason, failure_reason=reason, sent_at=at,
        reply_until=reply_until, verify_until=reply_until + recovery_time(command),
        quarantine_until=at + timedelta(seconds=quarantine),
    )  # fmt: skip


def record_refused_at_barrier(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """A guard objected at the last moment, or the message was too late (``expired``)."""
    target = S.EXPIRED if reason == "expired" else state_after_refusal(reason)
    return _move(_get(command_id), target, now=at, why=reason, failure_reason=reason)


def record_delivery(command_id: uuid.UUID, *, delivered: bool, at: datetime) -> bool:
    """The network's report: it reached the SIM, or was given up for good."""
    target = S.DELIVERED if delivered else S.NOT_EXECUTED
    return _move(_get(command_id), target, now=at, failure_reason="" if delivered else "undelivered")


def confirm(command_id: uuid.UUID, *, at: datetime, why: str) -> bool:
    """The effect was seen: the repaired device went down and came back and stays."""
    return _move(_get(command_id), S.VERIFIED, now=at, why=why)


@dataclass(frozen=True)
class ReplyOutcome:
    """What a reply meant: ``match`` is ``matched``, ``unmatched`` or ``ambiguous``."""

    match: str
    command: Command | None = None
    verdict: ReplyVerdict | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def record_reply(device: Device, *, text: str, at: datetime) -> ReplyOutcome:
    """Match an SMS from ``device`` to the one command that awaits it, and read it.

    A reply is evidence, never authority: it only moves a command of this very device that was sent
    before ``at`` and is still awaited. More than one candidate is ambiguous and moves nothing.
    """
    candidates = [
        command
        for command in Command.objects.filter(device=device, state__in=AWAITING_REPLY)
        .select_related("template__model", "platform", "device__model", "target")
        .order_by("created_at")
        if command.created_at <= at and (command.reply_until is None or at <= command.reply_until)
    ]
    rules = load_rules(device.model.reply_rules) if device.model else []
    chosen, verdict = _choose(candidates, rules, text)
    facts = {**device.facts, **verdict.facts, "heard_at": at.isoformat()}
    Device.objects.filter(pk=device.pk).update(facts=facts)
    if chosen is not None:
        _settle_reply(chosen, verdict, at=at)
        return ReplyOutcome("matched", command=chosen, verdict=verdict, facts=verdict.facts)
    several = len(candidates) > 1 and verdict.kind != "event"
    return ReplyOutcome("ambiguous" if several else "unmatched", verdict=verdict, facts=verdict.facts)


def _choose(
    candidates: list[Command], rules: list[ReplyRule], text: str
) -> tuple[Command | None, ReplyVerdict]:
    """The one command that this text answers; a text that nobody can read answers the only candidate."""
    read = [
        (command, read_reply(text, rules, awaiting=command.template.spec, sent=command.params))
        for command in candidates
    ]
    fitting = [(command, verdict) for command, verdict in read if verdict.answers]
    if len(fitting) == 1:
        return fitting[0]
    if len(read) == 1 and read[0][1].kind == "unrecognised":
        return read[0]
    return None, read_reply(text, rules, awaiting=None)


def _settle_reply(command: Command, verdict: ReplyVerdict, *, at: datetime) -> None:
    text = {"replied_at": at, "reply_text": verdict.masked_text[:1600], "reply_verdict": verdict.kind}
    with transaction.atomic():
        if not _move(command, S.REPLIED, now=at, why=verdict.kind, **text):
            return
        if verdict.kind == "refused":
            _move(command, S.REFUSED, now=at, why=verdict.reason, failure_reason="refused_by_device")
        audit.record(
            actor=audit.Actor(audit.Kind.DEVICE, str(command.device_id), str(command.device)),
            verb="command.replied", target=command, platform=command.platform, cause_id=command.cause_id, at=at,
            after={"verdict": verdict.kind, "text": verdict.masked_text},
        )  # fmt: skip


def sweep_commands(*, now: datetime) -> int:
    """Settle what time has decided; the number of commands moved. Any process may run it at any time."""
    moved = 0
    late = Command.objects.filter(state=S.REQUESTED, expires_at__lte=now)
    for command in late[:500]:
        moved += _move(command, S.EXPIRED, now=now, why="lane was busy", failure_reason="expired")
    silent = Command.objects.filter(state__in=[S.SENT, S.DELIVERED], verify_until__lte=now)
    for command in silent[:500]:
        moved += _move(command, S.UNVERIFIED, now=now, why="no proof in time", failure_reason="no_proof")
    for command in Command.objects.filter(state=S.UNKNOWN, quarantine_until__lte=now)[:500]:
        moved += _move(
            command, S.NEEDS_OPERATOR, now=now, why="no evidence", failure_reason=command.failure_reason
        )
    moved += _sweep_replied(now=now)
    for device_id in (
        Command.objects.filter(state=S.REQUESTED).values_list("device_id", flat=True).distinct()[:500]
    ):
        moved += dispatch_waiting(device_id=device_id, now=now) is not None
    return moved


def _sweep_replied(*, now: datetime) -> int:
    """A repair asked for by a person has no case behind it: its target decides at the deadline."""
    moved = 0
    waiting = Command.objects.filter(
        state=S.REPLIED, case_id=None, target__isnull=False, verify_until__lte=now
    )
    for command in waiting.select_related("target")[:500]:
        since, sent = command.target.state_since, command.sent_at
        is_later = since is not None and sent is not None and since > sent
        back = command.target.state == DeviceState.ONLINE and is_later
        moved += _move(command, S.VERIFIED if back else S.UNVERIFIED, now=now, why="target at the deadline")
    return moved
