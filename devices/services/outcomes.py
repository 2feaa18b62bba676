"""What became of a command: every report moves it forward or is only written down.

All of these are safe to repeat and safe in any order. Each rings the bell ``command_moved`` and
frees the actuator's lane when it ends the command.
"""

import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, DateTimeField, F, Q, Value, When

from devices.catalogue import DARKENING
from devices.models import Command, Device
from devices.replies import ReplyRule, ReplyVerdict, read_reply
from devices.services.commands import dispatch_waiting, live_on, move_on, state_after_refusal
from devices.services.events import record_event
from devices.services.restorations import due_stories, see_to
from devices.services.rules import rules_for
from devices.services.schedules import due_schedules, run_schedule
from devices.states import AWAITING_REPLY, MAY_HAVE_ACTED, CommandState, DeviceState
from platforms import audit
from remosa.lib.lifecycle import NOW
from remosa.lib.prepared import PreparedQuery

logger = logging.getLogger(__name__)
S = CommandState
SWEEP = 500  # rows of one kind that one sweep settles
BOOT_MINUTES = 5  # after power is back, until a player is expected online


def _get(command_id: uuid.UUID) -> Command:
    return Command.objects.select_related("restoration").get(pk=command_id)


def recovery_time(command: Command) -> timedelta:
    """How long after the device acts its players may be dark: the command's own minutes, and booting."""
    minutes = command.params.get("minutes", 0) if command.power == "cycle" else 0
    if command.power == "off" and command.restoration is not None:
        minutes = command.restoration.minutes
    return timedelta(seconds=(float(minutes) + BOOT_MINUTES) * settings.DEVICE_MINUTE_S)


def record_sent(command_id: uuid.UUID, *, at: datetime) -> bool:
    """The gateway took the message."""
    command = _get(command_id)
    times = _times(command, sent_at=at)
    if move_on(command, S.SENT, now=at, **times):
        return True
    # a report or the reply was faster: only the true times are missing
    Command.objects.filter(Q(sent_at=None) | Q(sent_at__gt=at), pk=command_id).update(**times)
    return False


def _times(command: Command, *, sent_at: datetime) -> dict[str, Any]:
    """What follows from the moment at which the command left."""
    reply_until = sent_at + timedelta(seconds=settings.COMMAND_REPLY_WAIT_S)
    return {
        "sent_at": sent_at,
        "reply_until": reply_until,
        "verify_until": reply_until + recovery_time(command),
    }


def _missing_times(command: Command, *, at: datetime) -> dict[str, Any]:
    """A report or a reply proves that the command has left, ``at`` the latest.

    Whether that is news is decided by the UPDATE itself: of two messages of one moment, each would
    have read that nothing is known yet.
    """
    return {
        column: Case(When(sent_at=None, then=Value(value)), default=F(column), output_field=DateTimeField())
        for column, value in _times(command, sent_at=at).items()
    }


def record_failed(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """Nothing left, and nothing more will be tried."""
    return move_on(_get(command_id), S.FAILED, now=at, why=reason, failure_reason=reason)


def record_unknown(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """It may have left. Until the quarantine ends no other command may use the lane."""
    command = _get(command_id)
    quarantine = max(settings.OUTBOX_LEASE_S, settings.SMS_VALIDITY_S) + 60
    return move_on(
        command, S.UNKNOWN, now=at, why=reason, failure_reason=reason,
        quarantine_until=at + timedelta(seconds=quarantine), **_times(command, sent_at=at),
    )  # fmt: skip


def record_refused_at_barrier(command_id: uuid.UUID, *, at: datetime, reason: str) -> bool:
    """A guard objected at the last moment, or the message was too late (``expired``)."""
    target = S.EXPIRED if reason == "expired" else state_after_refusal(reason)
    return move_on(_get(command_id), target, now=at, why=reason, failure_reason=reason)


def record_delivery(command_id: uuid.UUID, *, delivered: bool, at: datetime) -> bool:
    """The network's report: it reached the SIM, or was given up for good."""
    command = _get(command_id)
    if delivered:
        return move_on(command, S.DELIVERED, now=at, failure_reason="", **_missing_times(command, at=at))
    return move_on(command, S.NOT_EXECUTED, now=at, failure_reason="undelivered")


def confirm(command_id: uuid.UUID, *, at: datetime, why: str) -> bool:
    """The effect was seen: the repaired device went down and came back and stays."""
    return move_on(_get(command_id), S.VERIFIED, now=at, why=why)


@dataclass(frozen=True)
class ReplyOutcome:
    """What a text meant: ``match`` is ``matched``, ``understood``, ``unmatched`` or ``ambiguous``."""

    match: str
    command: Command | None = None
    verdict: ReplyVerdict | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def record_reply(device: Device, *, text: str, at: datetime) -> ReplyOutcome:
    """Match an SMS from ``device`` to the one command that awaits it, and read it.

    A reply is evidence, never authority: it only moves a command of this very device that may have
    left before ``at`` and is still awaited. More than one candidate is ambiguous and moves nothing.
    """
    awaited = Command.objects.filter(device=device, state__in=AWAITING_REPLY, reply_until__gte=at)
    candidates = [
        command
        for command in awaited.select_related(
            "template__model", "platform", "device__model", "target"
        ).order_by("created_at")
        if _awaited_from(command) <= at
    ]
    chosen, verdict = _choose(candidates, rules_for(device), text.replace("\x00", ""))
    with transaction.atomic():
        changed = _note_facts(device, verdict, at=at)
        _note_events(device, verdict, changed, at=at)
        if chosen is not None:
            _settle_reply(chosen, verdict, at=at)
            return ReplyOutcome("matched", command=chosen, verdict=verdict, facts=verdict.facts)
    match = _match_without_command(verdict, awaited=len(candidates))
    return ReplyOutcome(match, verdict=verdict, facts=verdict.facts)


def _match_without_command(verdict: ReplyVerdict, *, awaited: int) -> str:
    """Whether a person has to look at a text that answers no command: not at a notice that was read.

    Nor at a confirmation that nobody waits for any more: what it says is noted. While a command waits, a
    person may say that it is the answer after all.
    """
    if verdict.kind == "event":
        return "understood"
    if awaited > 1:
        return "ambiguous"
    return "understood" if _lasting(verdict) and not (awaited and verdict.mismatch) else "unmatched"


def assign_reply(command: Command, *, text: str, at: datetime, by: Any) -> bool:
    """A person says that ``text`` answers ``command``: it is read as such; False when the command has ended.

    A rule that confirms or refuses this command decides; a text that none reads is "answered, state unknown".
    """
    rows = Command.objects.select_related(
        "device__model", "template__model", "platform", "target", "restoration"
    )
    command = rows.get(pk=command.pk)
    verdict = read_reply(text, rules_for(command.device), awaiting=command.template.spec, sent=command.params)
    if verdict.mismatch:
        verdict = replace(
            verdict, kind="unrecognised"
        )  # the person knows better than a rule of another command
    with transaction.atomic():
        changed = _note_facts(command.device, verdict, at=at)
        _note_events(command.device, verdict, changed, at=at)
        if command.state not in AWAITING_REPLY:
            return False
        _settle_reply(command, verdict, at=at)
    return True


def _awaited_from(command: Command) -> datetime:
    """From when on a text can be the reply: a command that has not passed the barrier cannot be answered.

    ``sent_at`` is when we learned that it had left: it left as much earlier as a send may last.
    """
    assert command.reply_until is not None  # noqa: S101  the query asked for it
    known_at = command.reply_until - timedelta(seconds=settings.COMMAND_REPLY_WAIT_S)
    slack_s = {S.QUEUED: 0.0, S.UNKNOWN: settings.OUTBOX_LEASE_S}.get(
        CommandState(command.state), settings.OUTBOX_SEND_DEADLINE_S
    )
    return max(command.created_at, known_at - timedelta(seconds=slack_s))


def _note_facts(device: Device, verdict: ReplyVerdict, *, at: datetime) -> dict[str, Any]:
    """What the reply says of the device; the facts that it changed, as {name: value before}.

    Each fact has its age in ``facts_at``, and a text that comes after a newer one changes nothing.
    """
    facts = Device.objects.select_for_update(of=("self",)).values_list("facts", flat=True).get(pk=device.pk)
    ages, before = dict(facts.get("facts_at", {})), dict(facts)
    for name, value in _lasting(verdict).items():
        known_at = ages.get(name, facts.get("heard_at") if name in facts else None)
        if known_at is None or datetime.fromisoformat(known_at) <= at:
            facts[name], ages[name] = value, at.isoformat()
    heard_at = facts.get("heard_at")
    if heard_at is None or datetime.fromisoformat(heard_at) < at:
        facts["heard_at"] = at.isoformat()
    heard = datetime.fromisoformat(facts["heard_at"])
    Device.objects.filter(pk=device.pk).update(facts={**facts, "facts_at": ages}, heard_at=heard)
    device.facts = {**facts, "facts_at": ages}
    return {name: before.get(name) for name in verdict.facts if facts.get(name) != before.get(name)}


def _lasting(verdict: ReplyVerdict) -> dict[str, Any]:
    """What the text says that stays true: "off for ten minutes" does not."""
    passes = "minutes" in verdict.echoes
    return {name: value for name, value in verdict.facts.items() if not (passes and name.startswith("out"))}


def _note_events(device: Device, verdict: ReplyVerdict, changed: dict[str, Any], *, at: datetime) -> None:
    """What happened: told by the device unasked, seen in an answer, or not explained by anything we asked for."""
    if verdict.kind == "event":
        kind = verdict.reason or verdict.matched_rule
        record_event(
            device, kind, at=at, unless_repeated=True, text=verdict.masked_text[:200], **verdict.facts
        )
    elif "mains" in changed:
        kind = "mains_lost" if device.facts["mains"] == "lost" else "mains_back"
        if changed["mains"] is not None or kind == "mains_lost":
            record_event(
                device, kind, at=at, unless_repeated=True, text=verdict.masked_text[:200], **verdict.facts
            )
    for name in changed:
        if (
            re.fullmatch("out[0-9]", name)
            and device.facts[name] == "off"
            and not _is_explained(device, int(name[3:]), at)
        ):
            record_event(device, "off_unasked", at=at, line=int(name[3:]), text=verdict.masked_text[:200])


def _is_explained(device: Device, line: int, at: datetime) -> bool:
    """Whether somebody wanted this output off, or may have."""
    if live_on(device.pk, line).exists():
        return True
    last = (
        Command.objects.filter(
            device=device, template__line__in=(0, line), state__in=[*MAY_HAVE_ACTED, S.QUEUED],
            power__in=[*DARKENING, "on", "on_later", "schedule", "thermostat"],
        )
        .order_by("-created_at")
        .first()
    )  # fmt: skip
    if last is None:
        return False
    if last.power == "cycle":
        return last.verify_until is None or last.verify_until > at
    return last.power not in ("on", "on_later") and last.restoration_id is None


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
        times = _missing_times(command, at=at)
        if not move_on(command, S.REPLIED, now=at, why=verdict.kind, **text, **times):
            return
        if verdict.kind == "refused":
            move_on(command, S.REFUSED, now=at, why=verdict.reason, failure_reason="refused_by_device")
        audit.record(
            actor=audit.Actor(audit.Kind.DEVICE, str(command.device_id), str(command.device)),
            verb="command.replied", target=command, platform=command.platform, cause_id=command.cause_id, at=at,
            after={"verdict": verdict.kind, "text": verdict.masked_text},
        )  # fmt: skip


def sweep_commands(*, now: datetime) -> int:
    """Settle what time has decided; the number of commands moved. Any process may run it at any time."""
    due = [
        (LATE, _expire), (WITHOUT_PROOF, _give_up), (OUT_OF_QUARANTINE, _call_operator),
        (AT_DEADLINE, _look_at_target),
    ]  # fmt: skip
    moved = sum(
        _safely(settle, command, now=now) for rows, settle in due for command in rows.objects(now=now)
    )
    moved += sum(_safely(see_to, key, now=now) for key in due_stories(now=now, limit=SWEEP))
    moved += sum(_safely(run_schedule, key, now=now) for key in due_schedules(now=now, limit=SWEEP))
    return moved + sum(_safely(_send_on, key, now=now) for (key,) in DEVICES_THAT_WAIT.rows())


def _due(**which: Any) -> PreparedQuery:
    known = Command.objects.select_related("target").order_by("state_changed_at")
    return PreparedQuery(lambda: known.filter(**which)[:SWEEP])


LATE = _due(state=S.REQUESTED, expires_at__lte=NOW)
WITHOUT_PROOF = _due(state__in=[S.SENT, S.DELIVERED], verify_until__lte=NOW)
OUT_OF_QUARANTINE = _due(state=S.UNKNOWN, quarantine_until__lte=NOW)
# a repair asked for by a person has no case behind it: its target decides at the deadline
AT_DEADLINE = _due(state=S.REPLIED, case_id=None, target__isnull=False, verify_until__lte=NOW)
DEVICES_THAT_WAIT = PreparedQuery(
    lambda: Command.objects.filter(state=S.REQUESTED).order_by().values_list("device_id").distinct()[:SWEEP]
)


def _safely(settle: Callable[..., bool], subject: Any, *, now: datetime) -> bool:
    """One poisonous command must not stop the others."""
    try:
        with transaction.atomic():
            return settle(subject, now=now)
    except Exception:
        logger.exception("sweep failed step=%s subject=%s", settle.__name__, getattr(subject, "pk", subject))
        return False


def _expire(command: Command, *, now: datetime) -> bool:
    return move_on(command, S.EXPIRED, now=now, why="lane was busy", failure_reason="expired")


def _give_up(command: Command, *, now: datetime) -> bool:
    return move_on(command, S.UNVERIFIED, now=now, why="no proof in time", failure_reason="no_proof")


def _call_operator(command: Command, *, now: datetime) -> bool:
    return move_on(command, S.NEEDS_OPERATOR, now=now, why="no evidence")


def _look_at_target(command: Command, *, now: datetime) -> bool:
    target = command.target
    assert target is not None and command.sent_at is not None  # noqa: S101, PT018  the sweep asked for them
    came_back = target.state_since is not None and target.state_since > command.sent_at
    back = target.state == DeviceState.ONLINE and came_back
    return move_on(command, S.VERIFIED if back else S.UNVERIFIED, now=now, why="target at the deadline")


def _send_on(device_id: int, *, now: datetime) -> bool:
    return dispatch_waiting(device_id=device_id, now=now) is not None
