"""Keep, replace and remove the photo of a device or a site."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from devices.models import Device, DevicePhoto, Site, SitePhoto
from devices.photos import NoPhoto, read_photo
from platforms import audit


def photo_of(row: Device | Site) -> DevicePhoto | SitePhoto | None:
    """The photo without its bytes; None when there is none."""
    if isinstance(row, Device):
        return DevicePhoto.objects.filter(device=row).defer("content").first()
    return SitePhoto.objects.filter(site=row).defer("content").first()


def keep_photo(row: Device | Site, *, data: bytes, by: Any, now: datetime) -> None:
    """Replace the photo of ``row``; ValidationError, with a sentence, for what is no photo."""
    try:
        taken = read_photo(data)
    except NoPhoto as exc:
        raise ValidationError({"file": str(exc)}) from exc
    values = {"content": taken.content, "width": taken.width, "height": taken.height, "by": by, "at": now}
    with transaction.atomic():
        if isinstance(row, Device):
            DevicePhoto.objects.update_or_create(device=row, defaults=values)
        else:
            SitePhoto.objects.update_or_create(site=row, defaults=values)
        _record("photo_kept", row, by=by, now=now)


def remove_photo(row: Device | Site, *, by: Any, now: datetime) -> bool:
    """Forget the photo of ``row``; False when there was none."""
    with transaction.atomic():
        found = photo_of(row)
        if found is None:
            return False
        found.delete()
        _record("photo_removed", row, by=by, now=now)
    return True


def _record(verb: str, row: Device | Site, *, by: Any, now: datetime) -> None:
    audit.record(
        actor=audit.person(by),
        verb=f"{row._meta.model_name}.{verb}",
        target=row,
        platform=row.platform,
        at=now,
    )
