"""Write down what happened to a device, and ring for it."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from devices.models import Device, DeviceEvent
from devices.signals import device_event_recorded

ECHO = timedelta(minutes=2)  # the same text twice within this time is one happening
E = DeviceEvent.Severity
SEVERITIES = {
    "mains_lost": E.WARNING,
    "alarm": E.WARNING,
    "low_signal": E.WARNING,
    "temperature": E.WARNING,
    "off_unasked": E.WARNING,
    "silent": E.WARNING,
    "sim_payment": E.WARNING,
    "left_dark": E.CRITICAL,
    "not_on_again": E.CRITICAL,
    "removed_dark": E.CRITICAL,
}


def record_event(
    device: Device, kind: str, *, at: datetime, unless_repeated: bool = False, **data: Any
) -> DeviceEvent | None:
    """One line of the device's story; None for an echo of the last one, where ``unless_repeated`` asks for that."""
    with transaction.atomic():
        if unless_repeated:
            last = DeviceEvent.objects.filter(device=device, at__gte=at - ECHO, at__lte=at + ECHO, kind=kind)
            if last.filter(data=data).exists():
                return None
        row = DeviceEvent.objects.create(
            platform_id=device.platform_id, device=device, at=at, kind=kind[:32], data=data,
            severity=SEVERITIES.get(kind, E.INFO),
        )  # fmt: skip
        key = row.pk
        transaction.on_commit(lambda: device_event_recorded.send_robust(DeviceEvent, event_id=key))
    return row
