"""What is written of a case: who acts, the lines of its story, the why-not journal, and the bell for people."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from automation.guards import Refusal
from automation.models import Case, CaseEvent, GuardRefusal, Job
from automation.signals import case_told
from platforms import audit


def job_actor(job: Job | None) -> audit.Actor:
    """Who acts when a job acts."""
    return audit.Actor(audit.Kind.JOB, str(job.pk if job else ""), job.name if job else "REMOSA")


def tell(case: Case, kind: str, *, now: datetime, by: str = "", **data: Any) -> None:
    """Write a line of the case's timeline."""
    CaseEvent.objects.create(case=case, at=now, kind=kind, data=data, by=by[:100])


def call_people(case: Case, kind: str) -> None:
    """Ring: people should hear of this case. Whoever listens cannot stop the work that rang."""
    key = case.pk
    transaction.on_commit(lambda: case_told.send_robust(Case, case_id=key, kind=kind))


def write_refusal(case: Case, refusal: Refusal, *, now: datetime) -> None:
    """One line of the why-not journal; the same objection to the same attempt is counted, not repeated."""
    assert case.device is not None  # noqa: S101  only device cases act
    row, created = GuardRefusal.objects.get_or_create(
        case=case, attempt=case.attempts + 1, guard=refusal.guard, reason=refusal.reason,
        defaults={
            "platform": case.platform, "job": case.job, "device": case.device, "data": refusal.data,
            "lifts_at": refusal.lifts_at, "first_at": now, "last_at": now,
        },
    )  # fmt: skip
    if created:
        told = {"guard": refusal.guard, "reason": refusal.reason, **refusal.data}
        CaseEvent.objects.create(case=case, at=now, kind="refused", data=told)
    else:
        GuardRefusal.objects.filter(pk=row.pk).update(
            last_at=now, times=F("times") + 1, data=refusal.data, lifts_at=refusal.lifts_at
        )
