"""Who fell together: the groups of a device that share a cause, and how much of each is down."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

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

    Together is within ``window`` before now, or around the moment at which the device itself fell, however long ago
    that was; who fell then and who falls now are not added up. Of whom there was no data before it was seen
    offline, that moment is the whole time since it was last online.
    """
    found = [group for group in groups_of(device, now=now, window=window) if is_mass(group)]
    return min(found, key=lambda group: SCOPES.index(group.scope), default=None)


def groups_of(device: Device, *, now: datetime, window: timedelta = WINDOW) -> list[Peers]:
    """Each group of the device with its count of fallen and known members."""
    expected = expected_dark(device.platform_id, now=now, queued=False) - {device.pk}
    alarmed = alert_evidence.alarmed(device.platform_id, since=now - window)
    moments = _moments(device, now=now, window=window)
    found = list(_memberships(device))
    ours = Q(platform=device.platform_id)
    own = _counts(ours, [members for _scope, _subject, _title, members in found], moments, expected, alarmed)
    groups = []
    for (scope, subject, title, members), (bad, known) in zip(found, own, strict=True):
        if scope == "cms":  # others' players are among them
            (everywhere,) = _counts(members, [Q()], moments, expected, alarmed)
            groups.append(Peers(scope, subject, title, *everywhere, own=(bad, known)))
        else:
            groups.append(Peers(scope, subject, title, bad, known))
    return groups


def _moments(device: Device, *, now: datetime, window: timedelta) -> list[Q]:
    """Who fell in each span that counts for the device: lately, and when it fell itself. Spans that meet are one."""
    lately = Q(state_since__gte=now - window)
    if device.state != DeviceState.OFFLINE or device.state_since is None or device.fell_at is None:
        return [lately]
    first, last = device.fell_at - WINDOW, device.state_since + WINDOW
    then = Q(Q(unseen_since__lte=last) | Q(state_since__lte=last), state_since__gte=first)
    return [lately | then] if device.state_since >= now - window else [lately, then]


def _memberships(device: Device) -> Iterable[tuple[str, str, str, Q]]:
    """(scope, subject, title, which devices); all but ``cms`` are meant within the device's platform."""
    yield "platform", f"platform:{device.platform_id}", device.platform.name, Q()
    if device.site_id:
        yield "site", f"site:{device.site_id}", device.site.name, Q(site=device.site_id)
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
            Q(facts__outip=address),
        )
    for exporter in Exporter.objects.filter(targets__device=device).distinct():
        members = Q(pk__in=ExporterTarget.objects.filter(exporter=exporter).values("device"))
        yield "exporter", f"exporter:{exporter.pk}", exporter.name, members
        same_cms = Exporter.objects.filter(kind=exporter.kind, base_url=exporter.base_url)
        if same_cms.exclude(platform=device.platform_id).exists():
            everywhere = Q(pk__in=ExporterTarget.objects.filter(exporter__in=same_cms).values("device"))
            yield "cms", f"cms:{exporter.kind}:{device.platform_id}", exporter.kind, everywhere


def _counts(
    whole: Q,
    groups: Sequence[Q],
    moments: Sequence[Q],
    expected: set[int],
    alarmed: QuerySet[Any, Any] | None,
) -> list[tuple[int, int]]:
    """(most that fell in one of the ``moments``, known) of each group within ``whole``, in one look at its devices.

    A device without data counts in neither, unless alerts speak for it.
    """
    fallen, known = (
        [Q(moment, state=DeviceState.OFFLINE) for moment in moments],
        ~Q(state=DeviceState.UNKNOWN),
    )
    if alarmed is not None:
        fallen = [bad | ~Q(state=DeviceState.ONLINE) & Q(pk__in=alarmed) for bad in fallen]
        known = Q()
    if expected:
        fallen = [bad & ~Q(pk__in=expected) for bad in fallen]
    figures = {}
    for number, members in enumerate(groups):
        figures[f"known{number}"] = Count("pk", filter=members & known or None)
        for moment, bad in enumerate(fallen):
            figures[f"bad{number}_{moment}"] = Count("pk", filter=members & bad)
    counted = Device.objects.filter(whole, is_active=True, kind=Device.Kind.PLAYER).aggregate(**figures)
    return [
        (max(counted[f"bad{number}_{moment}"] for moment in range(len(fallen))), counted[f"known{number}"])
        for number in range(len(groups))
    ]
