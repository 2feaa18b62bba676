"""Notices about what happened to devices: where people must act, or were called before."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.db import transaction

from devices.models import DeviceEvent
from notifications.models import Notice
from notifications.services import address
from remosa.lib.tasks import later

TOLD_OF = (
    "left_dark", "not_on_again", "removed_dark", "on_again", "off_unasked", "silent", "sim_payment",
)  # fmt: skip
MISSED = timedelta(hours=1)  # how far back events are looked for whose bell was lost


def notify_of_event(event_id: int) -> Notice | None:
    """One notice per event; the same bell twice makes nothing new."""
    event = DeviceEvent.objects.select_related("platform", "device").filter(pk=event_id).first()
    if event is None or event.kind not in TOLD_OF:
        return None
    with transaction.atomic():
        notice, created = Notice.objects.get_or_create(
            dedupe_key=f"event:{event.pk}",
            defaults={
                "platform": event.platform, "severity": event.severity, "kind": event.kind, "created_at": event.at,
                "data": {
                    "title": event.device.name, "platform": event.platform.name, "device": event.device_id,
                    "event": event.data,
                },
            },
        )  # fmt: skip
        if not created:
            return None
        address(notice, cast(Any, event), now=event.at)  # like a case it has a platform and a device
        later("notifications.tasks.deliver")
    return notice


def notify_of_missed_events(*, now: datetime) -> int:
    """The events whose bell was lost."""
    lately = DeviceEvent.objects.filter(kind__in=TOLD_OF, at__gte=now - MISSED)
    return sum(notify_of_event(key) is not None for key in lately.values_list("pk", flat=True)[:500])
