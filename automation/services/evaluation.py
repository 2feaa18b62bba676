"""Evaluate jobs: read, judge, advance each device's view, open a case at each edge."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from automation.engine import Edge, Reading, Verdict, View, advance, forget, judge
from automation.errors import PrometheusUnavailable
from automation.models import Job, JobRun, JobState
from automation.services import cases
from automation.sources import expected_dark, read_prometheus, read_snapshot
from exporters.models import Exporter

logger = logging.getLogger(__name__)

GAP = timedelta(minutes=2)  # an evaluator that was away longer learns what is pending anew
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
    cases.see_to_upstream(exporter, now=now)
    stamp = exporter.last_round_at.isoformat() if exporter.last_round_at else "never"
    jobs = Job.objects.filter(platform=exporter.platform_id, is_enabled=True, platform__is_active=True)
    for job in jobs.select_related("platform"):
        if job.exporter_id in (None, exporter_id):
            evaluate_job(job, tick=f"round:{exporter_id}:{stamp}", now=now)
    cases.advance_platform(exporter.platform_id, now=now)


def evaluate_job(job: Job, *, tick: str, now: datetime) -> JobRun | None:
    """One evaluation of one job; None when this tick was evaluated before. Never raises for a bad source."""
    run, mine = JobRun.objects.get_or_create(job=job, tick=tick, defaults={"at": now})
    if not mine:
        return None
    try:
        readings = _read(job, now=now)
    except PrometheusUnavailable as exc:
        logger.warning("job=%s not evaluated: %s", job.pk, exc)
        JobRun.objects.filter(pk=run.pk).update(error=str(exc)[:300])
        Job.objects.filter(pk=job.pk).update(broken_reason=str(exc)[:300])
        return run
    tally = _advance_views(job, readings, now=now)
    JobRun.objects.filter(pk=run.pk).update(
        looked_at=tally.looked_at, breach=tally.breach, unknown=tally.unknown, fired=tally.fired
    )
    JobRun.objects.filter(job=job, at__lt=now - KEEP_RUNS).delete()
    return run


def _read(job: Job, *, now: datetime) -> Readings:
    expected = expected_dark(job.platform_id, now=now)
    if job.source == Job.Source.PROMQL:
        return read_prometheus(job, expected=expected, now=now)
    return read_snapshot(job, expected=expected)


def _advance_views(job: Job, readings: Readings, *, now: datetime) -> Tally:
    """Write what changed, and open a case in the same transaction for each edge crossed.

    The lock lets one evaluation of a job run at a time.
    """
    tally = Tally(looked_at=len(readings))
    with transaction.atomic():
        locked = Job.objects.select_for_update().get(pk=job.pk)
        if not locked.is_enabled or locked.version != job.version:
            return tally
        away = locked.evaluated_at is None or now - locked.evaluated_at > max(GAP, 3 * _interval(readings))
        stored = {row.device_id: row for row in JobState.objects.filter(job=job)}
        for device_id, (reading, max_age) in readings.items():
            verdict = judge(reading, max_age=max_age, now=now)
            tally.breach += verdict is Verdict.BREACH
            tally.unknown += verdict is Verdict.UNKNOWN
            row = stored.get(device_id)
            if row is None and verdict is not Verdict.BREACH:
                continue  # most devices are fine and need no row
            edge = _advance_one(job, row, device_id, verdict, reading, away=away)
            if edge is Edge.FIRED:
                tally.fired += 1
                cases.open_case(job=job, device_id=device_id, reading=reading, now=now)
        Job.objects.filter(pk=job.pk).update(evaluated_at=now, broken_reason="")
    return tally


def _advance_one(
    job: Job, row: JobState | None, device_id: int, verdict: Verdict, reading: Reading, *, away: bool
) -> Edge:
    view = View(row.phase, row.since, row.samples, row.last_sample_at, row.episode) if row else View()
    fresh = forget(view) if away or (row is not None and row.job_version != job.version) else view
    after, edge = advance(
        fresh, verdict, observed_at=reading.observed_at, hold=job.hold, fresh_samples=job.fresh_samples
    )
    if row is not None and after == view and row.job_version == job.version:
        return edge
    JobState.objects.update_or_create(
        job=job,
        device_id=device_id,
        defaults={
            "phase": after.phase, "since": after.since, "samples": after.samples, "episode": after.episode,
            "last_sample_at": after.last_sample_at, "value": reading.value, "job_version": job.version,
        },
    )  # fmt: skip
    return edge


def _interval(readings: Readings) -> timedelta:
    """The longest age that any reading may have: how often there is something new to see."""
    return max((max_age for _reading, max_age in readings.values()), default=GAP)
