"""What comes next in a case: a table, and what must hold in every one of its rows."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from automation.states import CASE, LIVE, CaseState
from automation.verification import NEVER_LEFT, ON_ITS_WAY, WITHOUT_EFFECT, CaseFacts, Step, next_step
from devices.states import CommandState
from tests.factories import NOW, minutes

BASE = CaseFacts(
    state="open", mode="auto", attempts=0, max_attempts=2, device_state="offline", device_since=NOW - minutes(20),
    observed_at=NOW, back_since=None, command_state=None, command_sent_at=None, refused_since=None,
    stable=minutes(5), verify=minutes(15), patience=minutes(30),
)  # fmt: skip


def acted(state: str, *, sent: float | None = -5, **over: Any) -> dict[str, Any]:
    """Facts after the first attempt; ``sent`` minutes from now."""
    sent_at = None if sent is None else NOW + minutes(sent)
    return {"state": "acting", "attempts": 1, "command_state": state, "command_sent_at": sent_at, **over}


def back(since: float = -3, **over: Any) -> dict[str, Any]:
    return {"device_state": "online", "device_since": NOW + minutes(since), **over}


ROWS: list[tuple[str, dict[str, Any], Step, str]] = [
    ("a new case acts", {}, Step.ACT, "condition holds"),
    ("a suggestion", {"mode": "suggest"}, Step.SUGGEST, "condition holds"),
    ("watch only", {"mode": "shadow"}, Step.WAIT, "watching only"),
    ("part of a mass case", {"mode": "held"}, Step.WAIT, "watching only"),
    ("refused for a while", {"refused_since": NOW - minutes(29)}, Step.ACT, "condition holds"),
    ("refused too long", {"refused_since": NOW - minutes(30)}, Step.ESCALATE, "guards_refuse"),
    ("with a person", {"state": "escalated"}, Step.WAIT, "with a person"),
    ("with a person, no data", {"state": "escalated", "device_state": "unknown"}, Step.WAIT, "with a person"),
    ("back by itself", back(), Step.WATCH, "back"),
    ("back with a person", back(state="escalated"), Step.WATCH, "back"),
    ("watched", back(state="verifying", back_since=NOW - minutes(3)), Step.WAIT, "stays back?"),
    ("stable", back(-5, state="verifying", back_since=NOW - minutes(5)), Step.VERIFY, "stable"),
    ("stable by the clock, not by observation",
     back(-9, state="verifying", back_since=NOW - minutes(9), observed_at=NOW - minutes(6)), Step.WAIT, "stays back?"),
    ("fell again", {"state": "verifying", "back_since": NOW - minutes(3)}, Step.FELL_AGAIN,
     "offline again before it was stable"),
    ("no data while watched", {"state": "verifying", "back_since": NOW - minutes(3), "device_state": "unknown"},
     Step.WAIT, "no data while it is watched"),
    ("no data while watched, for long",
     {"state": "verifying", "back_since": NOW - minutes(60), "device_state": "unknown",
      "observed_at": NOW - minutes(30)}, Step.ESCALATE, "no_data"),
    ("waits for the lane", acted("requested", sent=None), Step.WAIT, "on its way"),
    ("waits for the outbox", acted("queued", sent=None), Step.WAIT, "on its way"),
    ("sent", acted("sent"), Step.WAIT, "waiting for it to come back"),
    ("replied", acted("replied"), Step.WAIT, "waiting for it to come back"),
    ("not back in time", acted("replied", sent=-15), Step.ACT, "not_back_in_time"),
    ("not back in time, suggest", acted("replied", sent=-15, mode="suggest"), Step.SUGGEST, "not_back_in_time"),
    ("not back in time, last attempt", acted("replied", sent=-15, attempts=2), Step.ESCALATE, "not_back_in_time"),
    ("not back in time, job switched to shadow", acted("replied", sent=-15, mode="shadow"), Step.ESCALATE,
     "not_back_in_time"),
    ("not back in time, mass case", acted("replied", sent=-15, mode="held"), Step.WAIT, "part of a mass case"),
    ("not back in time, refused for long", acted("replied", sent=-60, refused_since=NOW - minutes(31)), Step.ESCALATE,
     "guards_refuse"),
    ("no data after the action", acted("replied", sent=-15, device_state="unknown"), Step.ESCALATE,
     "no_data_after_action"),
    ("no data, in time", acted("replied", device_state="unknown"), Step.WAIT, "waiting for it to come back"),
    ("outcome unknown", acted("unknown"), Step.WAIT, "waiting for it to come back"),
    ("outcome unknown for long", acted("unknown", sent=-60), Step.WAIT, "outcome unknown"),
    ("needs an operator", acted("needs_operator"), Step.ESCALATE, "outcome_unknown"),
    ("closed by an operator", acted("closed_by_operator"), Step.ESCALATE, "outcome_unknown"),
    ("blocked", acted("blocked", sent=None), Step.ACT, "command_blocked"),
    ("blocked, last attempt", acted("blocked", sent=None, attempts=2), Step.ESCALATE, "command_blocked"),
    ("blocked, mass case", acted("blocked", sent=None, mode="held"), Step.WAIT, "part of a mass case"),
    ("superseded", acted("superseded", sent=None), Step.ACT, "command_superseded"),
    ("not executed", acted("not_executed"), Step.ACT, "command_not_executed"),
    ("refused by the device", acted("refused", attempts=2), Step.ESCALATE, "command_refused"),
    ("seen before the command left", back(-9, **acted("sent", sent=-1), observed_at=NOW - minutes(2)), Step.WAIT,
     "seen before the command left"),
    ("back after the command", back(-1, **acted("sent")), Step.WATCH, "back"),
    ("online since nobody knows when", {"device_state": "online", "device_since": None}, Step.WAIT, "since when?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "facts", "step", "why"), ROWS, ids=[row[0] for row in ROWS])
def test_the_next_step(name: str, facts: dict[str, Any], step: Step, why: str) -> None:
    decision = next_step(replace(BASE, **facts), now=NOW)

    assert (decision.step, decision.why) == (step, why)


def every_case() -> list[CaseFacts]:
    """The whole square: states, modes, attempts, what the device and the command say, and times around deadlines."""
    sent = [None, NOW - minutes(5), NOW - minutes(15), NOW - minutes(60)]
    return [
        replace(
            BASE, state=state, mode=mode, attempts=attempts, device_state=device, command_state=command,
            command_sent_at=sent_at, back_since=back_since, refused_since=refused,
        )
        for state, mode, attempts, device, command, sent_at, back_since, refused in itertools.product(
            LIVE, ["shadow", "suggest", "auto", "held"], [0, 1, 2, 3], ["online", "offline", "unknown"],
            [None, *CommandState.values], sent, [None, NOW - minutes(10)], [None, NOW - minutes(40)],
        )
    ]  # fmt: skip


EVERY = [(facts, next_step(facts, now=NOW).step) for facts in every_case()]
TRIES = (Step.ACT, Step.SUGGEST)


def test_the_square_is_large() -> None:
    assert len(EVERY) > 50_000


def test_who_only_watches_never_tries() -> None:
    assert not [facts for facts, step in EVERY if facts.mode in ("shadow", "held") and step in TRIES]


def test_who_suggests_never_acts() -> None:
    assert not [facts for facts, step in EVERY if facts.mode == "suggest" and step is Step.ACT]


def test_a_device_that_is_online_is_left_alone() -> None:
    steps = {step for facts, step in EVERY if facts.device_state == "online"}

    assert steps == {Step.WATCH, Step.VERIFY}  # in this square nobody is back too short a time to be watched


def test_nobody_tries_more_often_than_allowed_once_something_left() -> None:
    wrong = [
        facts
        for facts, step in EVERY
        if facts.attempts >= facts.max_attempts and facts.command_state and step in TRIES
    ]

    assert wrong == []


def test_a_command_on_its_way_is_waited_for() -> None:
    """Nothing is sent while the last command may still come to something."""
    wrong = [
        facts
        for facts, step in EVERY
        if step in TRIES
        and facts.attempts
        and facts.command_state in ON_ITS_WAY
        and (facts.command_sent_at is None or NOW - facts.command_sent_at < facts.verify)
    ]

    assert wrong == []


def test_an_unknown_outcome_never_leads_to_another_attempt() -> None:
    asked = {"unknown", "needs_operator", "closed_by_operator"}

    assert not [
        facts for facts, step in EVERY if facts.attempts and facts.command_state in asked and step in TRIES
    ]


def test_a_person_keeps_the_case_until_the_device_is_back() -> None:
    steps = {step for facts, step in EVERY if facts.state == "escalated" and facts.device_state != "online"}

    assert steps == {Step.WAIT}


def test_only_a_device_that_is_watched_is_verified() -> None:
    verified = [facts for facts, step in EVERY if step is Step.VERIFY]

    assert verified
    assert all(
        facts.state == "verifying" and facts.back_since and facts.device_state == "online"
        for facts in verified
    )


def test_words_of_commands_are_each_in_one_list() -> None:
    lists = [NEVER_LEFT, WITHOUT_EFFECT, ON_ITS_WAY, {"replied", "verified", "unverified"},
             {"needs_operator", "closed_by_operator"}]  # fmt: skip

    assert sorted(itertools.chain(*lists)) == sorted(CommandState.values)


@pytest.mark.parametrize(
    ("facts", "deadline"),
    [
        (back(), -3 + 5),
        (back(state="verifying", back_since=NOW - minutes(3)), 2),
        (acted("sent"), 10),
        ({"state": "verifying", "back_since": NOW, "device_state": "unknown"}, 30),
    ],
)
def test_who_waits_says_until_when(facts: dict[str, Any], deadline: float) -> None:
    assert next_step(replace(BASE, **facts), now=NOW).deadline_at == NOW + minutes(deadline)


def test_the_life_of_a_case_has_a_row_for_every_state_and_ends() -> None:
    CASE.check(CaseState.values)

    assert CASE.terminal == {"verified", "cancelled"}
    assert set(LIVE) == set(CaseState.values) - CASE.terminal


def test_time_alone_never_verifies() -> None:
    facts = replace(
        BASE, **back(-9, state="verifying", back_since=NOW - minutes(9), observed_at=NOW - minutes(8))
    )

    assert next_step(facts, now=NOW + timedelta(days=365)).step is Step.WAIT
