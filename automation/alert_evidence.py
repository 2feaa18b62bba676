"""What an alert proves. It is evidence while it fires and was received within the evidence age, unless a
fresher snapshot says ONLINE; while the snapshot says nothing, it only suggests.

An alert whose sender itself does not know (no data, error, a series that is gone) proves nothing, whether
it fires or ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from automation.engine import Reading
from automation.models import Alert, Job
from automation.states import AlertState, Mode
from devices.models import Device
from devices.states import DeviceState
from platforms.querysets import PlatformQuerySet

MAX_AGE = timedelta(minutes=15)  # how old an alert may be for a job that does not say otherwise
ACTIVE = (AlertState.FIRING, AlertState.RESOLVED)


def max_age_of(job: Job) -> timedelta:
    """How long ago an alert may have been received."""
    return timedelta(seconds=job.evidence_max_age_s) if job.evidence_max_age_s else MAX_AGE


def alerts_of(job: Job) -> PlatformQuerySet:
    """The newest episode of each alert that the job looks at; an older one is only history."""
    newer = Alert.objects.filter(
        source=OuterRef("source"), fingerprint=OuterRef("fingerprint"), starts_at__gt=OuterRef("starts_at")
    )
    rows = Alert.objects.filter(
        ~Exists(newer), platform=job.platform_id, state__in=ACTIVE, source__is_enabled=True, device__isnull=False
    )  # fmt: skip
    for number, (key, value) in enumerate(sorted(job.alert_labels.items())):
        label = Cast(KeyTextTransform(key, "labels"), TextField())
        rows = rows.annotate(**{f"alert_label{number}": label}).filter(**{f"alert_label{number}": str(value)})
    return rows


def alarmed(platform_id: int, *, since: datetime) -> QuerySet[Any, Any] | None:
    """The devices of which alerts began to fire since then, as a subquery; None when there are no such alerts."""
    rows = Alert.objects.of(platform_id).filter(
        state=AlertState.FIRING, signal="", first_received_at__gte=since, device__isnull=False
    )
    return rows.values("device") if rows.exists() else None


def rows_of(alerts: PlatformQuerySet) -> QuerySet[Any, Any]:
    """Only what counts of each alert: thousands are summed up in a storm."""
    return alerts.order_by().values_list(
        "device_id", "state", "signal", "starts_at", "ends_at", "received_at", named=True
    )


def told_of(job: Job, device: Device) -> "Told | None":
    """What the alerts of one device come to for this job."""
    return sum_up(rows_of(alerts_of(job).filter(device=device)))


@dataclass(frozen=True)
class Told:
    """What the alerts of one device come to."""

    breach: bool | None
    starts_at: datetime
    received_at: datetime


def sum_up(alerts: Iterable[Any]) -> Told | None:
    """One that fires outweighs a doubt, a doubt outweighs one that has ended; None without any."""
    told: Told | None = None
    for alert in alerts:
        new = Told(_breach(alert), _began(alert), alert.received_at)
        if told is None or (_weight(new), new.received_at) > (_weight(told), told.received_at):
            told = new
    return told


def _breach(alert: Any) -> bool | None:
    return None if alert.signal else bool(alert.state == AlertState.FIRING)


def _began(alert: Any) -> datetime:
    """Since when it is as it is; never later than we heard of it."""
    began: datetime = (
        alert.starts_at if alert.state == AlertState.FIRING else alert.ends_at or alert.received_at
    )
    return min(began, alert.received_at)


def _weight(told: Told) -> int:
    return {True: 2, None: 1, False: 0}[told.breach]


def reading_of(told: Told, device: Device | None, *, hold: timedelta, now: datetime) -> Reading:
    """The job's reading of a device: its alerts, against a fresher snapshot and the hold."""
    is_online = device is not None and device.state == DeviceState.ONLINE
    if is_online and device.observed_at and device.observed_at > told.received_at:
        return Reading(breach=False, observed_at=device.observed_at, since=device.state_since)
    breach = told.breach
    if breach and now - told.starts_at < hold:
        breach = None  # not long enough yet
    return Reading(breach=breach, observed_at=told.received_at, since=told.starts_at)


def alone(device: Device) -> bool:
    """Whether nobody but the alert knows anything of the device."""
    return device.state == DeviceState.UNKNOWN


def mode_of(job: Job, device: Device | None) -> str:
    """What the job may do for the device now: on an alert alone it never acts by itself."""
    if job.source == Job.Source.ALERT and job.mode == Mode.AUTO and (device is None or alone(device)):
        return Mode.SUGGEST
    return job.mode


@dataclass(frozen=True)
class Seen:
    """The state of a device for its case, and since when, as of when."""

    state: str
    since: datetime | None
    observed_at: datetime | None


def seen(job: Job | None, device: Device | None, *, now: datetime) -> Seen:
    """What the snapshot says; where it says nothing, a job on alerts goes by them.

    A resolved alert vouches for as long as its job waits for stability: its sender would have told us
    of the next one.
    """
    if device is None:
        return Seen(DeviceState.UNKNOWN, None, None)
    if job is None or job.source != Job.Source.ALERT or not alone(device):
        return Seen(device.state, device.state_since, device.observed_at)
    told = told_of(job, device)
    if told is None or told.breach is None:
        return Seen(DeviceState.UNKNOWN, None, device.observed_at)
    if told.breach:
        return Seen(DeviceState.OFFLINE, told.starts_at, told.received_at)
    vouched = min(now, told.received_at + timedelta(seconds=job.stable_s))
    return Seen(DeviceState.ONLINE, told.received_at, max(vouched, told.received_at))
