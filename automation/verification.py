"""What comes next in a case, from its facts. Pure.

A case is only closed by evidence: the device is back, was seen back after what we did, and stays
back. Nothing seen in time leads to the next attempt, and at the end to a person.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

NEVER_LEFT = frozenset({"blocked", "cancelled", "expired", "superseded", "failed"})
WITHOUT_EFFECT = frozenset({"not_executed", "refused"})
ON_ITS_WAY = frozenset({"requested", "queued", "sent", "delivered", "unknown"})
# of a step that is no command: asked for, carried out, perhaps carried out, not carried out
SOFT = frozenset({"asked", "told", "maybe", "dropped"})


class Step(StrEnum):
    WAIT = "wait"
    ACT = "act"  # try the next attempt, if the guards let it pass
    SUGGEST = "suggest"
    WATCH = "watch"  # the device is back: see whether it stays
    FELL_AGAIN = "fell_again"
    VERIFY = "verify"
    ESCALATE = "escalate"


@dataclass(frozen=True)
class CaseFacts:
    """All that the next step depends on. ``device_state`` is online, offline or unknown, as of ``observed_at``.

    ``mode`` is shadow, suggest, auto, or ``held`` while a mass case stands above this one. ``attempts`` are
    the steps of the ladder that are behind, of ``max_attempts``; ``next_is_quiet``: the next one switches nothing.
    """

    state: str
    mode: str
    attempts: int
    max_attempts: int
    device_state: str
    device_since: datetime | None
    observed_at: datetime | None
    back_since: datetime | None
    command_state: str | None  # of the last step, or of ``SOFT``; ``left_dark``: the power is not on again
    command_sent_at: datetime | None
    refused_since: datetime | None  # since when guards refuse this attempt
    stable: timedelta
    verify: timedelta
    patience: timedelta  # how long a refused attempt may wait before a person is told
    next_is_quiet: bool = False


@dataclass(frozen=True)
class Decision:
    step: Step
    why: str
    deadline_at: datetime | None = None


def next_step(facts: CaseFacts, *, now: datetime) -> Decision:
    """The one next step of a live case; WAIT names the deadline at which to ask again."""
    if facts.device_state == "online":
        return _while_back(facts)
    if facts.state == "escalated":
        return Decision(Step.WAIT, "with a person")
    if facts.state == "verifying" and facts.back_since is not None:
        if facts.device_state == "offline":
            return Decision(Step.FELL_AGAIN, "offline again before it was stable")
        return _while_unseen(facts, now=now)
    if facts.command_state is None:
        return _before_action(facts, now=now)
    return _after_action(facts, now=now)


def _while_back(facts: CaseFacts) -> Decision:
    """Online: measured between observations, so that a frozen clock or a dead poller proves nothing."""
    if facts.device_since is None:
        return Decision(Step.WAIT, "since when?")
    sent = facts.command_sent_at
    if sent is not None and facts.observed_at is not None and facts.observed_at <= sent:
        return Decision(Step.WAIT, "seen before the command left")
    if facts.state != "verifying" or facts.back_since is None:
        return Decision(Step.WATCH, "back", facts.device_since + facts.stable)
    if facts.observed_at is not None and facts.observed_at - facts.back_since >= facts.stable:
        return Decision(Step.VERIFY, "stable")
    return Decision(Step.WAIT, "stays back?", facts.back_since + facts.stable)


def _while_unseen(facts: CaseFacts, *, now: datetime) -> Decision:
    """It was back, and nobody can say whether it still is: no ground to act, and none to close."""
    deadline = (facts.observed_at or now) + facts.patience
    if now < deadline:
        return Decision(Step.WAIT, "no data while it is watched", deadline)
    return Decision(Step.ESCALATE, "no_data")


def _before_action(facts: CaseFacts, *, now: datetime) -> Decision:
    if facts.mode in ("shadow", "held"):
        return Decision(Step.WAIT, "watching only")
    if facts.refused_since is not None and now - facts.refused_since >= facts.patience:
        return Decision(Step.ESCALATE, "guards_refuse")
    return Decision(_try(facts), "condition holds")


def _try(facts: CaseFacts) -> Step:
    """What switches nothing needs nobody's leave."""
    return Step.SUGGEST if facts.mode == "suggest" and not facts.next_is_quiet else Step.ACT


def _after_action(facts: CaseFacts, *, now: datetime) -> Decision:
    state = facts.command_state
    if state == "left_dark":
        return Decision(Step.ESCALATE, "not_on_again")
    if state in ("needs_operator", "closed_by_operator"):
        return Decision(Step.ESCALATE, "outcome_unknown")
    if state == "dropped":
        return _retry(facts, why="step_failed", now=now)
    if state in NEVER_LEFT or state in WITHOUT_EFFECT:
        return _retry(facts, why=f"command_{state}", now=now)
    if facts.command_sent_at is None:
        return Decision(Step.WAIT, "on its way")
    deadline = facts.command_sent_at + facts.verify
    if now < deadline:
        return Decision(Step.WAIT, "waiting for it to come back", deadline)
    if state in SOFT:
        return _retry(facts, why="step_not_proven", now=now)
    if facts.device_state == "unknown":
        return Decision(Step.ESCALATE, "no_data_after_action")
    if state == "unknown":
        return Decision(Step.WAIT, "outcome unknown", None)
    return _retry(facts, why="not_back_in_time", now=now)


def _retry(facts: CaseFacts, *, why: str, now: datetime) -> Decision:
    """Another attempt while there are any left and the job still acts; else a person."""
    if facts.mode == "held":
        return Decision(Step.WAIT, "part of a mass case")
    if facts.attempts >= facts.max_attempts or facts.mode == "shadow":
        return Decision(Step.ESCALATE, why)
    if facts.refused_since is not None and now - facts.refused_since >= facts.patience:
        return Decision(Step.ESCALATE, "guards_refuse")
    return Decision(_try(facts), why)
