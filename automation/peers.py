"""Who fell together: the groups of a device that share a cause, and how much of each is down."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from automation import alert_evidence
from automation.engine import Peers, is_mass
from automation.sources import expected_dark
from devices.models import Device
from devices.states import DeviceState
from exporters.models import Exporter, ExporterTarget

WINDOW = timedelta(minutes=10)
SCOPES = ("cms", "platform", "exporter", "outer_ip", "site")  # the widest common cause first


def mass_of(device: Device, *, now: datetime, window: timedelta = WINDOW) -> Peers | None:
    """The widest group of ``device`` that fell together; None when it fell alone.

    Together is within ``window`` before now, or around the moment at which the device itself fell,
    however long ago that was.
    """
    found = [group for group in groups_of(device, now=now, window=window) if is_mass(group)]
    return min(found, key=lambda group: SCOPES.index(group.scope), default=None)


def groups_of(device: Device, *, now: datetime, window: timedelta = WINDOW) -> list[Peers]:
    """Each group of the device with its count of fallen and known members."""
    expected = expected_dark(device.platform_id, now=now, queued=False) - {device.pk}
    alarmed = alert_evidence.alarmed(device.platform_id, since=now - window)
    together = Q(state_since__gte=now - window)
    if device.state == DeviceState.OFFLINE and device.state_since is not None:
        together |= Q(state_since__range=(device.state_since - WINDOW, device.state_since + WINDOW))
    groups = []
    for scope, subject, title, members in _memberships(device):
        bad, known = _count(members, together, expected, alarmed)
        own = (
            _count(members & Q(platform=device.platform_id), together, expected, alarmed)
            if scope == "cms" else None
        )  # fmt: skip
        groups.append(Peers(scope, subject, title, bad, known, own))
    return groups


def _memberships(device: Device) -> Iterable[tuple[str, str, str, Q]]:
    platform = Q(platform=device.platform_id)
    yield "platform", f"platform:{device.platform_id}", device.platform.name, platform
    if device.site_id:
        yield "site", f"site:{device.site_id}", device.site.name, platform & Q(site=device.site_id)
    address = device.facts.get("outip")
    if address:
        # a CMS may say anything here: the subject has room for an address, not for an essay
        subject = (
            hashlib.sha256(str(address).encode()).hexdigest()[:32] if len(str(address)) > 39 else address
        )
        yield (
            "outer_ip",
            f"outer_ip:{device.platform_id}:{subject}",
            str(address)[:300],
            platform & Q(facts__outip=address),
        )
    for exporter in Exporter.objects.filter(targets__device=device).distinct():
        members = Q(pk__in=ExporterTarget.objects.filter(exporter=exporter).values("device"))
        yield "exporter", f"exporter:{exporter.pk}", exporter.name, members
        same_cms = Exporter.objects.filter(kind=exporter.kind, base_url=exporter.base_url)
        if same_cms.exclude(platform=device.platform_id).exists():
            everywhere = Q(pk__in=ExporterTarget.objects.filter(exporter__in=same_cms).values("device"))
            yield "cms", f"cms:{exporter.kind}:{device.platform_id}", exporter.kind, everywhere


def _count(
    members: Q, together: Q, expected: set[int], alarmed: QuerySet[Any, Any] | None
) -> tuple[int, int]:
    """(fallen together, known): a device without data counts in neither, unless alerts speak for it."""
    rows = Device.objects.filter(members, is_active=True, kind=Device.Kind.PLAYER)
    fallen = Q(together, state=DeviceState.OFFLINE)
    if alarmed is None:
        rows = rows.exclude(state=DeviceState.UNKNOWN)
    else:
        fallen |= ~Q(state=DeviceState.ONLINE) & Q(pk__in=alarmed)
    bad = rows.filter(fallen).exclude(pk__in=expected)
    return bad.count(), rows.count()
