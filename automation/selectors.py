"""Reads of automation for people: where each case stands, what needs somebody, what REMOSA is doing."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models import Case as When
from django.db.models import When as Condition
from django.utils.translation import gettext as _

from automation.ladder import Rung
from automation.models import ActionRun, Case, CaseEvent, GuardRefusal, JobState, Webhook
from automation.repairs import deed_of
from automation.sentences import (
    headline,
    hold_sentence,
    refusal_sentence,
    rung_sentence,
    span_words,
    step_sentence,
)
from automation.states import LIVE, CaseState, Mode, Phase
from devices.models import Device
from devices.states import DeviceState

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
        events = CaseEvent.objects.filter(case=OuterRef("pk"), kind=kind).order_by("-at", "-pk")
        return Subquery(events.values("at")[:1])

    waits = Q(mode=Mode.SUGGEST, state__in=[CaseState.OPEN, CaseState.ACTING], last_proposal__isnull=False)
    waits &= Q(job__is_enabled=True)  # a job that is switched off asks for nothing
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
    """Cases that REMOSA works on by itself, for a queryset that went through ``with_proposals``."""
    works = Q(state__in=[CaseState.ACTING, CaseState.VERIFYING])
    works |= Q(state=CaseState.OPEN, mode=Mode.AUTO, kind=Case.Kind.DEVICE, job__is_enabled=True)
    return works & Q(proposed=False)


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
    tried = ActionRun.objects.filter(case__in=keys).order_by("attempt")
    tried = tried.select_related("command__restoration", "call")
    runs = {run.case_id: run for run in tried.prefetch_related("command__restoration__commands")}
    refusals = _standing_refusals(keys)
    hooks = webhook_names(rung for case in rows if case.job is not None for rung in case.job.rungs)
    return [_line(case, runs.get(case.pk), refusals, hooks, now=now, names=names) for case in rows]


def webhook_names(rungs: Iterable[Rung]) -> dict[int, str]:
    """The names of the webhooks of these steps, in one question."""
    keys = [rung.webhook for rung in rungs if rung.webhook is not None]
    return dict(Webhook.objects.filter(pk__in=keys).values_list("pk", "name")) if keys else {}


def webhook_name(rung: Rung) -> str:
    """What people call the receiver of this step; "" where there is none."""
    return webhook_names([rung]).get(rung.webhook or 0, "")


def rung_words(rungs: Iterable[Rung], hooks: dict[int, str]) -> list[str]:
    """The steps of a ladder in words; ``hooks`` are the names of its webhooks."""
    return [
        rung_sentence(
            str(rung.do), webhook=hooks.get(rung.webhook or 0, ""), minutes=rung.minutes,
            wait_s=rung.wait.total_seconds(),
        )
        for rung in rungs
    ]  # fmt: skip


@dataclass(frozen=True)
class HeldLine:
    """A device that a job sees as wrong and whose hold time runs; ``deadline_at`` is when that ends, None: unknown."""

    device: Device
    headline: str
    step: str
    deadline_at: datetime | None


ASKED_VIEWS = 500


def held_lines(views: QuerySet[JobState], *, now: datetime) -> list[HeldLine]:
    """The devices among ``views`` that have no case yet because a hold time runs, those that wait longest first.

    A device that several jobs hold has one line: of the job that may do most.
    """
    live = Case.objects.filter(device=OuterRef("device"), state__in=LIVE)
    rows = views.filter(~Exists(live), phase=Phase.PENDING, device__is_active=True, since__isnull=False)
    rows = rows.filter(job__is_enabled=True, job__platform__is_active=True, job_version=F("job__version"))
    by_device: dict[int, JobState] = {}
    for row in rows.select_related("job", "device__site", "device__platform").order_by("since")[:ASKED_VIEWS]:
        other = by_device.setdefault(row.device_id, row)
        if Mode(row.job.mode).rank > Mode(other.job.mode).rank:
            by_device[row.device_id] = row
    return [_held(row, now=now) for row in by_device.values()]


def _held(row: JobState, *, now: datetime) -> HeldLine:
    job, device = row.job, row.device
    assert row.since is not None  # noqa: S101  asked for
    until = row.since + job.hold
    offline, has_data = device.state == DeviceState.OFFLINE, device.state != DeviceState.UNKNOWN
    since = device.state_since if offline and device.state_since else row.since
    span = span_words((now - since).total_seconds())
    return HeldLine(
        device,
        _("No connection to the CMS for %(span)s") % {"span": span}
        if offline else _("The condition of a job has held for %(span)s") % {"span": span},
        hold_sentence(
            mode=job.mode, has_data=has_data, samples=row.samples, wanted=job.fresh_samples, hold_s=job.hold_s,
            is_held=now >= until,
        ),
        until if has_data and now < until else None,
    )  # fmt: skip


def proposed_step(case: Case) -> str:
    """What is proposed: the word of a ladder's step."""
    proposal = case.events.filter(kind="suggested").order_by("-pk").first()
    return str(proposal.data.get("do", "cycle")) if proposal is not None else "cycle"


@dataclass(frozen=True)
class LadderLine:
    """One step of a case's ladder: ``mark`` is behind, now, next or ahead."""

    words: str
    mark: str


def ladder_lines(case: Case) -> list[LadderLine]:
    """The steps of the case's job and where the case stands; the last line is the person."""
    if case.job is None or case.kind != Case.Kind.DEVICE:
        return []
    run = case.runs.order_by("-attempt").first()
    behind = min(run.rung, len(case.job.rungs)) if run is not None else 0
    words = [*rung_words(case.job.rungs, webhook_names(case.job.rungs)), _("a person")]
    marks = ["behind"] * behind + ["ahead"] * (len(words) - behind)
    with_person = case.state == CaseState.ESCALATED
    if with_person:
        marks[-1] = "now"
    elif case.state in LIVE:
        if behind:
            marks[behind - 1] = "now"
        marks[behind] = "next"
    return [LadderLine(*line) for line in zip(words, marks, strict=True)]


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
    hooks: dict[int, str],
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
    rungs = case.job.rungs if case.job else ()
    words = rung_words(rungs, hooks) if case.job and case.job.ladder else []
    behind = run.rung if run is not None else 0
    step = step_sentence(
        state=case.state,
        mode=case.mode if case.job is not None and case.job.is_enabled else "off",
        attempts=behind if words and case.state in LIVE else case.attempts,
        max_attempts=len(rungs),
        command_state=deed.state if deed else "",
        refusal=objection,
        is_back=case.state == CaseState.VERIFYING and case.back_since is not None,
        waits_for_mass=waits_for_mass,
        outcome=case.outcome,
        down_for=down_for,
        current="".join(words[max(behind - 1, 0) : behind]),
        following="".join(words[behind : behind + 1]),
        is_proposed=getattr(case, "proposed", False),
    )
    return CaseLine(
        case=case,
        headline=headline(kind=case.kind, state=case.state, down_for=down_for, outcome=case.outcome),
        step=step,
        tone=TONES[CaseState(case.state)],
        deadline_at=_deadline(case, refusal),
        needs_person=case.state == CaseState.ESCALATED or getattr(case, "proposed", False),
    )
