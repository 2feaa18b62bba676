"""Cases: open them, take the next step, close them with proof, hand them to people."""

import logging
import math
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from automation import alert_evidence
from automation.engine import Peers, Reading, is_over
from automation.guards import Refusal, candidate_of, first_refusal, mass_window, mode_now
from automation.ladder import Do, Rung
from automation.models import ActionRun, Case, CaseEvent, GuardRefusal, Job
from automation.peers import groups_of, mass_of
from automation.repairs import Deed, deed_of
from automation.selectors import webhook_name
from automation.services.attempts import Place, begin, next_cycle, next_place, runs_of, skip
from automation.services.timeline import call_people, job_actor, tell, write_refusal
from automation.states import CASE, LIVE, RUN, STILL_WANTED, CaseState, Mode, RunState
from automation.verification import SOFT, CaseFacts, Decision, Step, next_step
from devices.errors import CommandInvalid
from devices.models import Device
from devices.services import confirm
from devices.states import MAY_HAVE_ACTED, DeviceState
from platforms import audit

logger = logging.getLogger(__name__)
C = CaseState
SUGGESTION = timedelta(
    minutes=30
)  # how long a proposal waits for an answer before the duty desk has the case
CALM = timedelta(minutes=5)  # most of a group must be back this long before the rest count as single failures
NOTE_LENGTH = 2000  # characters
WITH_CASE = ("job__platform", "device__site", "device__platform", "platform", "parent")
STILL = timedelta(minutes=5)  # a refusal repeated within this time still stands


# --- opening -------------------------------------------------------------------------------------


def open_case(*, job: Job, device_id: int, reading: Reading, now: datetime) -> Case:
    """The live case of this device: a new one, or the one there is, whatever opened it."""
    device = Device.objects.select_related("platform", "site").get(pk=device_id)
    evidence: dict[str, Any] = {
        "source": job.source, "value": _json_number(reading.value), "hold_s": job.hold_s,
        "samples": job.fresh_samples,
        "observed_at": reading.observed_at.isoformat() if reading.observed_at else None,
    }  # fmt: skip
    case, created = live_or_new(
        subject=f"device:{device.pk}", platform=device.platform, kind=Case.Kind.DEVICE, title=device.name,
        device=device, job=job, job_version=job.version, mode=job.mode, down_since=reading.since or device.state_since,
        evidence=evidence, now=now,
    )  # fmt: skip
    if created:
        tell(case, "opened", now=now, **evidence)
        audit.record(
            actor=job_actor(job), verb="case.opened", target=case, platform=case.platform, cause_id=case.cause_id,
            after=evidence, at=now,
        )  # fmt: skip
        _join_mass(case, device, job, now=now)
    elif job.overlap == Job.Overlap.TAKE_OVER and _outranks(job, case.job):
        _take_over(case, job, now=now)
    return case


def _json_number(value: float | None) -> float | str | None:
    """The databases' JSON knows no infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def _outranks(job: Job, other: Job | None) -> bool:
    """Whether ``job`` may do more for the device than the job that has its case."""
    return other is None or not other.is_enabled or Mode(job.mode).rank > Mode(other.mode).rank


def _take_over(case: Case, job: Job, *, now: datetime) -> None:
    """A job that only watches must not keep one that acts from its device."""
    untouched = Case.objects.filter(pk=case.pk, state=C.OPEN, attempts=0)
    if untouched.update(job=job, job_version=job.version, mode=job.mode):
        tell(case, "taken_over", now=now, job=job.name)


def has_live_case(device_id: int) -> bool:
    """Whether a case of this device is under way."""
    return Case.objects.filter(subject=f"device:{device_id}", state__in=LIVE).exists()


def has_case_of_another(job: Job, device_id: int) -> bool:
    """Whether a case of this device is under way that another job opened."""
    return Case.objects.filter(subject=f"device:{device_id}", state__in=LIVE).exclude(job=job).exists()


def live_or_new(*, subject: str, now: datetime, **fields: Any) -> tuple[Case, bool]:
    """The unique index decides a race; the loser takes the winner's case."""
    live = Case.objects.filter(subject=subject, state__in=LIVE)
    found = live.first()
    if found is not None:
        return found, False
    try:
        with transaction.atomic():
            return Case.objects.create(subject=subject, opened_at=now, state_changed_at=now, **fields), True
    except IntegrityError:
        return live.get(), False


def _join_mass(case: Case, device: Device, job: Job, *, now: datetime) -> None:
    """Many fell together: one parent tells people once, and its children wait."""
    group = mass_of(device, now=now, window=mass_window(job))
    if group is None:
        return
    parent = _mass_case(case, group, now=now)
    Case.objects.filter(pk=case.pk).update(parent=parent)
    case.parent = parent
    tell(case, "joined_mass", now=now, group=parent.title)


def _mass_case(child: Case, group: Peers, *, now: datetime) -> Case:
    parent, created = live_or_new(
        subject=group.subject, platform=child.platform, kind=Case.Kind.MASS, title=group.title, job=child.job,
        mode=child.mode, down_since=child.down_since, now=now,
        evidence={"scope": group.scope, **group.figures},
    )  # fmt: skip
    if created:
        figures: dict[str, Any] = group.figures
        tell(parent, "mass_opened", now=now, scope=group.scope, **figures)
        audit.record(
            actor=job_actor(child.job), verb="case.mass_opened", target=parent, platform=parent.platform,
            cause_id=parent.cause_id, after=parent.evidence, at=now,
        )  # fmt: skip
        escalate(parent, why="common_cause", now=now)
    return parent


def drop(case: Case, *, why: str, now: datetime) -> bool:
    """What the case was about is no longer ours to watch."""
    if not CASE.move(case, C.CANCELLED, now=now, why=why, outcome=why, closed_at=now, deadline_at=None):
        return False
    tell(case, "dropped", now=now, why=why)
    audit.record(
        actor=job_actor(case.job), verb="case.cancelled", target=case, platform=case.platform, cause_id=case.cause_id,
        reason=why, at=now,
    )  # fmt: skip
    return True


# --- the next step -------------------------------------------------------------------------------


def advance_platform(platform_id: int, *, now: datetime) -> int:
    """Take the next step of each live device case of a platform, then of the mass cases; how many moved."""
    live = Case.objects.filter(platform=platform_id, platform__is_active=True, state__in=LIVE)
    moved = advance_cases(live, now=now)
    for parent in live.filter(kind=Case.Kind.MASS).select_related("job", "platform"):
        with transaction.atomic():
            moved += _see_to_mass(parent, now=now)
    return moved


def advance_cases(rows: QuerySet[Case], *, now: datetime) -> int:
    """Take the next step of each live device case among ``rows``; how many moved."""
    moved = 0
    for case_id in _with_a_step(rows.filter(kind=Case.Kind.DEVICE, state__in=LIVE), now=now):
        try:
            moved += advance_case(case_id, now=now)
        except Exception:  # one poisonous case must not stop the others
            logger.exception("case=%s could not be advanced", case_id)
    return moved


def _with_a_step(live: QuerySet[Case], *, now: datetime) -> list[uuid.UUID]:
    """Those that have a step to take, the oldest first. They are read together and without a lock: whoever
    takes the step reads the case again, and a case that only waits on costs no statement of its own.
    """
    runs: dict[uuid.UUID, list[ActionRun]] = {}
    taken = ActionRun.objects.filter(case__in=live).select_related("command__restoration", "call")
    for run in taken.prefetch_related("command__restoration__commands").order_by("-attempt"):
        runs.setdefault(run.case_id, []).append(run)
    refused: dict[uuid.UUID | None, list[GuardRefusal]] = {}
    for refusal in GuardRefusal.objects.filter(case__in=live, lifts_at=None, last_at__gte=now - STILL):
        refused.setdefault(refusal.case_id, []).append(refusal)
    rows = Device.objects.with_observed_at().filter(pk__in=live.values("device"))
    devices = {device.pk: device for device in rows.select_related("site", "platform")}
    found = []
    for case in live.select_related("job__platform", "platform", "parent").order_by("opened_at"):
        case.device = devices.get(case.device_id or 0)
        try:
            facts = _facts(case, runs.get(case.pk, []), refused.get(case.pk, []), now=now)
            decision = next_step(facts, now=now)
        except Exception:  # whoever takes its step says what is wrong with it
            found.append(case.pk)
            continue
        waits_on = decision.step is Step.WAIT and decision.deadline_at == case.deadline_at
        if not waits_on or case.device is None or not case.device.is_active:
            found.append(case.pk)
    return found


def _see_to_mass(parent: Case, *, now: datetime) -> bool:
    """Close a mass case when all are back, or so many for so long that the rest are single failures again."""
    child = (
        parent.children.filter(state__in=LIVE, device__isnull=False).select_related("device__site").first()
    )
    if child is None or child.device is None:
        return close_well(parent, now=now, outcome="all_back")
    together = [one for one in groups_of(child.device, now=now) if one.subject == parent.subject]
    if not together or not is_over(together[0]) or child.device.state != DeviceState.OFFLINE:
        Case.objects.filter(pk=parent.pk).exclude(back_since=None).update(back_since=None)
        return False
    if parent.back_since is None:
        Case.objects.filter(pk=parent.pk).update(back_since=now)
        return False
    if now - parent.back_since < CALM:
        return False
    for left in parent.children.filter(state__in=LIVE):
        tell(left, "mass_over", now=now, group=parent.title)
    return close_well(parent, now=now, outcome="mostly_back")


def advance_case(case_id: uuid.UUID, *, now: datetime) -> bool:
    """Take the next steps of one device case until it waits; True when anything moved. Safe to repeat."""
    moved = False
    for _round in range(4):  # back -> watched -> stable, or fell again -> acts: never more in one instant
        with transaction.atomic():
            case = (
                Case.objects.select_for_update(of=("self",))
                .select_related(*WITH_CASE)
                .filter(pk=case_id, kind=Case.Kind.DEVICE, state__in=LIVE)
                .first()
            )
            if case is None or case.device is None:
                return moved
            if not case.device.is_active:
                return drop(case, why="device_removed", now=now)
            refused = case.refusals.filter(lifts_at=None, last_at__gte=now - STILL)
            facts = _facts(case, runs_of(case), refused, now=now)
            if not _take(case, next_step(facts, now=now), now=now):
                return moved
            moved = True
    return moved


def _facts(case: Case, runs: list[ActionRun], refused: Iterable[GuardRefusal], *, now: datetime) -> CaseFacts:
    """``runs`` are its steps, the newest first, ``refused`` the objections of late that do not lift by themselves."""
    job = case.job
    run, rungs = (runs[0] if runs else None), (job.rungs if job else ())
    behind = run.rung if run is not None else 0
    seen = alert_evidence.seen(job, case.device, now=now)
    deed = _deed(runs)
    patience = timedelta(seconds=job.patience_s if job else 1800)
    standing = [
        row.first_at for row in refused if row.attempt == case.attempts + 1 and row.last_at >= now - patience
    ]
    verify_s = job.verify_s if job else 900
    return CaseFacts(
        state=case.state,
        mode=_mode(case, now=now),
        attempts=behind,
        max_attempts=len(rungs),
        device_state=seen.state,
        device_since=seen.since,
        observed_at=seen.observed_at,
        back_since=case.back_since,
        command_state=deed.state if deed else None,
        command_sent_at=deed.sent_at if deed else None,
        refused_since=min(standing, default=None),
        stable=timedelta(seconds=max(job.stable_s, job.keep_firing_s) if job else 300),
        verify=timedelta(seconds=run.step.get("wait_s", verify_s) if run else verify_s),
        patience=patience,
        next_is_quiet=behind < len(rungs) and rungs[behind].is_quiet,
    )


def _deed(runs: list[ActionRun]) -> Deed | None:
    """What the last step came to; an output that stayed dark outweighs a soft step after it."""
    last = deed_of(runs[0]) if runs else None
    if last is not None and last.state in SOFT:
        power = deed_of(next((run for run in runs if run.command_id), None))
        return power if power is not None and power.state == "left_dark" else last
    return last


def _mode(case: Case, *, now: datetime) -> str:
    """What may be done for the case just now."""
    if case.parent is not None and case.parent.state in LIVE:
        return "held"
    if case.job is None or not case.job.is_enabled:
        return Mode.SHADOW
    return mode_now(case, case.job, case.device, now=now)


def _take(case: Case, decision: Decision, *, now: datetime) -> bool:
    """Do what was decided; True when the case moved and may have a next step at once."""
    if decision.step is Step.WAIT:
        if decision.deadline_at != case.deadline_at:
            Case.objects.filter(pk=case.pk).update(deadline_at=decision.deadline_at)
        return False
    if decision.step is Step.WATCH:
        return _watch(case, decision, now=now)
    if decision.step is Step.FELL_AGAIN:
        target = C.ACTING if case.attempts else C.OPEN
        tell(case, "fell_again", now=now)
        return CASE.move(case, target, now=now, why=decision.why, back_since=None)
    if decision.step is Step.VERIFY:
        return _verify(case, now=now)
    if decision.step is Step.ESCALATE:
        return escalate(case, why=decision.why, now=now)
    if decision.step is Step.SUGGEST:
        return _suggest(case, why=decision.why, now=now)
    return start_attempt(case, why=decision.why, now=now)


def _watch(case: Case, decision: Decision, *, now: datetime) -> bool:
    back_since = alert_evidence.seen(case.job, case.device, now=now).since
    tell(case, "back", now=now, since=back_since.isoformat() if back_since else None)
    if case.state == C.VERIFYING:
        return bool(
            Case.objects.filter(pk=case.pk, back_since=None).update(
                back_since=back_since, deadline_at=decision.deadline_at
            )
        )
    return CASE.move(
        case, C.VERIFYING, now=now, why=decision.why, back_since=back_since, deadline_at=decision.deadline_at
    )


def _verify(case: Case, *, now: datetime) -> bool:
    """The device is back and stayed: close with proof, and let the command know that it worked."""
    runs = runs_of(case)
    acted = next((run for run in runs if run.command_id or run.step.get("do") == Do.WEBHOOK), None)
    deed = deed_of(acted)
    outcome = _outcome(case, deed)
    if not close_well(case, now=now, outcome=outcome):
        return False
    if outcome == "repaired" and deed is not None and deed.command is not None:
        confirm(deed.command.pk, at=now, why="back and stable")
    if runs:
        RUN.move(runs[0], RunState.DONE, now=now, reason=outcome)
    return True


def _outcome(case: Case, deed: Deed | None) -> str:
    """What may be said to have helped: the last thing that acted, if the device came back after it."""
    if deed is None or deed.sent_at is None or case.back_since is None or case.back_since <= deed.sent_at:
        return "recovered_alone"
    if deed.command is not None:
        return "repaired" if deed.command.state in MAY_HAVE_ACTED else "recovered_alone"
    return {"told": "repaired_softly", "maybe": "recovered"}.get(deed.state, "recovered_alone")


def close_well(case: Case, *, now: datetime, outcome: str) -> bool:
    if case.state in (C.OPEN, C.ACTING, C.ESCALATED):
        CASE.move(case, C.VERIFYING, now=now, why=outcome)
    if not CASE.move(
        case, C.VERIFIED, now=now, why=outcome, outcome=outcome, closed_at=now, deadline_at=None
    ):
        return False
    tell(case, "verified", now=now, outcome=outcome)
    audit.record(
        actor=job_actor(case.job), verb="case.verified", target=case, platform=case.platform, cause_id=case.cause_id,
        after={"outcome": outcome}, at=now,
    )  # fmt: skip
    if case.notices_sent:
        call_people(case, "verified")
    return True


def escalate(case: Case, *, why: str, now: datetime) -> bool:
    """No more by machine: a person is told, and the case stays theirs until the device is back."""
    if not CASE.move(
        case, C.ESCALATED, now=now, why=why, outcome=why, deadline_at=None, notices_sent=F("notices_sent") + 1
    ):
        return False
    _end_run(case, why=why, now=now)
    tell(case, "escalated", now=now, why=why)
    audit.record(
        actor=job_actor(case.job), verb="case.escalated", target=case, platform=case.platform, cause_id=case.cause_id,
        reason=why, at=now,
    )  # fmt: skip
    call_people(case, "escalated")
    return True


def _end_run(case: Case, *, why: str, now: datetime) -> None:
    """The step that was under way led to nothing."""
    run = case.runs.order_by("-attempt").first()
    if run is not None:
        RUN.move(run, RunState.FAILED, now=now, reason=why)


def _suggest(case: Case, *, why: str, now: datetime) -> bool:
    """Say once per step what would help; a person decides."""
    place = _next_place(case)
    if place is None:
        return escalate(case, why=why, now=now)
    rung = place[1]
    refusal = first_refusal(candidate_of(case, rung=rung), now=now)
    if refusal is not None:
        _refuse(case, refusal, now=now)
        return False
    proposal = _proposals(case).first()
    if proposal is None:
        what = {"do": str(rung.do), **({"webhook": webhook_name(rung)} if rung.do is Do.WEBHOOK else {})}
        tell(case, "suggested", now=now, attempt=case.attempts + 1, why=why, **what)
        Case.objects.filter(pk=case.pk).update(
            notices_sent=F("notices_sent") + 1, deadline_at=now + SUGGESTION
        )
        call_people(case, "suggested")
        return False
    if now - proposal.at < SUGGESTION:
        return False
    return escalate(case, why="suggestion_expired", now=now)


def _proposals(case: Case) -> QuerySet[CaseEvent]:
    return case.events.filter(kind="suggested", data__attempt=case.attempts + 1)


def is_suggested(case: Case) -> bool:
    """Whether the next attempt waits for a person's approval."""
    return _proposals(case).exists()


# --- acting --------------------------------------------------------------------------------------


def _next_place(case: Case) -> Place | None:
    last = case.runs.order_by("-attempt").first()
    return next_place(case.job, last) if case.job is not None else None


def start_attempt(case: Case, *, why: str, now: datetime, by: Any = None, place: Place | None = None) -> bool:
    """Take the next step of the ladder, or ``place``, unless a guard objects; True when the case moved.

    ``by`` is the person who approved or asked; the job itself acts without one.
    """
    place = place or _next_place(case)
    if place is None:
        return escalate(case, why=why, now=now)
    number, rung = place
    candidate = candidate_of(case, by_person=by is not None, rung=rung)
    if by is None and not _may_take(case, rung, candidate.job, now=now):
        return False
    refusal = first_refusal(candidate, now=now)
    if refusal is not None:
        _refuse(case, refusal, now=now)
        return False
    try:
        return begin(candidate, number=number, why=why, now=now, by=by)
    except CommandInvalid as exc:  # rolled back
        case.refresh_from_db(fields=["state", "state_changed_at", "attempts", "back_since", "deadline_at"])
        if by is None and rung.minutes is not None and "minutes" in exc.fields:
            return skip(candidate, number=number, why="minutes", now=now)
        write_refusal(case, Refusal("power", "invalid", {"why": str(exc), **exc.fields}), now=now)
        return False


def _may_take(case: Case, rung: Rung, job: Job, *, now: datetime) -> bool:
    """Whether the job takes this step by itself: what switches nothing it takes while it suggests, too."""
    mode = _mode(case, now=now)
    if rung.is_quiet:
        return mode in (Mode.SUGGEST, Mode.AUTO)
    return mode == Mode.AUTO and _job_may_act(job)


def _job_may_act(job: Job) -> bool:
    """The job acts by itself, and nobody else counts its actions in this moment: else at the next look."""
    mine = Job.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    return mine.filter(pk=job.pk, is_enabled=True, mode=Mode.AUTO, version=job.version).exists()


def _refuse(case: Case, refusal: Refusal, *, now: datetime) -> None:
    """Write down why not; who is refused because many fell belongs to their common case."""
    write_refusal(case, refusal, now=now)
    if refusal.guard in ("chronic", "flapping"):  # what it needs is a person, who hears of it today
        escalate(case, why=refusal.guard, now=now)
        return
    waits = case.parent is not None and case.parent.state in LIVE
    if refusal.guard == "mass_change" and not waits and case.device is not None and case.job is not None:
        _join_mass(case, case.device, case.job, now=now)


# --- people --------------------------------------------------------------------------------------


def acknowledge(case: Case, *, by: Any, now: datetime) -> bool:
    """A person takes the case; False when somebody did before."""
    with transaction.atomic():
        mine = Case.objects.filter(pk=case.pk, acknowledged_by=None, state__in=LIVE)
        if not mine.update(acknowledged_by=by, acknowledged_at=now):
            return False
        tell(case, "acknowledged", now=now, by=str(by))
        audit.record(
            actor=audit.person(by),
            verb="case.acknowledged",
            target=case,
            platform=case.platform,
            cause_id=case.cause_id,
            at=now,
        )
    return True


def add_note(case: Case, *, text: str, by: Any, now: datetime) -> None:
    """A person writes something into the case's timeline, after its end too. It moves nothing."""
    with transaction.atomic():
        tell(case, "note", now=now, by=str(by), text=text)
        audit.record(
            actor=audit.person(by), verb="case.noted", target=case, platform=case.platform, after={"text": text},
            cause_id=case.cause_id, at=now,
        )  # fmt: skip


def repair_now(case: Case, *, by: Any, now: datetime) -> bool:
    """A person asks for a power cycle now; the guards that protect devices still object, with a row."""
    with transaction.atomic():
        locked = _locked(case)
        if locked.state not in LIVE or locked.job is None:
            return False
        last = locked.runs.order_by("-attempt").first()
        return _act_for_person(locked, next_cycle(locked.job, last), by=by, now=now)


def approve(case: Case, *, by: Any, now: datetime) -> bool:
    """A person says yes to the step that is proposed; False when it is no longer, or a guard objects, with a row."""
    with transaction.atomic():
        locked = _locked(case)
        place = _next_place(locked)
        if proposal_until(locked, now=now) is None or place is None:
            return False
        return _act_for_person(locked, place, by=by, now=now)


def proposal_until(case: Case, *, now: datetime) -> datetime | None:
    """Until when the next step may be approved; None when nobody is asked, or nobody has answered in time."""
    if case.state not in STILL_WANTED or case.kind != Case.Kind.DEVICE:
        return None
    if case.job is None or not case.job.is_enabled:
        return None
    proposal = _proposals(case).first()
    until = proposal.at + SUGGESTION if proposal is not None else None
    return until if until is not None and now < until else None


def _locked(case: Case) -> Case:
    return Case.objects.select_for_update(of=("self",)).select_related(*WITH_CASE).get(pk=case.pk)


def _act_for_person(case: Case, place: Place, *, by: Any, now: datetime) -> bool:
    if refusal := first_refusal(candidate_of(case, by_person=True, rung=place[1]), now=now):
        write_refusal(case, refusal, now=now)  # and the case stays where it is
        return False
    if case.state == C.ESCALATED:
        CASE.move(case, C.VERIFYING, now=now, why="asked by a person", by=str(by)[:100])
    return start_attempt(case, why="asked by a person", now=now, by=by, place=place)


def cancel_case(case: Case, *, by: Any, reason: str, now: datetime) -> bool:
    """A person ends the case without proof; what is queued for it does not leave any more."""
    with transaction.atomic():
        if not CASE.move(
            case, C.CANCELLED, now=now, why=reason[:300], by=str(by)[:100], outcome="cancelled", closed_at=now,
            deadline_at=None,
        ):  # fmt: skip
            return False
        _end_run(case, why="cancelled", now=now)
        tell(case, "cancelled", now=now, by=str(by), reason=reason)
        audit.record(
            actor=audit.person(by), verb="case.cancelled", target=case, platform=case.platform, reason=reason,
            cause_id=case.cause_id, at=now,
        )  # fmt: skip
    return True
