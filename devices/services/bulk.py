"""One command to many devices: what would happen, and then each on its own, with a result for every one."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from devices.errors import DevicesError
from devices.models import Command, Device
from devices.services.commands import may_send, preview, request_command, template_of

MAX_DEVICES = 500


@dataclass(frozen=True)
class BulkRow:
    """One device: what it would get and for how much, or the ``command`` it got; else why it is skipped."""

    device: Device
    text: str = ""
    segments: int = 0
    price: Decimal = Decimal(0)
    currency: str = ""
    command: Command | None = None
    skipped: str = ""


def bulk_preview(
    devices: Iterable[Device], *, template_key: str, params: Mapping[str, Any], by: Any
) -> list[BulkRow]:
    """What would be sent to each device, or why it would be skipped; nothing is written."""
    return [_preview(device, template_key, params, by) for device in _once(devices)]


def _once(devices: Iterable[Device]) -> list[Device]:
    return list({device.pk: device for device in devices}.values())[:MAX_DEVICES]


def _preview(device: Device, key: str, params: Mapping[str, Any], by: Any) -> BulkRow:
    try:
        if not may_send(by, device, template_of(device, key)):
            return BulkRow(device, skipped=_("Your role does not allow this command on this device."))
        rendered, quote = preview(device=device, template_key=key, params=params)
    except DevicesError as exc:
        return BulkRow(device, skipped=_sentence(exc))
    return BulkRow(device, rendered.masked, quote.segments, quote.price, quote.currency)


def bulk_request(
    devices: Iterable[Device],
    *,
    template_key: str,
    params: Mapping[str, Any],
    by: Any,
    source: str,
    idem_key: str,
    now: datetime,
    reason: str = "",
) -> list[BulkRow]:
    """Ask every device for the command; one that is refused does not stop the others. Idempotent per device."""
    cause_id = uuid.uuid4()
    rows = []
    for device in _once(devices):
        try:
            command = request_command(
                device=device, template_key=template_key, params=params, source=source, actor=by, reason=reason,
                idem_key=f"{idem_key}:{device.pk}", cause_id=cause_id, source_ref="bulk", now=now,
            )  # fmt: skip
        except DevicesError as exc:
            rows.append(BulkRow(device, skipped=_sentence(exc)))
        else:
            rows.append(BulkRow(device, command=command))
    return rows


def _sentence(exc: DevicesError) -> str:
    fields = getattr(exc, "fields", {})
    return " ".join(
        [str(exc), *(str(text) for name, text in fields.items() if name not in ("device", "template"))]
    )
