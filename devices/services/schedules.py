"""Send scheduled commands when their time has come; what is late is skipped, not replayed."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from devices.errors import CommandForbidden, CommandInvalid, DevicesError
from devices.models import Command, CommandSchedule, Device
from devices.services.commands import may_send, preview, request_command, template_of
from platforms import audit
from remosa.lib.cron import is_cron, next_time, shortest

LATE = timedelta(minutes=5)  # after that the moment has passed
SHORTEST = timedelta(minutes=15)  # between two commands of one schedule


def check_cron(cron: str, time_zone: str, *, now: datetime) -> None:
    """CommandInvalid unless ``cron`` has five fields and leaves the socket in peace between its times."""
    sentence = ""
    if not is_cron(cron):
        sentence = _("Write five fields: minute, hour, day, month, day of the week.")
    elif shortest(cron, time_zone, now=now) < SHORTEST:
        sentence = _("Leave at least 15 minutes between two commands.")
    if sentence:
        raise CommandInvalid(sentence, fields={"cron": sentence})


def schedule_command(
    *,
    device: Device,
    template_key: str,
    params: Mapping[str, Any],
    by: Any,
    now: datetime,
    at: datetime | None = None,
    cron: str = "",
    reason: str = "",
) -> CommandSchedule:
    """Plan a command once (``at``) or by ``cron``. Raises CommandInvalid and CommandForbidden as a request does."""
    if (at is None) == (cron == ""):
        sentence = _("Give either one time or a cron.")
        raise CommandInvalid(sentence, fields={"at": sentence})
    if at is not None and at <= now:
        sentence = _("This time has passed.")
        raise CommandInvalid(sentence, fields={"at": sentence})
    if not may_send(by, device, template_of(device, template_key)):
        raise CommandForbidden(_("Your role does not allow this command on this device."))
    rendered, _quote = preview(device=device, template_key=template_key, params=params)
    zone = device.platform.time_zone
    if cron:
        check_cron(cron, zone, now=now)
    with transaction.atomic():
        row = CommandSchedule.objects.create(
            platform=device.platform, device=device, template_key=template_key, params=rendered.params, cron=cron,
            actor=by, reason=reason, next_at=at or next_time(cron, zone, after=now),
        )  # fmt: skip
        audit.record(
            actor=audit.person(by), verb="command.scheduled", target=row, platform=row.platform, at=now,
            after={"device": str(device), "template": template_key, "cron": cron, "at": str(row.next_at)},
        )  # fmt: skip
    return row


def unschedule(row: CommandSchedule, *, by: Any, now: datetime) -> None:
    """It is not sent any more."""
    with transaction.atomic():
        audit.record(
            actor=audit.person(by), verb="command.unscheduled", target=row, platform=row.platform, at=now,
            before={"device": str(row.device), "template": row.template_key, "cron": row.cron},
        )  # fmt: skip
        row.delete()


def due_schedules(*, now: datetime, limit: int) -> list[int]:
    """The schedules whose time has come."""
    return list(CommandSchedule.objects.filter(next_at__lte=now).values_list("pk", flat=True)[:limit])


def run_schedule(schedule_id: int, *, now: datetime) -> bool:
    """Ask for the command of this moment, or skip it when it is late; True when it was asked for."""
    with transaction.atomic():
        row = (
            CommandSchedule.objects.select_for_update(of=("self",))
            .select_related("device__platform", "device__model", "platform", "actor")
            .filter(pk=schedule_id, next_at__lte=now)
            .first()
        )
        if row is None or row.next_at is None:
            return False
        moment = row.next_at
        row.next_at = next_time(row.cron, row.platform.time_zone, after=now) if row.cron else None
        row.last_at, row.last_result = moment, _ask(row, moment, now=now)
        row.save(update_fields=["next_at", "last_at", "last_result"])
    return row.last_result == "requested"


def _ask(row: CommandSchedule, moment: datetime, *, now: datetime) -> str:
    if now - moment > LATE:
        return "skipped_late"
    if row.actor is None or not row.platform.is_active:
        return "skipped_nobody"
    try:
        request_command(
            device=row.device, template_key=row.template_key, params=row.params, source=Command.Source.SCHEDULE,
            actor=row.actor, idem_key=f"schedule:{row.pk}:{moment.isoformat()}", cause_id=uuid.uuid4(), now=now,
            source_ref=f"schedule:{row.pk}", reason=row.reason, ttl=LATE,
        )  # fmt: skip
    except DevicesError as exc:
        return str(exc)[:200]
    return "requested"
