"""Add devices to an exporter, from pasted lines or from what the CMS reported, and take them off."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from devices.models import Device
from devices.services import create_device, mark_unknown, remove_device
from devices.states import DeviceState
from exporters.macs import BadLine, DuplicateLine, MacLine, MacReport, read_mac_lines
from exporters.models import Exporter, ExporterTarget, FoundDevice
from exporters.services.accounts import actor_of, poll_now
from exporters.services.rounds import refresh_snapshot
from platforms import audit
from platforms.errors import QuotaExceeded
from remosa.lib.clock import utcnow
from remosa.lib.registry import backend

BATCH = 100  # lines per transaction: others may write in between


@dataclass(frozen=True)
class Refused:
    """A readable line that was not taken, with a sentence for people."""

    external_id: str
    reason: str


@dataclass(frozen=True)
class AddReport:
    """What became of the lines: each is in exactly one of ``added``, ``known`` (a target already),
    ``duplicates``, ``bad`` and ``refused``. ``created`` counts the new devices among ``added``."""

    added: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    duplicates: tuple[DuplicateLine, ...] = ()
    bad: tuple[BadLine, ...] = ()
    refused: tuple[Refused, ...] = ()
    created: int = 0


@dataclass
class _Tally:
    """The report while it grows."""

    added: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    created: int = 0
    limit: str = ""  # the sentence, once the platform is full


def add_targets(*, exporter: Exporter, lines: str | MacReport, by: Any = None) -> AddReport:
    """Poll these devices too: one id (and perhaps a name) per line.

    An id that the platform has no device for gets one, within the device limit; what does not fit is
    refused with a sentence, what did fit stays.
    """
    normalise = backend("EXPORTERS", exporter.kind)().normalise_id
    read = lines if isinstance(lines, MacReport) else read_mac_lines(lines, normalise=normalise)
    tally = _Tally()
    for batch in _batches(read.accepted):
        with transaction.atomic():
            added_before = len(tally.added)
            _add_batch(exporter, batch, tally, by)
            if added := tally.added[added_before:]:
                audit.record(
                    actor=actor_of(by), verb="exporter.targets_added", target=exporter,
                    platform=exporter.platform, after={"targets": added},
                )  # fmt: skip
    if tally.added:
        FoundDevice.objects.filter(exporter=exporter, external_id__in=tally.added).delete()
        poll_now(exporter)
    return AddReport(
        added=tuple(tally.added),
        known=tuple(tally.known),
        duplicates=read.duplicates,
        bad=read.bad,
        refused=tuple(tally.refused),
        created=tally.created,
    )


def adopt_found(
    *, exporter: Exporter, external_ids: Iterable[str] | None = None, by: Any = None
) -> AddReport:
    """Add devices that the CMS reported by itself: those named, or all that wait."""
    waiting = FoundDevice.objects.filter(exporter=exporter).order_by("pk")
    if external_ids is not None:
        waiting = waiting.filter(external_id__in=list(external_ids))
    lines = tuple(MacLine(found.external_id, found.name or None) for found in waiting)
    return add_targets(exporter=exporter, lines=MacReport(lines, (), ()), by=by)


def remove_targets(
    *, exporter: Exporter, external_ids: Iterable[str], by: Any = None, with_devices: bool = False
) -> int:
    """Stop polling these ids; how many there were. ``with_devices`` also takes the devices out of service."""
    removed = 0
    for batch in _batches(sorted(set(external_ids))):
        with transaction.atomic():
            rows = list(exporter.targets.filter(external_id__in=batch).select_related("device__platform"))
            ExporterTarget.objects.filter(pk__in=[row.pk for row in rows]).delete()
            orphans = [row.device for row in rows if not row.device.targets.exists()]
            mark_unknown([device.pk for device in orphans], at=utcnow(), source=f"exporter:{exporter.pk}")
            for device in orphans if with_devices else ():
                remove_device(device, by=by)
            if rows:
                audit.record(
                    actor=actor_of(by), verb="exporter.targets_removed", target=exporter,
                    platform=exporter.platform, before={"targets": [row.external_id for row in rows]},
                )  # fmt: skip
        removed += len(rows)
    if removed:
        _show_at_once(exporter)
    return removed


def correct_target(target: ExporterTarget, *, external_id: str, by: Any = None) -> ExporterTarget:
    """The device has another MAC or number in the CMS: it was mistyped, or the box was replaced.

    ValidationError for an id that is none, or that this exporter, or another device, has already.
    """
    exporter = target.exporter
    try:
        key = backend("EXPORTERS", exporter.kind)().normalise_id(external_id)
    except ValueError as exc:
        raise ValidationError({"external_id": str(exc)}) from exc
    before = target.external_id
    if key == before:
        return target
    with transaction.atomic():
        if exporter.targets.filter(external_id=key).exists():
            raise ValidationError({"external_id": _("This exporter polls it already.")})
        device = target.device
        column = "mac" if device.mac == before else "external_id" if device.external_id == before else ""
        if column:
            setattr(device, column, key)
            device.full_clean()
            device.save(update_fields=[column])
        target.external_id, target.status, target.stated = key, DeviceState.UNKNOWN, DeviceState.UNKNOWN
        target.status_since, target.noted_at, target.reason, target.facts = utcnow(), None, "", {}
        target.save()
        mark_unknown([device.pk], at=utcnow(), source=f"exporter:{exporter.pk}")
        audit.record(
            actor=actor_of(by), verb="exporter.target_corrected", target=exporter, platform=exporter.platform,
            before={"target": before}, after={"target": key},
        )  # fmt: skip
    _show_at_once(exporter)
    return target


def _show_at_once(exporter: Exporter) -> None:
    """Who is not polled any more is not served any more, without waiting for the next round."""
    with transaction.atomic():
        refresh_snapshot(exporter)
    poll_now(exporter)


def _add_batch(exporter: Exporter, batch: Sequence[MacLine], tally: _Tally, by: Any) -> None:
    ids = [line.mac for line in batch]
    known = set(exporter.targets.filter(external_id__in=ids).values_list("external_id", flat=True))
    devices = _devices_known_as(exporter, ids)
    for line in batch:
        if line.mac in known:
            tally.known.append(line.mac)
            continue
        try:
            with transaction.atomic():
                device = devices.get(line.mac) or _new_device(exporter, line, tally, by)
                ExporterTarget.objects.create(exporter=exporter, external_id=line.mac, device=device)
        except QuotaExceeded:
            tally.limit = _(
                "The platform's device limit (%(limit)d) is reached. Raise the limit or remove a device first."
            ) % {"limit": exporter.platform.device_limit}
            tally.refused.append(Refused(line.mac, tally.limit))
        except ValidationError as exc:
            tally.refused.append(Refused(line.mac, " ".join(exc.messages)))
        except IntegrityError:  # somebody was quicker
            tally.refused.append(Refused(line.mac, _("It was added by somebody else a moment ago.")))
        else:
            tally.added.append(line.mac)
            tally.created += line.mac not in devices


def _new_device(exporter: Exporter, line: MacLine, tally: _Tally, by: Any) -> Device:
    """A player named after the line, or after its id; raises as ``create_device`` does."""
    if tally.limit:
        raise QuotaExceeded(kind="devices", wanted=1, left=0)
    mac, number = (line.mac, "") if _is_mac(line.mac) else ("", line.mac)
    return create_device(
        platform=exporter.platform, by=by, name=line.name or line.mac, mac=mac, external_id=number
    )


def _devices_known_as(exporter: Exporter, ids: Sequence[str]) -> dict[str, Device]:
    """{id: active device of the platform}. A number means something only within its own CMS account."""
    own = Device.objects.of(exporter.platform_id).filter(is_active=True)
    by_mac = {device.mac: device for device in own.filter(mac__in=[key for key in ids if _is_mac(key)])}
    elsewhere = (
        ExporterTarget.objects.filter(exporter__platform=exporter.platform_id)
        .exclude(exporter__kind=exporter.kind, exporter__base_url=exporter.base_url)
        .values("device")
    )
    numbers = [key for key in ids if not _is_mac(key)]
    by_number = own.filter(external_id__in=numbers).exclude(pk__in=elsewhere)
    return by_mac | {device.external_id: device for device in by_number}


def _is_mac(external_id: str) -> bool:
    return (
        re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", external_id) is not None
    )  # as `normalise_mac` spells them


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
