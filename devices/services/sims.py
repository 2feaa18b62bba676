"""Care of the SIM cards in sockets: who is silent, whose payment ends, one cheap question a month.

All of it is safe to repeat: what people were told is written on the device in the transaction that tells them.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from devices.errors import DevicesError
from devices.models import Command, CommandTemplate, Device
from devices.services.commands import request_command
from devices.services.events import record_event

MONTH = timedelta(days=30)
BEFORE_THE_END = timedelta(days=7)
AT_ONCE = 200  # sockets per sweep: a fleet that fell silent together is told of over some minutes


def sockets() -> Any:
    """Sockets in service, of platforms in service, with a number."""
    rows = Device.objects.filter(kind=Device.Kind.SOCKET, is_active=True, platform__is_active=True)
    return rows.exclude(msisdn="").annotate(last_sign=Coalesce("heard_at", "created_at"))


def tell_of_silence(*, now: datetime) -> int:
    """Tell once of each socket that has not been heard for ``SOCKET_SILENT_DAYS``; how many."""
    days = settings.SOCKET_SILENT_DAYS
    long_ago = now - timedelta(days=days)
    untold = Q(silence_told_at=None) | Q(silence_told_at__lt=F("last_sign"))
    silent = sockets().filter(Q(heard_at=None) | Q(heard_at__lte=long_ago), untold, last_sign__lte=long_ago)
    told = 0
    for device in silent[:AT_ONCE]:
        with transaction.atomic():
            mine = Device.objects.filter(
                pk=device.pk, heard_at=device.heard_at, silence_told_at=device.silence_told_at
            )
            if mine.update(silence_told_at=now):
                silent_for = (now - device.last_sign).days
                record_event(device, "silent", at=now, days=silent_for, ever=device.heard_at is not None)
                told += 1
    return told


def tell_of_payment(*, now: datetime) -> int:
    """Tell once, a week before, of each SIM whose payment ends; how many."""
    soon = (now + BEFORE_THE_END).date()
    ending = sockets().filter(sim_paid_until__lte=soon).exclude(sim_told_for=F("sim_paid_until"))
    told = 0
    for device in ending[:AT_ONCE]:
        until = device.sim_paid_until
        with transaction.atomic():
            mine = Device.objects.filter(pk=device.pk, sim_paid_until=until).exclude(sim_told_for=until)
            if until is not None and mine.update(sim_told_for=until):
                record_event(device, "sim_payment", at=now, until=until.isoformat())
                told += 1
    return told


def ask_monthly(*, now: datetime) -> int:
    """Ask the sockets that agreed to it for their status, after 30 days of silence, by day, once a month."""
    waiting = sockets().filter(sim_monthly_status=True, last_sign__lte=now - MONTH)
    lately = Command.objects.filter(created_at__gt=now - MONTH, source=Command.Source.SCHEDULE)
    waiting = waiting.exclude(pk__in=lately.filter(source_ref="sim").values("device"))
    asked = 0
    for device in waiting.select_related("platform", "model")[:AT_ONCE]:
        if not 9 <= now.astimezone(ZoneInfo(device.platform.time_zone)).hour < 18 or device.model is None:
            continue
        own = device.model.templates.filter(key="status", effect=CommandTemplate.Effect.QUERY)
        if not own.exists():
            continue
        try:
            request_command(
                device=device, template_key="status", params={}, source=Command.Source.SCHEDULE, source_ref="sim",
                idem_key=f"sim:{device.pk}:{now.date().isoformat()}", cause_id=uuid.uuid4(), now=now,
                reason="monthly status",
            )  # fmt: skip
        except DevicesError:
            continue  # it is tried again by the next sweep, and the silence is told of anyway
        asked += 1
    return asked
