"""The sweep behind every bell: what a lost wake-up or a passed deadline left behind is found here."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from automation.models import Case, Job
from automation.services import actions, broken, cases, evaluation, health, intake, upstreams
from automation.signals import case_told
from automation.states import LIVE, CaseState, Mode
from devices.services import sweep_commands
from exporters.models import Exporter

logger = logging.getLogger(__name__)
FRESH = timedelta(seconds=55)  # an evaluation as young as this needs no other
LATELY = timedelta(hours=1)  # how long a closed case is told of again
SWEEP = 500  # cases that one sweep rings for


def sweep(*, now: datetime, uptime: tuple[float, str] | None = None) -> None:
    """Settle commands, evaluate jobs that no round has evaluated, advance live cases, ring again for people.

    ``uptime`` is the machine's own time, which no setting of the clock changes, and its boot.
    """
    uptime_s, boot = uptime or (None, "")
    health.beat(now=now, uptime_s=uptime_s, boot=boot)
    _safely(sweep_commands, now=now)
    for exporter in (
        Exporter.objects.filter(platform__is_active=True).select_related("platform").defer("secret")
    ):
        _safely(upstreams.see_to_upstream, exporter, now=now)
    for job in _not_evaluated(now=now):
        evaluation.evaluate_safely(job, tick=f"sweep:{now:%Y-%m-%dT%H:%M}", now=now)
    live = Case.objects.filter(state__in=LIVE).order_by().values_list("platform_id", flat=True)
    for platform_id in live.distinct():
        _safely(cases.advance_platform, platform_id, now=now)
    _safely(actions.ring_due, now=now)
    _safely(intake.forget_old, now=now)
    _safely(evaluation.forget_old, now=now)
    _safely(upstreams.drop_orphans, now=now)
    _safely(broken.see_to_jobs, now=now)
    _safely(ring_again, now=now)


def _not_evaluated(*, now: datetime) -> QuerySet[Job]:
    """The jobs that no round has evaluated within the last minute; after a jump of the clock, all."""
    jobs = Job.objects.filter(is_enabled=True, platform__is_active=True).select_related("platform")
    return jobs.exclude(evaluated_at__range=(now - FRESH, now))


def _safely(step: Callable[..., Any], *args: Any, now: datetime) -> None:
    """One failing step must not stop the others; the next sweep tries it again."""
    try:
        step(*args, now=now)
    except Exception:
        logger.exception(
            "sweep failed step=%s of=%s", step.__name__, [getattr(arg, "pk", arg) for arg in args]
        )


def ring_again(*, now: datetime) -> None:
    """Ring for every case that people must hear of; whoever listens makes one notice of any number of rings."""
    told = Case.objects.filter(notices_sent__gt=0).order_by("-state_changed_at")
    ringing = [
        ("escalated", told.filter(state=CaseState.ESCALATED)),
        ("verified", told.filter(state=CaseState.VERIFIED, closed_at__gte=now - LATELY)),
        (
            "suggested",
            told.filter(
                state__in=[CaseState.OPEN, CaseState.ACTING], job__mode=Mode.SUGGEST, job__is_enabled=True
            ),
        ),
    ]
    for kind, rows in ringing:
        for case in rows[:SWEEP]:
            if kind != "suggested" or cases.is_suggested(case):
                case_told.send_robust(Case, case_id=case.pk, kind=kind)
