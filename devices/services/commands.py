"""Ask something of a device: check, write the row, take the actuator's lane, hand it to the transport."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from devices.catalogue import DARKENING, ParamError, Rendered, render
from devices.errors import CommandForbidden, CommandInvalid, IdempotencyConflict, TransportRefused
from devices.models import Command, CommandTemplate, Device, Restoration
from devices.ports import CommandTransport, Quote
from devices.signals import command_moved
from devices.states import COMMAND, IN_FLIGHT, RESTORATION, RESTORATION_LIVE, CommandState, RestorationState
from platforms import audit
from platforms.access import may, role_of
from platforms.roles import RANK, Perm
from remosa.lib.registry import backend
from remosa.lib.tasks import later

S = CommandState
LIVE = [state.value for state in RESTORATION_LIVE]
LONE_OFF = ("off", "off_later", "on_then_off")  # nothing switches on again by itself afterwards
NO_LONGER_NEEDED = frozenset({"condition_cleared", "case_closed", "job_changed"})
TAKEN_BACK = frozenset({"actor_lost_right"})
MAX_KEY = 200  # characters of an idempotency key


def transport_of(device: Device) -> CommandTransport:
    """The transport that reaches ``device``; sockets listen to SMS."""
    return backend("COMMAND_TRANSPORTS", "sms")()


def may_send(user: Any, device: Device, template: CommandTemplate) -> bool:
    """Whether ``user`` may send ``template`` to ``device`` now: right, role, and a share that allows it."""
    if not may(user, Perm.CONTROL, device.platform_id):
        return False
    role = role_of(user, device.platform)
    if role is None or RANK[role] < RANK[template.min_role]:
        return False
    if may(user, Perm.SEE_ALL, device.platform_id) or device.owner_id == user.pk:
        return True
    return device.shares.filter(user=user, level__in=["owner", "admin"]).exists()


def template_of(device: Device, key: str) -> CommandTemplate:
    """The device's template ``key``; CommandInvalid names what there is."""
    if not device.is_active:
        raise CommandInvalid(_("This device is out of service."), fields={"device": "out of service"})
    if device.model is None:
        raise CommandInvalid(
            _("This device has no model. Choose its model first."), fields={"device": "no model"}
        )
    template = device.model.templates.select_related("model").filter(key=key).first()
    if template is None:
        known = ", ".join(device.model.templates.values_list("key", flat=True))
        raise CommandInvalid(_("%(model)s has no command “%(key)s”.") % {"model": device.model, "key": key},
                             fields={"template": known})  # fmt: skip
    return template


def _render(template: CommandTemplate, params: Mapping[str, Any]) -> Rendered:
    try:
        return render(template.spec, params)
    except ParamError as exc:
        fields = {name: str(sentence) for name, sentence in exc.errors.items()}
        raise CommandInvalid(_("A parameter cannot be sent as it is."), fields=fields) from exc


def preview(*, device: Device, template_key: str, params: Mapping[str, Any]) -> tuple[Rendered, Quote]:
    """The exact text and its price, without writing anything. CommandInvalid as for a request."""
    template = template_of(device, template_key)
    rendered = _render(template, params)
    draft = Command(platform=device.platform, device=device, template=template, body=rendered.body)
    return rendered, transport_of(device).quote(draft)


def request_command(
    *,
    device: Device,
    template_key: str,
    params: Mapping[str, Any],
    source: str,
    idem_key: str,
    cause_id: uuid.UUID,
    now: datetime,
    actor: Any = None,
    target: Device | None = None,
    job_id: int | None = None,
    case_id: uuid.UUID | None = None,
    source_ref: str = "",
    reason: str = "",
    ttl: timedelta | None = None,
    restores: Command | None = None,
    restoration: Restoration | None = None,
) -> Command:
    """Ask ``device`` for one command; idempotent by ``(platform, idem_key)``.

    The row, its audit line and the transport's own row are one transaction; nothing leaves before it
    commits. Raises CommandInvalid, CommandForbidden, or IdempotencyConflict when the key was used for
    something else. A full quota does not raise: the command ends ``blocked`` with its reason.
    ``restoration`` is the story that the command belongs to; nobody else darkens its output meanwhile.
    """
    template = template_of(device, template_key)
    if actor is not None and not may_send(actor, device, template):
        raise CommandForbidden(_("Your role does not allow this command on this device."))
    if target is not None and target.platform_id != device.platform_id:
        raise CommandInvalid(_("Both devices must be of one platform."), fields={"target": "not found"})
    if not 0 < len(idem_key) <= MAX_KEY:
        raise CommandInvalid(_("The idempotency key must have 1 to %(max)s characters.") % {"max": MAX_KEY},
                             fields={"idem_key": f"1 to {MAX_KEY} characters"})  # fmt: skip
    rendered = _render(template, params)
    digest = _digest(device, template_key, rendered.params, target)
    is_new = not Command.objects.filter(platform=device.platform_id, idem_key=idem_key).exists()
    if is_new and restoration is None and template.power in DARKENING:
        refuse_if_restoring(device, template.line)
    with transaction.atomic():
        command, created = Command.objects.get_or_create(
            platform=device.platform,
            idem_key=idem_key,
            defaults={
                "device": device, "target": target, "template": template, "params": rendered.params,
                "body": rendered.body, "effect": template.effect, "power": template.power,
                "lane_exempt": _is_exempt(template, device, restores, restoration), "restoration": restoration,
                "state": S.REQUESTED, "state_changed_at": now,
                "source": source, "source_ref": source_ref, "job_id": job_id, "case_id": case_id, "actor": actor,
                "reason": reason, "cause_id": cause_id, "request_digest": digest, "created_at": now,
                "expires_at": now + (ttl or timedelta(seconds=settings.COMMAND_TTL_S)),
            },
        )  # fmt: skip
        if not created:
            if command.request_digest != digest:
                raise IdempotencyConflict(_("This idempotency key was already used for another command."))
            return command
        _audit_request(command)
        _dispatch(command, now=now)
    command.refresh_from_db()
    return command


def _digest(device: Device, key: str, params: Mapping[str, Any], target: Device | None) -> str:
    content = [device.pk, key, dict(params), target.pk if target else None]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def refuse_if_restoring(device: Device, line: int) -> None:
    """CommandInvalid while an overlapping output is on its way back."""
    if being_restored(device.pk, line):
        sentence = _("This output is just being switched on again. Wait until that is done.")
        raise CommandInvalid(sentence, fields={"line": sentence})


def being_restored(device_id: int, line: int) -> bool:
    """Whether REMOSA is bringing this output back; what people switched off is only watched."""
    return live_on(device_id, line).exclude(way=Restoration.Way.WATCH).exists()


def live_on(device_id: int, line: int) -> Any:
    """The live stories of dark outputs that overlap ``line``."""
    rows = Restoration.objects.filter(device=device_id, state__in=LIVE)
    return rows.filter(line__in=(0, line)) if line else rows


def _open_watch(command: Command, *, now: datetime) -> None:
    """A lone OFF is about to leave: its output is watched until it is on or a person says that it may stay off."""
    line = command.template.line
    for old in live_on(command.device_id, line).filter(way=Restoration.Way.WATCH):
        RESTORATION.move(old, RestorationState.CANCELLED, now=now, outcome="off_again", next_at=None)
    row, _created = Restoration.objects.get_or_create(
        platform_id=command.platform_id, idem_key=f"watch:{command.pk}",
        defaults={
            "device_id": command.device_id, "line": line, "way": Restoration.Way.WATCH,
            "minutes": int(command.params.get("minutes", 0)), "state": RestorationState.DARK, "state_changed_at": now,
            "source": command.source, "actor_id": command.actor_id, "reason": command.reason,
            "cause_id": command.cause_id, "created_at": now,
            "next_at": now + timedelta(seconds=settings.SMS_VALIDITY_S),
        },
    )  # fmt: skip
    Command.objects.filter(pk=command.pk).update(restoration=row)


def _is_exempt(
    template: CommandTemplate, device: Device, restores: Command | None, restoration: Restoration | None
) -> bool:
    """A query never changes anything; an ON that undoes the command in the lane must not wait for it."""
    if template.effect == CommandTemplate.Effect.QUERY or (
        restoration is not None and template.power == "on"
    ):
        return True
    if template.power != "on" or restores is None:
        return False
    in_the_lane = Command.objects.filter(
        pk=restores.pk, device=device, state__in=IN_FLIGHT, lane_exempt=False
    )
    return in_the_lane.filter(template__line=template.line).exists()


def _audit_request(command: Command) -> None:
    if command.actor is not None:
        actor = audit.person(command.actor)
    else:
        actor = audit.Actor(audit.Kind.JOB, str(command.job_id or ""), command.reason or command.source_ref)
    audit.record(
        actor=actor, verb="command.requested", target=command, platform=command.platform, cause_id=command.cause_id,
        reason=command.reason, at=command.created_at,
        after={"device": str(command.device), "template": command.template.key, "text": command.body},
    )  # fmt: skip


def in_the_lane(device_id: int) -> Command | None:
    """The command that this actuator is busy with."""
    busy = Command.objects.filter(device=device_id, state__in=IN_FLIGHT, lane_exempt=False)
    return busy.select_related("template").first()


def _dispatch(command: Command, *, now: datetime) -> bool:
    """Take the lane and hand over; False when the lane is taken and the command waits as ``requested``."""
    if not command.lane_exempt and in_the_lane(command.device_id) is not None:
        return False
    try:
        with transaction.atomic():
            if not COMMAND.move(command, S.QUEUED, now=now):
                return False
            transport_of(command.device).send(command, now=now)
    except IntegrityError:  # the partial unique index: somebody else took the lane in this moment
        command.refresh_from_db()
        return False
    except TransportRefused as exc:
        COMMAND.move(command, S.BLOCKED, now=now, why=exc.reason, failure_reason=exc.reason)
        _ring(command)
        return False
    return True


def _ring(command: Command) -> None:
    key = command.pk
    transaction.on_commit(lambda: command_moved.send_robust(Command, command_id=key))
    if command.restoration_id is not None:
        later("devices.tasks.restoration", command.restoration_id)


def move_on(command: Command, target: CommandState, *, now: datetime, why: str = "", **columns: Any) -> bool:
    """Move, ring, and give the lane to the next; False when the move is not in the table."""
    with transaction.atomic():
        if not COMMAND.move(command, target, now=now, why=why[:300], **columns):
            return False
        if command.restoration_id is not None:  # the sweep looks at its story now, should the bell be lost
            Restoration.objects.filter(pk=command.restoration_id, state__in=LIVE).update(next_at=now)
        _ring(command)
        if target not in IN_FLIGHT:
            dispatch_waiting(device_id=command.device_id, now=now)
    return True


def dispatch_waiting(*, device_id: int, now: datetime) -> Command | None:
    """The lane is free: send on the oldest command that waits for this actuator; None when none does."""
    waiting = Command.objects.filter(device=device_id, state=S.REQUESTED, expires_at__gt=now).order_by(
        "created_at"
    )
    for command in waiting.select_related("device__model", "template__model", "platform")[:5]:
        with transaction.atomic():
            if _dispatch(command, now=now):
                return command
    return None


def cancel_command(command: Command, *, by: Any, now: datetime, reason: str = "") -> bool:
    """Take a command back before it leaves; False when it is too late."""
    with transaction.atomic():
        # the state that counts is the one in the table: what waited a moment ago may be on its way now
        state = (
            Command.objects.select_for_update(of=("self",)).values_list("state", flat=True).get(pk=command.pk)
        )
        taken = state == S.REQUESTED or transport_of(command.device).cancel(command, now=now)
        if not taken or not move_on(
            command, S.CANCELLED, now=now, why=reason, by=str(by or "")[:100], failure_reason="cancelled"
        ):
            return False
        actor = audit.person(by) if by is not None else audit.SYSTEM
        audit.record(
            actor=actor, verb="command.cancelled", target=command, platform=command.platform,
            cause_id=command.cause_id, reason=reason, at=now,
        )  # fmt: skip
    return True


def close_unknown(command: Command, *, by: Any, executed: bool, now: datetime) -> bool:
    """A person says what became of a command that needs them; False when it is not waiting for that."""
    with transaction.atomic():
        why = "executed" if executed else "not_executed"
        by_whom = str(by)[:100]
        if not move_on(command, S.CLOSED_BY_OPERATOR, now=now, why=why, by=by_whom, failure_reason=why):
            return False
        audit.record(
            actor=audit.person(by), verb="command.closed", target=command, platform=command.platform,
            cause_id=command.cause_id, reason=why, at=now,
        )  # fmt: skip
    return True


def refusal_at_barrier(command_id: uuid.UUID, *, now: datetime) -> str | None:
    """Ask every guard of ``COMMAND_GUARDS``; the first objection, or None. Call inside the barrier's transaction.

    None means that the message may leave: from this moment on a reply is awaited, not before.
    """
    command = Command.objects.select_related(
        "device__platform", "target", "platform", "template", "actor", "restoration"
    ).get(pk=command_id)
    if command.state != S.QUEUED:
        return f"command_{command.state}"
    if not command.platform.is_active and not command.is_owed:
        return "platform_inactive"
    if not command.device.is_active:
        return "device_removed"  # its number may be somebody else's by now
    if command.device.platform_id != command.platform_id:
        return "device_moved"
    if command.actor is not None and not may_send(command.actor, command.device, command.template):
        return "actor_lost_right"
    for path in settings.COMMAND_GUARDS:
        if reason := import_string(path)(command, now=now):
            return str(reason)
    story = command.restoration
    if command.power in DARKENING and (story is None or story.way == Restoration.Way.WATCH):
        if being_restored(command.device_id, command.template.line):
            return "output_being_restored"
        if command.power in LONE_OFF and story is None:
            _open_watch(command, now=now)
    reply_until = now + timedelta(seconds=settings.COMMAND_REPLY_WAIT_S)
    Command.objects.filter(pk=command.pk).update(reply_until=reply_until)
    return None


def state_after_refusal(reason: str) -> CommandState:
    """Where a command goes that a guard refused at the last moment."""
    if reason in NO_LONGER_NEEDED:
        return S.SUPERSEDED
    return S.CANCELLED if reason in TAKEN_BACK else S.BLOCKED
