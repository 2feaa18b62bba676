"""The sweep behind every bell: what a lost wake-up or a passed deadline left behind is found here."""

import logging
from datetime import datetime

from automation.models import Case, Heartbeat, Job
from automation.services import cases, evaluation
from automation.signals import case_told
from automation.states import LIVE
from devices.services import sweep_commands

logger = logging.getLogger(__name__)


def sweep(*, now: datetime) -> None:
    """Settle commands, evaluate jobs that no round has evaluated, advance live cases, ring again for people."""
    Heartbeat.objects.update_or_create(name="sweep", defaults={"at": now})
    sweep_commands(now=now)
    for job in Job.objects.filter(is_enabled=True, platform__is_active=True).select_related("platform"):
        try:
            evaluation.evaluate_job(job, tick=f"sweep:{now:%Y-%m-%dT%H:%M}", now=now)
        except Exception:  # one broken job must not stop the others; it is moved aside and shown as broken
            logger.exception("job=%s could not be evaluated", job.pk)
            Job.objects.filter(pk=job.pk).update(broken_reason="internal error, see the log")
    for platform_id in Case.objects.filter(state__in=LIVE).values_list("platform_id", flat=True).distinct():
        cases.advance_platform(platform_id, now=now)
    for case in Case.objects.filter(state="escalated").only("pk")[:500]:
        case_told.send(Case, case_id=case.pk, kind="escalated")
