"""Take one step of a case's ladder: its row, the command or the call that it becomes, its line in the story.

Whether it may be taken was decided before (``guards``, ``verification``); here it is written down and asked
for, in one transaction, so that a step is taken once or not at all.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from automation.guards import Candidate
from automation.ladder import CYCLE, Do, Rung
from automation.models import ActionRun, Case, Job
from automation.repairs import ask
from automation.selectors import webhook_name
from automation.services.actions import request_action
from automation.services.timeline import tell
from automation.states import CASE, RUN, CaseState, RunState
from devices.models import Command

C = CaseState
Place = tuple[int, Rung]  # the step's number in the ladder, from 1 on


def runs_of(case: Case) -> list[ActionRun]:
    """The steps that were taken, the newest first."""
    return list(case.runs.select_related("command__restoration", "call").order_by("-attempt"))


def next_place(job: Job, last: ActionRun | None) -> Place | None:
    """The step after the last one; None when only a person is left."""
    number = (last.rung if last is not None else 0) + 1
    rungs = job.rungs
    return (number, rungs[number - 1]) if number <= len(rungs) else None


def next_cycle(job: Job, last: ActionRun | None) -> Place:
    """The power cycle that a person means: the next one of the ladder, or its last one once more."""
    behind = last.rung if last is not None else 0
    cycles = [(number, rung) for number, rung in enumerate(job.rungs, start=1) if rung.do is Do.CYCLE]
    ahead = [place for place in cycles if place[0] > behind]
    if ahead:
        return ahead[0]
    return behind, cycles[-1][1] if cycles else CYCLE


def begin(candidate: Candidate, *, number: int, why: str, now: datetime, by: Any = None) -> bool:
    """Take the candidate's step; False when another process was faster. Raises what ``request_command`` raises."""
    case, rung = candidate.case, candidate.rung
    with transaction.atomic():
        run = _claim(candidate, number=number, why=why, now=now)
        if run is None:
            return False
        if rung.do is Do.CYCLE:
            told = _cycle(run, candidate, by=by, now=now)
        elif rung.do is Do.WAIT:
            RUN.move(run, RunState.RUNNING, now=now)
            told = {"wait_s": rung.wait.total_seconds()}
        else:
            told = _call(run, candidate, by=by, now=now)
        tell(case, "acted", now=now, by=str(by or ""), attempt=run.attempt, do=str(rung.do), **told)
    return True


def skip(candidate: Candidate, *, number: int, why: str, now: datetime) -> bool:
    """The step cannot be taken here: the next one is tried instead."""
    with transaction.atomic():
        run = _claim(candidate, number=number, why="step_skipped", now=now)
        if run is None:
            return False
        RUN.move(run, RunState.SKIPPED, now=now, reason=why[:100])
        tell(candidate.case, "step_skipped", now=now, attempt=run.attempt, do=str(candidate.rung.do), why=why)
    return True


def _claim(candidate: Candidate, *, number: int, why: str, now: datetime) -> ActionRun | None:
    """The row of the step; None when the case has moved on. Call it inside the transaction of the step."""
    case, attempt = candidate.case, candidate.case.attempts + 1
    mine = Case.objects.filter(
        pk=case.pk, attempts=attempt - 1, state__in=[C.ACTING, *CASE.sources(C.ACTING)]
    )
    if not mine.update(attempts=attempt, job_version=candidate.job.version, deadline_at=None):
        return None
    CASE.move(case, C.ACTING, now=now, why=why, back_since=None)  # unless it acts already
    case.attempts, case.job_version, case.deadline_at = attempt, candidate.job.version, None
    last = case.runs.order_by("-attempt").first()
    if last is not None:
        RUN.move(last, RunState.FAILED, now=now, reason=why[:100])
    return ActionRun.objects.create(
        case=case, attempt=attempt, rung=number, step=candidate.rung.as_data(), planned_at=now, state_changed_at=now
    )  # fmt: skip


def _cycle(run: ActionRun, candidate: Candidate, *, by: Any, now: datetime) -> dict[str, Any]:
    case, job, link = candidate.case, candidate.job, candidate.link
    assert link is not None  # noqa: S101  the guard `power` has seen to it
    plan = candidate.plan
    assert plan is not None  # noqa: S101
    command = ask(
        plan, job=job, rung=candidate.rung, socket=link.socket, line=link.line, target=candidate.device,
        source=Command.Source.JOB if by is None else Command.Source.PERSON, actor=by,
        idem_key=f"case:{case.pk}:a{run.attempt}", cause_id=case.cause_id, case_id=case.pk,
        job_id=job.pk, source_ref=f"job:{job.pk}", reason=job.name, now=now,
    )  # fmt: skip
    RUN.move(run, RunState.RUNNING, now=now, command=command)
    return {"command": str(command.pk), "socket": link.socket.name, "text": command.body}


def _call(run: ActionRun, candidate: Candidate, *, by: Any, now: datetime) -> dict[str, Any]:
    rung = candidate.rung
    config = {"webhook": rung.webhook} if rung.do is Do.WEBHOOK else {}
    call = request_action(candidate.case, kind=str(rung.do), config=config, step=run.attempt, now=now, by=by)
    RUN.move(run, RunState.RUNNING, now=now, call=call)
    return {"webhook": webhook_name(rung)} if rung.do is Do.WEBHOOK else {}
