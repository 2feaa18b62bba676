"""Reads of automation for people: where each case stands, what needs somebody, what REMOSA is doing."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models import Case as When
from django.db.models import When as Condition

from automation.models import ActionRun, Case, CaseEvent, GuardRefusal
from automation.repairs import deed_of
from automation.sentences import headline, refusal_sentence, step_sentence
from automation.states import LIVE, CaseState, Mode

TONES = {
    CaseState.OPEN: "amber",
    CaseState.ACTING: "blue",
    CaseState.VERIFYING: "blue",
    CaseState.VERIFIED: "green",
    CaseState.ESCALATED: "red",
    CaseState.CANCELLED: "grey",
}


@dataclass(frozen=True)
class CaseLine:
    """Where one case stands, in words. ``deadline_at`` is when the current step ends, if it has an end."""

    case: Case
    headline: str
    step: str
    tone: str
    deadline_at: datetime | None
    needs_person: bool


def with_proposals(cases: QuerySet[Case]) -> QuerySet[Case]:
    """Annotate ``proposed``: a power cycle was proposed after the last action, and nobody has answered."""

    def last(kind: str) -> Subquery:
        events = CaseEvent.objects.filter(case=OuterRef("pk"), kind=kind).order_by("-at")
        return Subquery(events.values("at")[:1])

    waits = Q(mode=Mode.SUGGEST, state__in=[CaseState.OPEN, CaseState.ACTING], last_proposal__isnull=False)
    unanswered = Q(last_act__isnull=True) | Q(last_proposal__gt=F("last_act"))
    return cases.annotate(last_proposal=last("suggested"), last_act=last("acted")).annotate(
        proposed=When(
            Condition(waits & unanswered, then=Value(True)), default=Value(False), output_field=BooleanField()
        )
    )


def needing_a_person() -> Q:
    """Cases that wait for somebody: handed over and not taken, or a proposal without an answer.

    For a queryset that went through ``with_proposals``.
    """
    return Q(state=CaseState.ESCALATED, acknowledged_by=None) | Q(proposed=True)


def being_repaired() -> Q:
    """Cases that REMOSA works on by itself."""
    return Q(state__in=[CaseState.ACTING, CaseState.VERIFYING]) | Q(
        state=CaseState.OPEN, mode=Mode.AUTO, kind=Case.Kind.DEVICE
    )


def board(cases: QuerySet[Case]) -> QuerySet[Case]:
    """Cases in the order of a duty desk: what needs a person, then what is live, the newest first."""
    rank = When(
        Condition(needing_a_person(), then=Value(0)),
        Condition(state=CaseState.ESCALATED, then=Value(1)),
        Condition(state__in=LIVE, then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    return with_proposals(cases).annotate(rank=rank).order_by("rank", F("opened_at").desc())


def case_lines(cases: Iterable[Case], *, now: datetime, names: bool = True) -> list[CaseLine]:
    """Each case in words, in the given order; a handful of queries, however many cases.

    ``names`` False keeps the names of other devices out, for readers who do not see every device.

    The cases come with ``device__site``, ``job`` and ``parent`` selected, and from ``with_proposals``.
    """
    rows = list(cases)
    keys = [case.pk for case in rows if case.state in LIVE]
    tried = ActionRun.objects.filter(case__in=keys).select_related("command__restoration").order_by("attempt")
    runs = {run.case_id: run for run in tried.prefetch_related("command__restoration__commands")}
    refusals = _standing_refusals(keys)
    return [_line(case, runs.get(case.pk), refusals, now=now, names=names) for case in rows]


def _standing_refusals(keys: list[uuid.UUID]) -> dict[tuple[Any, int], GuardRefusal]:
    """{(case, attempt): the newest objection}."""
    rows = GuardRefusal.objects.filter(case__in=keys).order_by("last_at")
    return {(row.case_id, row.attempt): row for row in rows}


def _deadline(case: Case, refusal: GuardRefusal | None) -> datetime | None:
    """When the current step ends: its own deadline, or the moment when a guard lets go."""
    if case.state not in LIVE:
        return None
    if case.deadline_at is None and case.state == CaseState.OPEN and refusal is not None:
        return refusal.lifts_at
    return case.deadline_at


def _line(
    case: Case,
    run: ActionRun | None,
    refusals: dict[tuple[Any, int], GuardRefusal],
    *,
    now: datetime,
    names: bool,
) -> CaseLine:
    refusal = refusals.get((case.pk, case.attempts + 1))
    objection = refusal_sentence(refusal.guard, refusal.reason, refusal.data, names=names) if refusal else ""
    waits_for_mass = case.parent is not None and case.parent.state in LIVE
    until = case.closed_at or now
    down_for = until - case.down_since if case.down_since else None
    deed = deed_of(run)
    step = step_sentence(
        state=case.state,
        mode=case.mode,
        attempts=case.attempts,
        max_attempts=case.job.max_attempts if case.job else 0,
        command_state=deed.state if deed else "",
        refusal=objection,
        is_back=case.state == CaseState.VERIFYING and case.back_since is not None,
        waits_for_mass=waits_for_mass,
        outcome=case.outcome,
        down_for=down_for,
    )
    return CaseLine(
        case=case,
        headline=headline(kind=case.kind, state=case.state, down_for=down_for, outcome=case.outcome),
        step=step,
        tone=TONES[CaseState(case.state)],
        deadline_at=_deadline(case, refusal),
        needs_person=case.state == CaseState.ESCALATED or getattr(case, "proposed", False),
    )
