"""What a job would do just now, on the present values; nothing is stored, nothing is sent."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from automation.engine import Reading, Verdict, judge
from automation.errors import PrometheusUnavailable
from automation.guards import Candidate, Refusal, first_refusal, timing_of
from automation.models import Case, Job, JobState
from automation.services.evaluation import Readings, read
from automation.sources import devices_of
from automation.states import LIVE, CaseState, Mode
from devices.models import Device, PowerLink

ASKED = 20  # devices for which all guards are asked
SHOWN = 200


@dataclass(frozen=True)
class Line:
    """One device: what the source says of it, and what the job would do.

    ``would`` is "nothing", "unknown", "hold", "act", "suggest", "write" (a job that only watches), "case" (something
    was done for it already, or a person has it), or "refused", with the guard's objection.
    """

    device: Device
    value: float | None
    since: datetime | None
    observed_at: datetime | None
    would: str
    refusal: Refusal | None = None


@dataclass(frozen=True)
class DryRun:
    """The outcome: ``lines`` with what matters first, and counts of all devices of the set."""

    at: datetime
    lines: list[Line]
    matching: int
    breach: int
    unknown: int
    error: str = ""


def dry_run(
    job: Job, *, now: datetime, named: Collection[int] | None = None, stored: int | None = None
) -> DryRun:
    """Judge the job's devices now.

    ``named`` are the devices chosen in a form that is not stored yet, ``stored`` is the number of the job
    that it changes.
    """
    devices = {row.pk: row for row in devices_of(job, named=named).select_related("site", "platform")}
    try:
        readings = read(job, now=now, named=named)
    except PrometheusUnavailable as exc:
        return DryRun(now, [], len(devices), 0, 0, str(exc))
    views = {row.device_id: row for row in JobState.objects.filter(job=job.pk or stored)}
    lines = _lines(job, devices, readings, views, now=now)
    return DryRun(
        now, lines[:SHOWN], len(devices),
        breach=sum(line.would not in ("nothing", "unknown") for line in lines),
        unknown=sum(line.would == "unknown" for line in lines),
    )  # fmt: skip


def _lines(
    job: Job, devices: dict[int, Device], readings: Readings, views: dict[int, JobState], *, now: datetime
) -> list[Line]:
    links = {
        link.device_id: link
        for link in PowerLink.objects.filter(device__in=list(devices), valid_to=None).select_related(
            "socket__model", "socket__platform"
        )
    }
    live = Case.objects.filter(device__in=list(devices), state__in=LIVE)
    with_case = set(live.exclude(state=CaseState.OPEN, attempts=0).values_list("device", flat=True))
    lines, asked = [], 0
    for key, device in devices.items():
        reading, max_age = readings.get(key, (None, timedelta()))
        verdict = judge(reading, max_age=max_age, now=now)
        if reading is None or verdict is not Verdict.BREACH:
            would = "nothing" if verdict is Verdict.OK else "unknown"
            lines.append(_line(device, reading, None, would))
            continue
        view = views.get(key)
        since = reading.since or (view.since if view is not None else None) or reading.observed_at
        if reading.observed_at is None or since is None or reading.observed_at - since < job.hold:
            lines.append(_line(device, reading, since, "hold"))
            continue
        if key in with_case:
            lines.append(_line(device, reading, since, "case"))
            continue
        asked += 1
        lines.append(_would(job, device, links.get(key), reading, since, now=now, asked=asked))
    order = ["act", "suggest", "write", "refused", "case", "hold", "unknown", "nothing"]
    return sorted(lines, key=lambda line: (order.index(line.would), line.device.name))


def _would(
    job: Job,
    device: Device,
    link: PowerLink | None,
    reading: Reading,
    since: datetime,
    *,
    now: datetime,
    asked: int,
) -> Line:
    case = Case(platform=device.platform, device=device, job=job, opened_at=now, down_since=since)
    refusal = first_refusal(Candidate(case, job, device, link), now=now) if asked <= ASKED else None
    if refusal is not None:
        return _line(device, reading, since, "refused", refusal)
    if job.mode == Mode.SHADOW:
        return _line(device, reading, since, "write")
    suggests = job.mode == Mode.SUGGEST or timing_of(case, job, device, now=now).may == "suggest"
    return _line(device, reading, since, "suggest" if suggests else "act")


def _line(
    device: Device,
    reading: Reading | None,
    since: datetime | None,
    would: str,
    refusal: Refusal | None = None,
) -> Line:
    value, seen = (reading.value, reading.observed_at) if reading is not None else (None, None)
    return Line(device, value, since, seen, would, refusal)
