"""Who fell together: the groups of a device that share a cause, and how much of each is down."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from automation.engine import Peers, is_mass
from automation.sources import expected_dark
from devices.models import Device
from devices.states import DeviceState
from exporters.models import Exporter, ExporterTarget

WINDOW = timedelta(minutes=10)
SCOPES = ("cms", "platform", "exporter", "outer_ip", "site")  # the widest common cause first


def mass_of(device: Device, *, now: datetime, window: timedelta = WINDOW) -> Peers | None:
    """The widest group of ``device`` that fell together within ``window``; None when it fell alone."""
    found = [group for group in groups_of(device, now=now, window=window) if is_mass(group)]
    return min(found, key=lambda group: SCOPES.index(group.scope), default=None)


def groups_of(device: Device, *, now: datetime, window: timedelta = WINDOW) -> list[Peers]:
    """Each group of the device with its count of fallen and known members."""
    expected = expected_dark(device.platform_id, now=now)
    return [
        Peers(scope, subject, title, *_count(members, expected, now=now, window=window))
        for scope, subject, title, members in _memberships(device)
    ]


def _memberships(device: Device) -> Iterable[tuple[str, str, str, Q]]:
    platform = Q(platform=device.platform_id)
    yield "platform", f"platform:{device.platform_id}", device.platform.name, platform
    if device.site_id:
        yield "site", f"site:{device.site_id}", device.site.name, platform & Q(site=device.site_id)
    address = device.facts.get("outip")
    if address:
        yield (
            "outer_ip",
            f"outer_ip:{device.platform_id}:{address}",
            address,
            platform & Q(facts__outip=address),
        )
    for exporter in Exporter.objects.filter(targets__device=device).distinct():
        members = Q(pk__in=ExporterTarget.objects.filter(exporter=exporter).values("device"))
        yield "exporter", f"exporter:{exporter.pk}", exporter.name, members
        same_cms = Exporter.objects.filter(kind=exporter.kind, base_url=exporter.base_url)
        if same_cms.exclude(platform=device.platform_id).exists():
            everywhere = Q(pk__in=ExporterTarget.objects.filter(exporter__in=same_cms).values("device"))
            yield "cms", f"cms:{exporter.kind}:{device.platform_id}", exporter.kind, everywhere


def _count(members: Q, expected: set[int], *, now: datetime, window: timedelta) -> tuple[int, int]:
    """(fallen within the window, known): a device without data counts in neither."""
    rows = Device.objects.filter(members, is_active=True, kind=Device.Kind.PLAYER).exclude(
        state=DeviceState.UNKNOWN
    )
    bad = rows.filter(state=DeviceState.OFFLINE, state_since__gte=now - window).exclude(pk__in=expected)
    return bad.count(), rows.count()
