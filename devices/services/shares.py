"""Share one device with one person: the only per-device right."""

from typing import Any

from django.db import transaction

from devices.models import Device, DeviceShare
from platforms import audit
from platforms.access import may
from platforms.roles import Perm


def may_share(user: Any, device: Device) -> bool:
    """Who edits the platform's devices shares all of them; a device's owner shares that one."""
    if may(user, Perm.MANAGE_DEVICES, device.platform_id):
        return True
    if not may(user, Perm.CONTROL, device.platform_id):
        return False
    owner = DeviceShare.Level.OWNER
    return device.owner_id == user.pk or device.shares.filter(user=user.pk, level=owner).exists()


def share_device(
    *, device: Device, user: Any, level: str, notifications: bool = True, by: Any
) -> DeviceShare:
    """A new share; ValidationError for somebody who is no member, or has one already."""
    row = DeviceShare(device=device, user=user, level=level, notifications=notifications)
    with transaction.atomic():
        row.full_clean()
        row.save(force_insert=True)
        _record("shared", row, by=by, after=_facts(row))
    return row


def change_share(row: DeviceShare, *, by: Any, **values: Any) -> DeviceShare:
    """Another level, or other wishes for notices."""
    with transaction.atomic():
        stored = DeviceShare.objects.select_for_update().get(pk=row.pk)
        before = _facts(stored)
        for name, value in values.items():
            setattr(stored, name, value)
        stored.full_clean()
        if _facts(stored) != before:
            stored.save()
            _record("share_changed", stored, by=by, before=before, after=_facts(stored))
    return stored


def end_share(row: DeviceShare, *, by: Any) -> None:
    """The person does not see the device any more, unless their role or ownership lets them."""
    with transaction.atomic():
        if DeviceShare.objects.filter(pk=row.pk).delete()[0]:
            _record("share_ended", row, by=by, before=_facts(row))


def _facts(row: DeviceShare) -> dict[str, Any]:
    return {"person": str(row.user), "level": row.level, "notifications": row.notifications}


def _record(deed: str, row: DeviceShare, *, by: Any, **values: Any) -> None:
    actor = audit.person(by) if by is not None else audit.SYSTEM
    verb = f"device.{deed}"
    audit.record(actor=actor, verb=verb, target=row.device, platform=row.device.platform, **values)
