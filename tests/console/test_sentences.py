"""Every word that the tables may hold has a sentence for people; found by reading the source, so that it grows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from automation.sentences import (
    cms_sentence,
    command_sentence,
    event_sentence,
    plain,
    refusal_sentence,
    why_sentence,
)
from devices.states import COMMAND, CommandState
from exporters.errors import Reason
from exporters.rounds import Suspicion
from platforms.console.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
APPS = ("platforms", "devices", "sms", "exporters", "automation", "notifications")


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def calls(path: Path, name: str) -> Iterator[ast.Call]:
    """Every call of the function ``name`` in a file, also as an attribute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node


def words(node: ast.expr | None) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def refusals() -> set[tuple[str, str]]:
    """(guard, reason) of every objection that automation can make with constant words."""
    found = set()
    for path in (ROOT / "automation").rglob("*.py"):
        for call in calls(path, "Refusal"):
            if len(call.args) >= 2 and words(call.args[0]) and words(call.args[1]):
                found.add((call.args[0].value, call.args[1].value))  # type: ignore[attr-defined]
    return found


def test_every_objection_has_a_sentence():
    found = refusals()

    silent = [
        (guard, reason)
        for guard, reason in found
        if refusal_sentence(guard, reason, {}) == f"{plain(guard)}: {plain(reason)}"
    ]

    assert len(found) > 15
    assert silent == []


def test_every_event_of_a_case_has_a_sentence():
    kinds = set()
    for path in (ROOT / "automation").rglob("*.py"):
        for call in calls(path, "tell"):
            kinds |= words(call.args[1]) if len(call.args) > 1 else set()

    assert len(kinds) >= 10
    assert [kind for kind in kinds if event_sentence(kind, {}) == plain(kind)] == []


def test_every_outcome_of_a_case_has_a_sentence():
    outcomes = set()
    for path in (ROOT / "automation" / "services").rglob("*.py"):
        for name, keyword in (("escalate", "why"), ("drop", "why"), ("close_well", "outcome")):
            for call in calls(path, name):
                outcomes |= {
                    word for item in call.keywords if item.arg == keyword for word in words(item.value)
                }
    for call in calls(ROOT / "automation" / "verification.py", "Decision"):
        if getattr(call.args[0], "attr", "") == "ESCALATE":
            outcomes |= words(call.args[1])

    assert len(outcomes) > 7
    assert [outcome for outcome in outcomes if why_sentence(outcome) == plain(outcome)] == []


@pytest.mark.parametrize(
    "state", ["blocked", "cancelled", "expired", "superseded", "failed", "not_executed", "refused"]
)
def test_every_way_a_command_may_fail_is_an_outcome_in_words(state: str):
    assert state in COMMAND.states
    assert why_sentence(f"command_{state}") != plain(f"command_{state}")


@pytest.mark.parametrize("state", CommandState.values)
def test_every_step_of_a_command_has_a_sentence(state: str):
    assert command_sentence(state, "").endswith(".")


@pytest.mark.parametrize("reason", [*Reason, *(word for word in Suspicion if word)])
def test_every_fault_of_a_cms_has_a_sentence(reason: str):
    assert cms_sentence(str(reason)) != plain(str(reason))


def test_every_verb_of_the_audit_has_words():
    verbs = set()
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            for call in calls(path, "record"):
                verbs |= {word for item in call.keywords if item.arg == "verb" for word in words(item.value)}

    assert len(verbs) > 20
    assert sorted(verbs - set(VERBS)) == []


def test_a_word_that_nobody_knows_is_shown_and_not_hidden():
    assert refusal_sentence("new_guard", "new_reason", {}) == "new guard: new reason"
    assert event_sentence("new_event", {}) == "new event"
    assert why_sentence("new_outcome") == "new outcome"


def test_data_of_another_shape_breaks_no_sentence():
    for guard, reason in refusals():
        for data in (
            {},
            {"age_s": None, "pause_s": None, "players": None, "why": None},
            {"players": [1, None]},
        ):
            assert refusal_sentence(guard, reason, data)


def test_the_names_of_other_devices_are_for_those_who_see_them():
    data = {"guard": "power", "reason": "feeds_healthy_players", "players": ["lobby", "window"]}

    assert "lobby" in refusal_sentence("power", "feeds_healthy_players", data)
    assert "lobby" not in refusal_sentence("power", "feeds_healthy_players", data, names=False)
    assert "lobby" not in event_sentence("refused", data, names=False)
