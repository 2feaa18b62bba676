"""Judge the alerts of a platform: evaluate its jobs on alerts, and take the next step of their cases."""

from datetime import datetime

from automation.models import Case, Job
from automation.services import cases, evaluation


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
    cases.advance_cases(Case.objects.filter(job__in=judged), now=now)
