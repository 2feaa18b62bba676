"""Judge the alerts of a platform: evaluate its jobs on alerts, and take the next step of their cases."""

import logging
from datetime import datetime

from automation.models import Case, Job
from automation.services import cases, evaluation
from automation.states import LIVE

logger = logging.getLogger(__name__)


def judge_platform(platform_id: int, *, now: datetime) -> None:
    """Evaluate what goes by alerts here; safe to run at any time, any number of times, anywhere."""
    jobs = Job.objects.filter(
        platform=platform_id, platform__is_active=True, is_enabled=True, source=Job.Source.ALERT
    )
    judged = list(jobs.select_related("platform"))
    for job in judged:
        evaluation.evaluate_safely(job, tick=f"alerts:{now.isoformat()}", now=now)
    if not judged:
        return
    live = Case.objects.filter(job__in=judged, kind=Case.Kind.DEVICE, state__in=LIVE).order_by("opened_at")
    for case_id in list(live.values_list("pk", flat=True)):
        try:
            cases.advance_case(case_id, now=now)
        except Exception:  # one poisonous case must not stop the others
            logger.exception("case=%s could not be advanced", case_id)
