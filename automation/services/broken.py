"""Jobs that cannot run: people hear of it once, and once again when they can. Nothing fires meanwhile.

What is wrong with one query is a case of that job; a Prometheus that does not answer is one case of the
platform, however many jobs ask it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from automation.models import Case, Job
from automation.services.cases import close_well, drop, escalate, live_or_new
from automation.services.timeline import tell
from automation.states import LIVE

PATIENCE = timedelta(minutes=3)  # a failure that is over sooner is none that people must hear of
OF_SERVER = "Prometheus"  # how reasons begin that are no fault of a query


def note(job: Job, reason: str, *, of_query: bool, now: datetime) -> None:
    """The job could not be evaluated just now."""
    text = reason if of_query else f"{OF_SERVER} — {reason.removeprefix('Prometheus: ')}"
    Job.objects.filter(pk=job.pk).update(broken_reason=text[:300])
    Job.objects.filter(pk=job.pk, broken_since=None).update(broken_since=now)


def see_to_jobs(*, now: datetime) -> None:
    """Open a case for what has been broken for a while, close those of what runs again."""
    wanted: dict[str, Job] = {}
    running = Q(is_enabled=True, platform__is_active=True)
    for job in Job.objects.filter(running, broken_since__lte=now - PATIENCE).select_related("platform"):
        wanted.setdefault(_subject(job), job)
    live = {
        case.subject: case
        for case in Case.objects.filter(kind=Case.Kind.JOB, state__in=LIVE).select_related("platform", "job")
    }
    for subject, job in wanted.items():
        if subject not in live:
            with transaction.atomic():
                _open(subject, job, now=now)
    _close([case for subject, case in live.items() if subject not in wanted], now=now)


def _subject(job: Job) -> str:
    if job.broken_reason.startswith(f"{OF_SERVER} —"):
        return f"prometheus:{job.platform_id}"
    return f"job:{job.pk}"


def _open(subject: str, job: Job, *, now: datetime) -> None:
    of_server = subject.startswith("prometheus:")
    case, created = live_or_new(
        subject=subject, platform=job.platform, kind=Case.Kind.JOB, title=OF_SERVER if of_server else job.name,
        job=None if of_server else job, down_since=job.broken_since, evidence={"why": job.broken_reason}, now=now,
    )  # fmt: skip
    if created:
        tell(case, "job_broken", now=now, why=job.broken_reason)
        escalate(case, why="prometheus_down" if of_server else "job_broken", now=now)


def _close(cases: Iterable[Case], *, now: datetime) -> None:
    """What runs again is well; of what is switched off or gone there is nothing to see."""
    for case in cases:
        mine = Q(platform=case.platform_id, source=Job.Source.PROMQL)
        if not case.subject.startswith("prometheus:"):
            mine = Q(pk=case.subject.removeprefix("job:"))
        on = Job.objects.filter(mine, is_enabled=True, platform__is_active=True)
        with transaction.atomic():
            if not on.exists():
                drop(case, why="job_off", now=now)
            elif on.filter(broken_since=None).exists():
                close_well(case, now=now, outcome="job_runs_again")
