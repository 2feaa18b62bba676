"""Create, remove and wire devices, within the platform's limit."""

from datetime import datetime
from typing import Any

from django.db import transaction

from devices.models import Device, PowerLink
from platforms import audit, quotas
from platforms.models import Platform
from remosa.lib.clock import utcnow


def _actor(by: Any) -> audit.Actor:
    return audit.person(by) if by is not None else audit.SYSTEM


def create_device(
    *, platform: Platform, by: Any = None, device: Device | None = None, **fields: Any
) -> Device:
    """A new device; QuotaExceeded at the platform's device limit, ValidationError for bad fields.

    ``device`` may be an unsaved row that a form has filled.
    """
    row = device or Device(platform=platform, **fields)
    row.platform = platform
    with transaction.atomic():
        row.full_clean()
        quotas.spend(platform=platform, kind=quotas.DEVICES, units=1, at=utcnow())
        row.save()
        audit.record(
            actor=_actor(by),
            verb="device.created",
            target=row,
            platform=platform,
            after=audit.fields_of(row, leave_out=("facts",)),
        )
    return row


def remove_device(device: Device, *, by: Any) -> None:
    """Take a device out of service: its number and its place in the limit are free again, its history stays."""
    with transaction.atomic():
        if not Device.objects.filter(pk=device.pk, is_active=True).update(is_active=False):
            return
        quotas.give_back(platform=device.platform, kind=quotas.DEVICES, units=1)
        PowerLink.objects.filter(device=device, valid_to=None).update(valid_to=utcnow())
        audit.record(actor=_actor(by), verb="device.removed", target=device, platform=device.platform)
    device.is_active = False


def find_device(platform: Platform, external_id: str) -> Device | None:
    """The active device with this MAC or CMS number; None if unknown. Never creates."""
    if not external_id:
        return None  # many devices have no MAC, or no number in a CMS: none of them is meant
    own = Device.objects.of(platform).filter(is_active=True)
    return own.filter(mac=external_id.lower()).first() or own.filter(external_id=external_id).first()


def link_power(*, device: Device, socket: Device, line: int, by: Any = None) -> PowerLink:
    """``device`` hangs on output ``line`` of ``socket`` from now on; an older link is closed with its date."""
    with transaction.atomic():
        PowerLink.objects.filter(device=device, valid_to=None).update(valid_to=utcnow())
        link = PowerLink(device=device, socket=socket, line=line)
        link.full_clean()
        link.save()
        audit.record(
            actor=_actor(by), verb="power_link.made", target=device, platform=device.platform,
            after={"socket": str(socket), "line": line},
        )  # fmt: skip
    return link


def unlink_power(device: Device, *, by: Any, now: datetime) -> bool:
    """Close the power link; False when there was none."""
    with transaction.atomic():
        closed = PowerLink.objects.filter(device=device, valid_to=None).update(valid_to=now)
        if closed:
            audit.record(
                actor=_actor(by), verb="power_link.closed", target=device, platform=device.platform, at=now
            )
    return bool(closed)
