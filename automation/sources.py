"""Read what a job looks at: one reading per device of its set, from the snapshot or from Prometheus.

A reading says ``breach`` True or False only when a healthy source said so; else None.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from django.db.models import Count, Q, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from automation import alert_evidence, prometheus
from automation.conditions import holds, lingers
from automation.engine import Reading
from automation.models import Job, JobState
from automation.states import Phase
from devices.models import Command, Device, DeviceEvent, PowerLink
from devices.observed import ObservedQuerySet
from devices.states import MAY_HAVE_ACTED, CommandState, DeviceState
from exporters.models import Exporter, ExporterTarget

DARKENING = ("cycle", "off", "on_then_off", "off_later")


def devices_of(job: Job, *, named: Collection[int] | None = None) -> ObservedQuerySet:
    """The set that the job watches, always inside its own platform.

    ``named``: the devices named in a form, for a job that is not stored yet.
    """
    rows = Device.objects.of(job.platform_id).filter(is_active=True, kind=Device.Kind.PLAYER)
    if job.exporter_id:
        rows = rows.filter(pk__in=ExporterTarget.objects.filter(exporter=job.exporter_id).values("device"))
    if job.site_id:
        rows = rows.filter(site=job.site_id)
    for number, (key, value) in enumerate(sorted(job.labels.items())):
        label = Cast(
            KeyTextTransform(key, "labels"), TextField()
        )  # text: else SQLite reads the value as JSON
        rows = rows.annotate(**{f"label{number}": label}).filter(**{f"label{number}": str(value)})
    if named is None:
        stored = job.devices.values_list("pk", flat=True) if job.pk else None
        return rows.filter(pk__in=stored) if stored is not None and stored.exists() else rows
    return rows.filter(pk__in=list(named)) if named else rows


def targets_of(job: Job, *, named: Collection[int] | None = None) -> ObservedQuerySet:
    """The targets through which CMSs know the job's set; the exporter comes along."""
    mine = devices_of(job, named=named)
    rows = ExporterTarget.objects.filter(device__in=mine, exporter__platform=job.platform_id)
    if job.exporter_id:
        rows = rows.filter(exporter=job.exporter_id)
    return rows.select_related("exporter")


def max_age_of(job: Job, exporter: Exporter | None) -> timedelta:
    """How old evidence may be: the job's own limit, or twice the poll interval."""
    if job.evidence_max_age_s:
        return timedelta(seconds=job.evidence_max_age_s)
    return exporter.max_age if exporter else timedelta(minutes=2)


def expected_dark(platform_id: int, *, now: datetime, queued: bool = True) -> set[int]:
    """The devices that are dark by our own doing: their socket was told to cut their output a moment ago.

    Without ``queued`` only by commands that are known to have left, or may have.
    """
    states = [*MAY_HAVE_ACTED, CommandState.QUEUED] if queued else MAY_HAVE_ACTED
    commands = Command.objects.filter(platform=platform_id, power__in=DARKENING, state__in=states).exclude(
        verify_until__lte=now
    )
    lines = {
        (device_id, line): True
        for device_id, line in commands.filter(created_at__gte=now - timedelta(days=1)).values_list(
            "device_id", "template__line"
        )
    }
    if not lines:
        return set()
    fed = PowerLink.objects.filter(valid_to=None, socket__in={device_id for device_id, _line in lines})
    return {
        device_id
        for device_id, socket_id, line in fed.values_list("device_id", "socket_id", "line")
        if (socket_id, line) in lines or (socket_id, 0) in lines
    }


@dataclass(frozen=True)
class Others:
    """The devices of a set that need no reading: how many, how many of them have no fresh answer, and how long an
    answer counts at most (None: there is no CMS).
    """

    number: int
    unknown: int
    max_age: timedelta | None


def telling(job: Job) -> Q:
    """Of targets: those of devices of which a CMS says anything but "online", or of which the job has a view.

    Of all others there is nothing to judge: they are fine, or not known to be anything else.
    """
    not_online = ExporterTarget.objects.filter(exporter__platform=job.platform_id)
    not_online = not_online.exclude(status=DeviceState.ONLINE)
    watched = JobState.objects.filter(job=job).exclude(phase=Phase.OK)
    # one set, not two of which either will do: the database then begins with these few
    return Q(device__in=not_online.order_by().values("device").union(watched.order_by().values("device")))


def count_others(job: Job, *, told: Collection[int], now: datetime) -> Others:
    """Count what ``read_snapshot(only=telling(job))`` leaves out; ``told`` are the devices that it gave.

    All that is online behind one exporter has the time of its last round, so that is looked at once.
    """
    exporters = Exporter.objects.filter(platform=job.platform_id).defer("secret")
    if job.exporter_id:
        exporters = exporters.filter(pk=job.exporter_id)
    ages = {
        row: timedelta(seconds=job.evidence_max_age_s) if job.evidence_max_age_s else row.max_age
        for row in exporters
    }
    answering = [
        row.pk
        for row, age in ages.items()
        if row.is_up and not row.suspect_reason and row.answers_at and abs(now - row.answers_at) <= age
    ]
    whole = targets_of(job).order_by()
    number = _count_devices(whole) - len(told)
    known = number
    if len(answering) < len(ages):
        fresh = whole.filter(exporter__in=answering)
        known = _count_devices(fresh) - _count_devices(fresh.filter(telling(job)))
    longest = max((age for row, age in ages.items() if row.is_enabled), default=None)
    return Others(max(0, number), max(0, number - known), longest)


def _count_devices(targets: ObservedQuerySet) -> int:
    """How many devices they are of."""
    return int(targets.aggregate(number=Count("device", distinct=True))["number"])


def read_snapshot(
    job: Job, *, expected: set[int], named: Collection[int] | None = None, only: Q | None = None
) -> dict[int, tuple[Reading, timedelta]]:
    """{device id: (reading, how old it may be)}: offline in the CMS is the breach. ``only`` these targets."""
    readings: dict[int, tuple[Reading, timedelta]] = {}
    exporters = Exporter.objects.filter(platform=job.platform_id).defer("secret").in_bulk()
    rows = targets_of(job, named=named).filter(only or Q()).order_by().with_observed_at()
    for device_id, exporter_id, is_up, suspect_reason, status, since, observed_at in rows.values_list(
        "device_id",
        "exporter",
        "exporter__is_up",
        "exporter__suspect_reason",
        "status",
        "status_since",
        "observed_at",
    ):
        exporter = exporters.get(exporter_id)
        if exporter is None:  # it came between the two questions
            continue
        reading = Reading(
            breach={DeviceState.ONLINE: False, DeviceState.OFFLINE: True}.get(status),
            observed_at=observed_at,
            since=since,
            value={DeviceState.ONLINE: 1.0, DeviceState.OFFLINE: 0.0}.get(status),
            upstream_ok=bool(is_up) and not suspect_reason,
            expected=device_id in expected,
        )
        known = readings.get(device_id)
        if known is None or _is_better(reading, known[0]):
            readings[device_id] = (reading, max_age_of(job, exporter))
    return readings


def _is_better(new: Reading, old: Reading) -> bool:
    """Of two CMSs that know a device, the one with an answer and the newer one counts."""
    if (new.breach is None) != (old.breach is None):
        return new.breach is not None
    if new.observed_at is None or old.observed_at is None:
        return new.observed_at is not None
    return new.observed_at > old.observed_at


def read_prometheus(
    job: Job, *, expected: set[int], now: datetime, named: Collection[int] | None = None
) -> dict[int, tuple[Reading, timedelta]]:
    """{device id: (reading, how old it may be)}: the query's value against the job's threshold.

    A device without a sample has no reading: absent is unknown. Raises PrometheusUnavailable.
    """
    samples = _range_samples(job, now=now) if job.promql_range_s else _samples(job, now=now)
    by_identity = _targets_by_identity(job, {_identity(labels) for labels, _said in samples}, named=named)
    exporters = Exporter.objects.filter(platform=job.platform_id).defer("secret").in_bulk()
    readings: dict[int, tuple[Reading, timedelta]] = {}
    for labels, said in samples:
        target = _target_of(labels, by_identity, job.platform_id)
        exporter = exporters.get(target.exporter_id) if target is not None else None
        if target is None or exporter is None:
            continue
        reading = replace(
            said,
            upstream_ok=exporter.is_up is not False and not exporter.suspect_reason,
            expected=target.device_id in expected,
        )
        known = readings.get(target.device_id)
        if known is None or known[0].breach is not False:  # of two series, the one that says "fine" counts
            readings[target.device_id] = (reading, max_age_of(job, exporter))
    return readings


def _samples(job: Job, *, now: datetime) -> list[tuple[dict[str, str], Reading]]:
    """What each series says at this moment."""
    return [
        (
            sample.labels,
            Reading(
                breach=holds(sample.value, job.operator, job.threshold),
                lingers=lingers(sample.value, job.operator, job.clear_threshold),
                observed_at=sample.at,
                value=sample.value,
            ),
        )
        for sample in prometheus.query_vector(job.promql, at=now)
    ]


def _range_samples(job: Job, *, now: datetime) -> list[tuple[dict[str, str], Reading]]:
    """What each series says of the whole range: bad when it was so all along, and nothing where it has holes."""
    said = []
    for run in prometheus.query_range(job.promql, span=timedelta(seconds=job.promql_range_s or 0), at=now):
        if not run.points:
            continue
        at, value = run.points[-1]
        now_bad = holds(value, job.operator, job.threshold)
        bad = [holds(each, job.operator, job.threshold) for _at, each in run.points]
        whole = len(run.points) >= run.expected - 1 and all(bad)
        reading = Reading(
            breach=True if whole else False if now_bad is False else None,
            lingers=lingers(value, job.operator, job.clear_threshold),
            observed_at=at, value=value,
        )  # fmt: skip
        said.append((run.labels, reading))
    return said


def read_events(
    job: Job, *, expected: set[int], now: datetime, named: Collection[int] | None = None
) -> dict[int, tuple[Reading, timedelta]]:
    """{device id: (reading, how old it may be)}: offline, and the event happened to it or to its socket lately."""
    readings = read_snapshot(job, expected=expected, named=named)
    lately = DeviceEvent.objects.of(job.platform_id).filter(
        kind=job.event_kind, at__gt=now - timedelta(seconds=job.event_within_s), at__lte=now
    )
    struck = set(lately.values_list("device_id", flat=True))
    fed = PowerLink.objects.filter(socket__in=struck, valid_to=None) if struck else PowerLink.objects.none()
    struck |= set(fed.values_list("device_id", flat=True))
    return {
        key: (reading if key in struck or not reading.breach else replace(reading, breach=False), max_age)
        for key, (reading, max_age) in readings.items()
    }


def read_scheduled(
    job: Job, *, expected: set[int], named: Collection[int] | None = None
) -> dict[int, tuple[Reading, timedelta]]:
    """{device id: (reading, how old it may be)}: offline for as long as the hold, by the CMS's own word."""
    readings = {}
    for key, (reading, max_age) in read_snapshot(job, expected=expected, named=named).items():
        since, seen = reading.since, reading.observed_at
        if reading.breach and (since is None or seen is None or seen - since < job.hold):
            reading = replace(reading, breach=None)  # not long enough yet
        readings[key] = (reading, max_age)
    return readings


def read_alerts(
    job: Job, *, expected: set[int], now: datetime, named: Collection[int] | None = None
) -> dict[int, tuple[Reading, timedelta]]:
    """{device id: (reading, how old it may be)}: an alert that fires is the breach.

    The hold is the alert's own age: who sent it has seen it all that time.
    """
    by_device: dict[int, list[Any]] = {}
    mine = devices_of(job, named=named)
    for alert in alert_evidence.rows_of(alert_evidence.alerts_of(job).filter(device__in=mine)):
        by_device.setdefault(alert.device_id, []).append(alert)
    devices = Device.objects.with_observed_at().only("state", "state_since").in_bulk(list(by_device))
    readings = {}
    for device_id, alerts in by_device.items():
        told = alert_evidence.sum_up(alerts)
        if told is not None:
            reading = alert_evidence.reading_of(told, devices.get(device_id), hold=job.hold, now=now)
            reading = replace(reading, expected=device_id in expected)
            readings[device_id] = (reading, alert_evidence.max_age_of(job))
    return readings


def _identity(labels: dict[str, str]) -> str | None:
    """What a series calls its device."""
    return labels.get("mac") or labels.get("device_id")


FEW = 5_000  # series whose targets are asked for by name; more need the whole set anyway
AT_ONCE = 500


class Target(NamedTuple):
    """A row of ExporterTarget: thousands are read, which models are too heavy for."""

    external_id: str
    device_id: int
    exporter_id: int


def _targets_by_identity(
    job: Job, identities: Collection[str | None], *, named: Collection[int] | None
) -> dict[str, list[Target]]:
    """{what a CMS calls a device: its targets} of the job's set, at least those of ``identities``."""
    rows = targets_of(job, named=named).order_by().values_list(*Target._fields)
    names = sorted(name for name in identities if name is not None)
    parts = [rows]
    if len(names) <= FEW:
        parts = [
            rows.filter(external_id__in=names[start : start + AT_ONCE])
            for start in range(0, len(names), AT_ONCE)
        ]
    found: dict[str, list[Target]] = {}
    for target in map(Target._make, chain.from_iterable(parts)):
        found.setdefault(target.external_id, []).append(target)
    return found


def _target_of(labels: dict[str, str], targets: dict[str, list[Target]], platform_id: int) -> Target | None:
    """Map a series to a device by immutable labels only, inside the platform."""
    platform = labels.get("platform_id", labels.get("exported_platform_id"))
    fitting = targets.get(_identity(labels) or "", [])
    if platform is not None and platform != str(platform_id):
        return None
    exporter = labels.get("exporter_id")
    if exporter is not None:
        fitting = [target for target in fitting if str(target.exporter_id) == exporter]
    return fitting[0] if len(fitting) == 1 else None
