"""Switch an output off and see to it that it is on again; watch what people switch off.

The decision is ``devices.restoring.next_step``; here its facts are read and its steps are done. ``see_to`` is
safe to call at any time by anybody: a row lock lets one caller take a step, and every command has its own key.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from devices.catalogue import Rendered
from devices.errors import CommandInvalid, DevicesError, IdempotencyConflict
from devices.models import Command, CommandTemplate, Device, PowerLink, Restoration, observed_at
from devices.ports import Quote
from devices.restoring import ARM_RESERVE_MINUTES, Act, Asked, Pace, Situation, Step, Way, next_step
from devices.services.commands import (
    LIVE,
    cancel_command,
    move_on,
    preview,
    refuse_if_restoring,
    request_command,
)
from devices.services.events import record_event
from devices.states import RESTORATION, CommandState, DeviceState, RestorationState
from platforms import audit

S, R = CommandState, RestorationState
MAX_MINUTES = 60  # that a reboot may leave an output off
STEPS = 4  # at once: armed, off, ... never more in one instant


@dataclass(frozen=True)
class Cycle:
    """What a reboot became: one self-restoring ``command``, or a ``restoration`` with several."""

    command: Command | None = None
    restoration: Restoration | None = None


@dataclass(frozen=True)
class Plan:
    """How one output can be rebooted: by which templates, and what it needs."""

    way: str  # cycle, armed, pair
    templates: tuple[CommandTemplate, ...]


def plan_for(device: Device, line: int) -> Plan | None:
    """The best way in which this model reboots ``line``; None when it cannot be done."""
    if device.model is None:
        return None
    own = list(device.model.templates.select_related("model").filter(line=line, dangerous=False))
    first = {row.power: row for row in sorted(own, key=lambda row: row.key, reverse=True) if row.power}
    for row in own:
        if row.power == "cycle" and [param["name"] for param in row.params] == ["minutes"]:
            return Plan("cycle", (row,))
    if {"on_later", "off", "on"} <= set(first):
        return Plan(Way.ARMED, (first["on_later"], first["off"], first["on"]))
    return Plan(Way.PAIR, (first["off"], first["on"])) if {"off", "on"} <= set(first) else None


def power_cycle(
    *,
    device: Device,
    line: int,
    minutes: int,
    source: str,
    idem_key: str,
    cause_id: uuid.UUID,
    now: datetime,
    actor: Any = None,
    target: Device | None = None,
    job_id: int | None = None,
    case_id: uuid.UUID | None = None,
    reason: str = "",
    source_ref: str = "",
) -> Cycle:
    """Reboot what hangs on ``line``, in the safest way that the model has; idempotent by ``(platform, idem_key)``.

    Raises CommandInvalid, CommandForbidden, IdempotencyConflict like ``request_command``.
    """
    plan = plan_for(device, line)
    if plan is None or not device.is_active:
        raise CommandInvalid(_("This socket cannot reboot this output by SMS."), fields={"line": str(line)})
    common: dict[str, Any] = {
        "source": source, "cause_id": cause_id, "actor": actor, "target": target, "job_id": job_id,
        "case_id": case_id, "reason": reason,
    }  # fmt: skip
    if plan.way == "cycle":
        command = request_command(
            device=device, template_key=plan.templates[0].key, params={"minutes": minutes}, idem_key=idem_key,
            now=now, source_ref=source_ref, **common,
        )  # fmt: skip
        return Cycle(command=command)
    if type(minutes) is not int or not 1 <= minutes <= MAX_MINUTES:
        sentence = _("Give a whole number from 1 to %(most)d minutes.") % {"most": MAX_MINUTES}
        raise CommandInvalid(sentence, fields={"minutes": sentence})
    with transaction.atomic():
        Device.objects.select_for_update(of=("self",)).get(pk=device.pk)  # one story begins at a time
        found = Restoration.objects.filter(platform=device.platform_id, idem_key=idem_key).first()
        if found is not None:
            if (found.device_id, found.line, found.minutes) != (device.pk, line, minutes):
                raise IdempotencyConflict(_("This idempotency key was already used for another command."))
            return Cycle(restoration=found)
        refuse_if_restoring(device, line)
        state = R.ARMING if plan.way == Way.ARMED else R.DARK
        row = Restoration.objects.create(
            platform=device.platform, device=device, line=line, way=plan.way, minutes=minutes, state=state,
            state_changed_at=now, idem_key=idem_key, created_at=now, next_at=now, **common,
        )  # fmt: skip
        _take(row, _decide(row, now=now), now=now)  # what is wrong with the first command is said at once
    return Cycle(restoration=row)


def texts_of_cycle(device: Device, plan: Plan, *, minutes: int) -> tuple[list[Rendered], Quote]:
    """The SMS of a reboot in their order, and their price together. CommandInvalid as for a request.

    Of an ON that is owed only the first is counted: more of them follow when it is not confirmed.
    """
    texts, quotes = [], []
    for template in plan.templates:
        params = {"cycle": {"minutes": minutes}, "on_later": {"minutes": minutes + ARM_RESERVE_MINUTES}}
        wanted = params.get(template.power, {}) if plan.way != Way.PAIR else {}
        if plan.way == Way.ARMED and template.power == "on":
            continue  # it is sent only when the promise is not kept
        rendered, quote = preview(device=device, template_key=template.key, params=wanted)
        texts.append(rendered)
        quotes.append(quote)
    segments, price = sum(each.segments for each in quotes), sum((each.price for each in quotes), Decimal(0))
    return texts, replace(quotes[0], segments=segments, price=price)


def pace() -> Pace:
    """How long things take here."""
    return Pace(
        minute=timedelta(seconds=settings.DEVICE_MINUTE_S),
        validity=timedelta(seconds=settings.SMS_VALIDITY_S + 60),
        retry=timedelta(seconds=settings.RESTORE_RETRY_S),
        watch=timedelta(seconds=settings.DARK_WATCH_S),
    )


# --- one step ------------------------------------------------------------------------------------


def see_to(restoration_id: uuid.UUID, *, now: datetime) -> bool:
    """Take the next steps of one story until it waits; True when anything was done. Safe to repeat."""
    done = False
    for _step in range(STEPS):
        with transaction.atomic():
            row = (
                Restoration.objects.select_for_update(of=("self",))
                .select_related("device__model", "device__platform", "platform", "target", "actor")
                .filter(pk=restoration_id, state__in=LIVE)
                .first()
            )
            if row is None or not _take(row, _decide(row, now=now), now=now):
                return done
        done = True
    return done


def see_to_now(row: Restoration, *, by: Any, now: datetime) -> bool:
    """A person does not want to wait for the next try."""
    with transaction.atomic():
        audit.record(
            actor=audit.person(by), verb="restoration.tried", target=row, platform=row.platform,
            cause_id=row.cause_id, at=now,
        )  # fmt: skip
        return _send(row, Step(Act.ON), now=now)


def due_stories(*, now: datetime, limit: int) -> list[uuid.UUID]:
    """The stories that want to be looked at."""
    rows = Restoration.objects.filter(state__in=LIVE, next_at__lte=now).order_by("next_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def _decide(row: Restoration, *, now: datetime) -> Step:
    if not row.device.is_active:
        return Step(Act.CANCEL, why="device_removed")
    if row.device.platform_id != row.platform_id:
        return Step(Act.CANCEL, why="device_moved")
    if not row.platform.is_active and row.state == R.ARMING:
        return Step(Act.CANCEL, why="platform_inactive")
    return next_step(_situation(row), pace=pace(), now=now)


def _situation(row: Restoration) -> Situation:
    told: dict[str, list[Command]] = {}
    for command in row.commands.select_related("template").order_by("created_at", "pk"):
        kind = "query" if command.effect == CommandTemplate.Effect.QUERY else command.power
        told.setdefault(kind, []).append(command)
    offs = [each for power in ("off", "off_later", "on_then_off") for each in told.get(power, ())]
    off = _asked(offs[-1], row) if offs else None
    return Situation(
        way=Way(row.way),
        created_at=row.created_at,
        minutes=row.minutes,
        arm=_asked(told["on_later"][-1], row) if "on_later" in told else None,
        off=off,
        on=_asked(told["on"][-1], row) if "on" in told else None,
        query=_asked(told["query"][-1], row) if "query" in told else None,
        armings=len(told.get("on_later", ())),
        attempts=len(told.get("on", ())),
        told=row.told_at is not None,
        can_ask=_template(row, "status") is not None,
        seen_on_at=_seen_on_at(row, off),
        seen_off_at=_output_at(row, "off"),
    )


def _asked(command: Command, row: Restoration) -> Asked:
    said = [
        word for word in ("off", "on") if command.replied_at and _output_at(row, word) == command.replied_at
    ]
    return Asked(
        state=command.state,
        created_at=command.created_at,
        sent_at=command.sent_at,
        replied_at=command.replied_at,
        confirmed=command.reply_verdict == "confirmed"
        and command.state in (S.REPLIED, S.VERIFIED, S.UNVERIFIED),
        output=said[0] if said else "",
    )


def _output_at(row: Restoration, word: str) -> datetime | None:
    """When the socket last said ``word`` of this output: of any one for off, of every one for on."""
    facts = row.device.facts
    ages = facts.get("facts_at", {})
    lines = [row.line] if row.line else range(1, (row.device.model.lines if row.device.model else 1) + 1)
    said = [
        datetime.fromisoformat(ages[f"out{line}"])
        for line in lines
        if facts.get(f"out{line}") == word and f"out{line}" in ages
    ]
    if word == "on":
        return min(said) if len(said) == len(lines) else None
    return max(said, default=None)


def _seen_on_at(row: Restoration, off: Asked | None) -> datetime | None:
    """The best outside evidence of power: a player that came back, or an ON of a person that was confirmed."""
    if off is None:
        return None
    links = PowerLink.objects.filter(
        socket=row.device_id, valid_to=None, device__is_active=True, device__state=DeviceState.ONLINE,
        device__state_since__gt=off.left_at,
    )  # fmt: skip
    if row.line:
        links = links.filter(line=row.line)
    times = [at for at in links.values_list(observed_at("device__"), flat=True) if at is not None]
    ons = Command.objects.filter(
        device=row.device_id, power="on", reply_verdict="confirmed", sent_at__gt=off.left_at,
        template__line__in=(0, row.line),
    ).exclude(restoration=row)  # fmt: skip
    return max(
        [*times, *(at for at in ons.values_list("sent_at", flat=True) if at is not None)], default=None
    )


def _template(row: Restoration, power_or_key: str) -> CommandTemplate | None:
    if row.device.model is None:
        return None
    own = row.device.model.templates.select_related("model")
    if power_or_key == "status":
        return own.filter(key="status", effect=CommandTemplate.Effect.QUERY).first()
    return own.filter(power=power_or_key, line=row.line, dangerous=False).order_by("key").first()


# --- doing it ------------------------------------------------------------------------------------


def _take(row: Restoration, step: Step, *, now: datetime) -> bool:
    """Do the step; True when there may be another one at once."""
    if step.act is Act.WAIT:
        Restoration.objects.filter(pk=row.pk).update(next_at=step.at)
        return False
    if step.act is Act.KEEP:
        return _keep(row, why=step.why, now=now)
    if step.act is Act.ALARM:
        return _alarm(row, why=step.why, now=now)
    if step.act is Act.CANCEL:
        cancel(row, why=step.why, now=now)
        return False
    return _send(row, step, now=now)


def _send(row: Restoration, step: Step, *, now: datetime) -> bool:
    """Ask for one command of the story; what cannot be asked for is tried again later, and people hear of it."""
    power = {Act.ARM: "on_later", Act.OFF: "off", Act.ON: "on", Act.ASK: "status"}[step.act]
    template = _template(row, power)
    Restoration.objects.filter(pk=row.pk).update(next_at=now + pace().retry)
    first = not row.commands.exists()
    if template is None:
        return _give_up(row, why="no_such_command", nothing_left=first, now=now)
    if step.act is not Act.OFF:
        _close_earlier(row, template, now=now)
    if step.act is Act.ON and row.state == R.DARK:
        RESTORATION.move(row, R.RESTORING, now=now)
    mine = step.act in (Act.ARM, Act.OFF)
    number = row.commands.filter(template=template).count() + 1
    params = {"minutes": row.minutes + ARM_RESERVE_MINUTES} if step.act is Act.ARM else {}
    ttl = step.at - now if step.act is Act.OFF and step.at else pace().retry if not mine else None
    try:
        request_command(
            device=row.device, template_key=template.key, params=params, idem_key=f"restore:{row.pk}:{power}{number}",
            cause_id=row.cause_id, now=now, ttl=ttl, restoration=row, reason=row.reason, target=row.target,
            source=row.source if mine else Command.Source.RESTORE, actor=row.actor if mine else None,
            case_id=row.case_id if mine else None, job_id=row.job_id if mine else None,
            source_ref=f"job:{row.job_id}" if mine and row.job_id else "",
        )  # fmt: skip
    except DevicesError as exc:
        if first:
            raise
        return _give_up(row, why=str(exc)[:100], nothing_left=mine, now=now)
    if step.act is Act.OFF and row.state == R.ARMING:
        RESTORATION.move(row, R.DARK, now=now)
    return True


def _give_up(row: Restoration, *, why: str, nothing_left: bool, now: datetime) -> bool:
    """The next command cannot be asked for: before the OFF that ends the story, after it people must help."""
    if nothing_left:
        cancel(row, why=why, now=now)
    else:
        _alarm(row, why=why, now=now)
    return False


def _close_earlier(row: Restoration, template: CommandTemplate, *, now: datetime) -> None:
    """One answer is awaited at a time: else none of them could be told apart."""
    for old in row.commands.filter(
        template=template, state__in=[S.REQUESTED, S.QUEUED, S.SENT, S.DELIVERED, S.UNKNOWN]
    ):
        if old.state in (S.REQUESTED, S.QUEUED) and cancel_command(
            old, by=None, now=now, reason="another one follows"
        ):
            continue
        if not move_on(old, S.UNVERIFIED, now=now, why="another one follows", failure_reason="no_proof"):
            Command.objects.filter(pk=old.pk).update(reply_until=now)


def _keep(row: Restoration, *, why: str, now: datetime) -> bool:
    if not RESTORATION.move(row, R.KEPT, now=now, outcome=why, next_at=None):
        return False
    for command in row.commands.filter(power="on", state__in=[S.REPLIED, S.UNKNOWN, S.NEEDS_OPERATOR]):
        move_on(command, S.VERIFIED, now=now, why="seen on")
    _note_on(row, now=now)
    if row.told_at is not None:
        record_event(row.device, "on_again", at=now, line=row.line)
    return False


def _note_on(row: Restoration, *, now: datetime) -> None:
    """A player that is back proves what the socket has not said: its last word, "off", is not true any more.

    Whoever writes to the device in this moment holds it, and may wait for this story: no waiting here.
    """
    mine = Device.objects.select_for_update(of=("self",), skip_locked=True).filter(pk=row.device_id)
    facts = mine.values_list("facts", flat=True).first()
    if facts is None:
        return
    lines = [row.line] if row.line else range(1, (row.device.model.lines if row.device.model else 1) + 1)
    on = {f"out{line}": "on" for line in lines if facts.get(f"out{line}") == "off"}
    if on:
        ages = {**facts.get("facts_at", {}), **dict.fromkeys(on, now.isoformat())}
        Device.objects.filter(pk=row.device_id).update(facts={**facts, **on, "facts_at": ages})


def _alarm(row: Restoration, *, why: str, now: datetime) -> bool:
    """Loud, once: from here on it is a person's too, while REMOSA goes on trying."""
    if row.told_at is not None:
        return False
    RESTORATION.move(row, R.BROKEN, now=now, outcome=why, told_at=now)
    kind = "left_dark" if why == "left_dark" else "not_on_again"
    record_event(row.device, kind, at=now, line=row.line, why=why, restoration=str(row.pk))
    audit.record(
        actor=audit.SYSTEM, verb="restoration.alarm", target=row, platform=row.platform, cause_id=row.cause_id,
        reason=why, at=now,
    )  # fmt: skip
    return row.way != Way.WATCH and why == "not_on_again"


def cancel(row: Restoration, *, why: str, now: datetime, by: Any = None) -> bool:
    """End the story: nothing was switched off, or a person leaves the output off."""
    with transaction.atomic():
        if not RESTORATION.move(row, R.CANCELLED, now=now, outcome=why[:100], next_at=None):
            return False
        if row.device.platform_id == row.platform_id:  # another client's socket has no such story
            record_event(
                row.device, "left_off" if by is not None else _end_of(row, why), at=now, line=row.line
            )
        audit.record(
            actor=audit.person(by) if by is not None else audit.SYSTEM, verb="restoration.cancelled", target=row,
            platform=row.platform, cause_id=row.cause_id, reason=why, at=now,
        )  # fmt: skip
    return True


def _end_of(row: Restoration, why: str) -> str:
    """The word for a story that ends without anybody's wish: a socket that goes while it is dark needs a person."""
    is_dark = row.way != Way.WATCH and row.commands.filter(power="off").exclude(sent_at=None).exists()
    return "removed_dark" if why == "device_removed" and is_dark else why
