"""Evaluate jobs: read, judge, advance each device's view, open a case at each edge."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from automation.engine import JUMP, RAISED, Edge, Reading, Verdict, View, advance, forget, judge, pend
from automation.errors import PrometheusUnavailable
from automation.models import Job, JobRun, JobState
from automation.services import broken, cases, upstreams
from automation.sources import (
    Others,
    count_others,
    expected_dark,
    read_alerts,
    read_events,
    read_prometheus,
    read_scheduled,
    read_snapshot,
    telling,
)
from automation.states import Phase
from devices.models import observed_at
from devices.states import DeviceState
from exporters.models import Exporter
from remosa.lib.cron import next_time
from remosa.lib.updates import update_each

logger = logging.getLogger(__name__)

LATE = timedelta(minutes=5)  # after that a time of a scheduled job has passed
GAP = timedelta(minutes=2)  # an evaluator that was away longer learns what is pending anew
FEW = 5_000  # devices whose views are asked for one by one
KEEP_RUNS = timedelta(hours=6)  # the journal of evaluations; cases and refusals stay
Readings = dict[int, tuple[Reading, timedelta]]


@dataclass
class Tally:
    """Counts of one evaluation."""

    looked_at: int = 0
    breach: int = 0
    unknown: int = 0
    fired: int = 0


def evaluate_after_round(exporter_id: int, *, now: datetime) -> None:
    """Judge the jobs that look at this exporter; the round's own time is the tick."""
    exporter = Exporter.objects.select_related("platform").get(pk=exporter_id)
    upstreams.see_to_upstream(exporter, now=now)
    stamp = exporter.last_round_at.isoformat() if exporter.last_round_at else "never"
    jobs = Job.objects.filter(platform=exporter.platform_id, is_enabled=True, platform__is_active=True)
    for job in jobs.select_related("platform"):
        if job.exporter_id in (None, exporter_id):
            evaluate_safely(job, tick=f"round:{exporter_id}:{stamp}", now=now)
    cases.advance_platform(exporter.platform_id, now=now)


def evaluate_safely(job: Job, *, tick: str, now: datetime) -> None:
    """One broken job must not stop the others; it is shown as broken."""
    try:
        evaluate_job(job, tick=tick, now=now)
    except Exception:
        logger.exception("job=%s could not be evaluated", job.pk)
        broken.note(job, "internal error, see the log", of_query=True, now=now)


def evaluate_job(job: Job, *, tick: str, now: datetime) -> JobRun | None:
    """One evaluation of one job; None when this tick was evaluated before, or is not one of the job's times.

    Never raises for a bad source.
    """
    if job.source == Job.Source.SCHEDULE and not _its_time(job, now=now):
        return None
    run, mine = JobRun.objects.get_or_create(job=job, tick=tick, defaults={"at": now})
    if not mine:
        return None
    others = None
    try:
        if job.source == Job.Source.SNAPSHOT:
            expected = expected_dark(job.platform_id, now=now)
            readings = read_snapshot(job, expected=expected, only=telling(job))
            others = count_others(job, told=readings, now=now)
        else:
            readings = read(job, now=now)
    except PrometheusUnavailable as exc:
        logger.warning("job=%s not evaluated: %s", job.pk, exc)
        JobRun.objects.filter(pk=run.pk).update(error=str(exc)[:300])
        broken.note(job, str(exc), of_query=exc.of_query, now=now)
        return run
    tally = _advance_views(job, readings, others, now=now)
    JobRun.objects.filter(pk=run.pk).update(
        looked_at=tally.looked_at, breach=tally.breach, unknown=tally.unknown, fired=tally.fired
    )
    return run


def forget_old(*, now: datetime) -> None:
    """Drop the journal of evaluations of long ago."""
    JobRun.objects.filter(at__lt=now - KEEP_RUNS).delete()


def read(job: Job, *, now: datetime, named: Collection[int] | None = None) -> Readings:
    """What the job's source says of its devices. Raises PrometheusUnavailable. ``named`` as for its set."""
    expected = expected_dark(job.platform_id, now=now)
    if job.source == Job.Source.PROMQL:
        return read_prometheus(job, expected=expected, now=now, named=named)
    if job.source == Job.Source.EVENT:
        return read_events(job, expected=expected, now=now, named=named)
    if job.source == Job.Source.SCHEDULE:
        return read_scheduled(job, expected=expected, named=named)
    if job.source == Job.Source.ALERT:
        return read_alerts(job, expected=expected, now=now, named=named)
    return read_snapshot(job, expected=expected, named=named)


def _advance_views(job: Job, readings: Readings, others: Others | None, *, now: datetime) -> Tally:
    """Write what changed, and open a case in the same transaction for each edge crossed.

    The lock lets one evaluation of a job run at a time. ``others`` are devices of which nothing is to be written.
    """
    tally = Tally(looked_at=len(readings))
    longest = _interval(readings)
    if others is not None:
        tally.looked_at += others.number
        tally.unknown += others.unknown
        longest = others.max_age or longest
    with transaction.atomic():
        locked = Job.objects.select_for_update(no_key=True).get(pk=job.pk)
        if not locked.is_enabled or locked.version != job.version:
            return tally
        away = _was_away(locked, longest, now=now)
        stored = {row.device_id: row for row in _views_of(job, readings)}
        changed, new = [], []
        # in one order everywhere: two jobs that open cases for the same devices do not deadlock
        for device_id, (reading, max_age) in sorted(readings.items()):
            row = stored.get(device_id)
            is_raised = row is not None and row.phase in RAISED
            verdict = judge(reading, max_age=max_age, now=now, is_raised=is_raised)
            tally.breach += verdict is Verdict.BREACH
            tally.unknown += verdict is Verdict.UNKNOWN
            if row is None and verdict is not Verdict.BREACH:
                continue  # most devices are fine and need no row
            view = _view_before(job, row, reading, away=away, now=now)
            after, edge = _advance_one(
                job, view, verdict, reading, device_id=device_id, max_gap=max_age, now=now
            )
            if row is None:
                new.append(_row_of(job, device_id, after, reading))
            elif after != _view_of(row) or row.job_version != job.version:
                changed.append(_row_of(job, device_id, after, reading, pk=row.pk))
            if edge is Edge.FIRED:
                tally.fired += 1
                cases.open_case(job=job, device_id=device_id, reading=reading, now=now)
        update_each(JobState, changed, Stored._fields[2:])
        JobState.objects.bulk_create([JobState(job=job, **row._asdict()) for row in new], batch_size=500)
        _calm_the_absent(job, readings, longest, now=now)
        Job.objects.filter(pk=job.pk).update(evaluated_at=now, broken_reason="", broken_since=None)
    return tally


class Stored(NamedTuple):
    """A row of JobState: thousands are read, judged and written, which models are too heavy for."""

    pk: int | None
    device_id: int
    phase: str
    since: datetime | None
    samples: int
    episode: int
    last_sample_at: datetime | None
    value: float | None
    job_version: int
    changes: list[float]


def _views_of(job: Job, readings: Readings) -> Iterator[Stored]:
    """The stored views of these devices, and perhaps more."""
    views = JobState.objects.filter(job=job)
    if len(readings) <= FEW:
        views = views.filter(device__in=list(readings))
    return map(Stored._make, views.values_list(*Stored._fields))


def _was_away(job: Job, longest: timedelta, *, now: datetime) -> bool:
    """Nobody evaluated the job for a while, or the clock went back: what is pending must be learned anew."""
    last = job.evaluated_at
    if last is None or last - now > JUMP:  # one that began a moment later may have been quicker to the lock
        return True
    return now - last > max(GAP, 3 * longest)


def _view_before(job: Job, row: Stored | None, reading: Reading, *, away: bool, now: datetime) -> View:
    view = _view_of(row) if row else View()
    if job.source == Job.Source.SCHEDULE:  # each time is a look of its own
        return View(episode=view.episode, changes=view.changes)
    if away:
        return forget(view, now=now, down_since=reading.since)
    return forget(view, now=now) if row is not None and row.job_version != job.version else view


def _its_time(job: Job, *, now: datetime) -> bool:
    """Whether one of the job's times has come; it is the caller's alone. A late one is skipped, not made up for."""
    following = next_time(job.cron, job.time_zone, after=now)
    mine = Job.objects.filter(pk=job.pk, version=job.version, next_at=job.next_at)
    moment = job.next_at
    if moment is None or moment > following:  # new, changed, or written by a clock that was wrong
        mine.update(next_at=following)
        return False
    if now < moment or not mine.update(next_at=following):
        return False
    if now - moment > LATE:
        JobRun.objects.get_or_create(
            job=job, tick=f"skipped:{moment.isoformat()}", defaults={"at": now, "error": "skipped: too late"}
        )
        return False
    return True


def _view_of(row: Stored) -> View:
    changes = tuple(datetime.fromtimestamp(at, tz=UTC) for at in row.changes)
    return View(row.phase, row.since, row.samples, row.last_sample_at, row.episode, changes)


def _advance_one(
    job: Job,
    view: View,
    verdict: Verdict,
    reading: Reading,
    *,
    device_id: int,
    max_gap: timedelta,
    now: datetime,
) -> tuple[View, Edge]:
    # what the source has held itself (`read_alerts`, `read_scheduled`) need not be seen twice
    told = job.source in (Job.Source.ALERT, Job.Source.SCHEDULE)
    after, edge = advance(
        view, verdict, observed_at=reading.observed_at, hold=timedelta() if told else job.hold,
        fresh_samples=1 if told else job.fresh_samples, max_gap=max_gap, keep=timedelta(seconds=job.keep_firing_s),
    )  # fmt: skip
    if edge is Edge.AGAIN and not cases.has_live_case(device_id):
        # its case ended while the condition was still raised: this is another failure, with its own hold
        after = pend(after, since=after.last_sample_at or now)
    if edge is Edge.FIRED and job.overlap == Job.Overlap.QUEUE and cases.has_case_of_another(job, device_id):
        # not yet: it fires at the next look after that case is closed
        after, edge = replace(after, phase="pending", episode=view.episode), Edge.NONE
    return after, edge


def _row_of(job: Job, device_id: int, view: View, reading: Reading, *, pk: int | None = None) -> Stored:
    return Stored(
        pk=pk, device_id=device_id, phase=view.phase, since=view.since, samples=view.samples, episode=view.episode,
        last_sample_at=view.last_sample_at, value=reading.value, job_version=job.version,
        changes=[at.timestamp() for at in view.changes],
    )  # fmt: skip


def _calm_the_absent(job: Job, readings: Readings, longest: timedelta, *, now: datetime) -> None:
    """A query that only returns what is wrong never says "fine" of anything.

    Absent is unknown, so it is the device's own state that ends such an episode: seen online, and
    since after the last sample that was wrong.
    """
    views = JobState.objects.filter(job=job).exclude(phase=Phase.OK)
    absent = (
        views.exclude(device__in=list(readings))
        .alias(seen_at=observed_at("device__"))
        .filter(
            device__state=DeviceState.ONLINE,
            device__state_since__gt=F("last_sample_at"),
            seen_at__gte=now - max(GAP, longest),
        )
    )
    ids = list(absent.values_list("pk", flat=True))
    JobState.objects.filter(pk__in=ids).update(phase=Phase.OK, since=None, samples=0)


def _interval(readings: Readings) -> timedelta:
    """The longest age that any reading may have: how often there is something new to see."""
    return max((max_age for _reading, max_age in readings.values()), default=GAP)
