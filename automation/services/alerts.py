"""Judge the alerts of a platform: evaluate its jobs on alerts, and take the next step of their cases."""

from datetime import datetime

from automation.models import Case, Job
from automation.services import cases, evaluation
from remosa.lib.planned import PlannedQuery

_jobs = PlannedQuery(
    lambda: Job.objects.filter(platform=0, is_enabled=True).order_by().values_list("pk", "source")
)


def judge_platform(platform_id: int, *, now: datetime) -> None:
    """Evaluate what goes by alerts here; safe to run at any time, any number of times, anywhere."""
    ours = [pk for pk, source in _jobs.rows(platform_id) if source == Job.Source.ALERT]
    if not ours:
        return
    judged = list(Job.objects.filter(pk__in=ours, platform__is_active=True).select_related("platform"))
    for job in judged:
        evaluation.evaluate_safely(job, tick=f"alerts:{now.isoformat()}", now=now)
    cases.advance_cases(Case.objects.filter(job__in=judged), now=now)
