"""Alerts in any order: every sequence of duplicates, replays and reorderings comes to the same rows.

Each sequence is one alert with up to three episodes. What is told of it is shuffled, doubled and replayed;
many sequences share one delivery. Judged against what the set of messages means, whatever their order.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from automation.alert_evidence import sum_up
from automation.engine import Edge, Reading, View, advance, judge
from automation.intake import RANKS, Incoming, merge, read_body
from automation.models import Alert, AlertChange, AlertSource
from automation.services import intake
from platforms.models import Platform
from tests.automation.alerts import body_of, item, make_source
from tests.factories import NOW

pytestmark = pytest.mark.django_db
STATES = ("pending", "firing", "resolved")


@dataclass
class Sequence:
    """One alert: the messages as they come in."""

    number: int
    messages: list[dict[str, Any]] = field(default_factory=list)


def make_sequence(dice: random.Random, number: int) -> Sequence:
    labels = {"alertname": "A", "number": str(number)}
    told = []
    for episode in range(dice.randint(1, 3)):
        at = NOW + timedelta(minutes=20 * episode)
        for state in STATES:
            if dice.random() < 0.75:
                ends = at + timedelta(minutes=dice.randint(1, 9)) if state == "resolved" else None
                doubt = (
                    {"annotations": {"grafana_state_reason": "MissingSeries"}} if dice.random() < 0.1 else {}
                )
                told.append(item(labels, at=at, state=state, ends=ends, **doubt))
    told += [dice.choice(told) for _again in range(dice.randint(0, 4))] if told else []
    if dice.random() < 0.8:
        dice.shuffle(told)
    return Sequence(number, told)


def meant(sequence: Sequence) -> dict[tuple[str, datetime], Incoming]:
    """What the messages mean, by the pure merge, in an order of its own."""
    episodes: dict[tuple[str, datetime], Incoming] = {}
    for message in sorted(sequence.messages, key=lambda each: json.dumps(each, sort_keys=True)):
        (alert,) = read_body(body_of(message), now=NOW + timedelta(days=1)).alerts
        known = episodes.get(alert.key)
        episodes[alert.key] = alert if known is None else merge(alert, known)
    return episodes


def run(source: AlertSource, sequences: list[Sequence]) -> None:
    """The i-th message of every sequence in one delivery, then the whole again as a replay."""
    for turn in range(max(len(each.messages) for each in sequences)):
        alerts = [each.messages[turn] for each in sequences if turn < len(each.messages)]
        now = NOW + timedelta(days=1, seconds=turn)
        intake.take(source, body_of(*alerts), stamp=str(turn), now=now)
        intake.take(source, body_of(*alerts), stamp=str(turn), now=now)


def violations(source: AlertSource, sequences: list[Sequence]) -> Counter[str]:
    """What came out other than it is meant."""
    found: Counter[str] = Counter()
    wanted: dict[tuple[str, datetime], Incoming] = {}
    for sequence in sequences:
        wanted |= meant(sequence)
    rows = {(row.fingerprint, row.starts_at): row for row in Alert.objects.filter(source=source)}
    if set(rows) != set(wanted):
        found["episodes"] += len(set(rows) ^ set(wanted))
    for key, row in rows.items():
        alert = wanted.get(key)
        if alert is None:
            continue
        found["state"] += row.state != alert.state
        found["signal"] += row.signal != alert.signal
        found["end"] += row.ends_at != alert.ends_at
    changes = AlertChange.objects.filter(alert__source=source)
    per_state = Counter(changes.values_list("alert", "state"))
    found["doubled"] += sum(number > 1 for number in per_state.values())
    last = {}
    for alert_id, state in changes.order_by("pk").values_list("alert", "state"):
        found["backwards"] += RANKS[last.get(alert_id, "pending")] > RANKS[state]
        last[alert_id] = state
    found["not told"] += sum(last.get(row.pk) != row.state for row in rows.values())
    return +found


def actions(sequence: Sequence) -> Counter[datetime]:
    """How often a job would fire for each episode, judging after every message."""
    episodes: dict[tuple[str, datetime], Incoming] = {}
    view, fired = View(), Counter[datetime]()
    for turn, message in enumerate(sequence.messages):
        now = NOW + timedelta(days=1, seconds=turn)
        (alert,) = read_body(body_of(message), now=now).alerts
        known = episodes.get(alert.key)
        episodes[alert.key] = alert if known is None else merge(known, alert)
        newest = max(episodes.values(), key=lambda each: each.starts_at)
        row = Alert(
            state=newest.state, signal=newest.signal, starts_at=newest.starts_at, ends_at=newest.ends_at,
            received_at=now,
        )  # fmt: skip
        told = sum_up([row]) if row.state != "pending" else None
        reading = Reading(told.breach, now) if told else Reading(None, None)
        verdict = judge(reading, max_age=timedelta(minutes=15), now=now)
        view, edge = advance(
            view, verdict, observed_at=reading.observed_at, hold=timedelta(), fresh_samples=1,
            max_gap=timedelta(minutes=15),
        )  # fmt: skip
        if edge is Edge.FIRED:
            fired[newest.starts_at] += 1
    return fired


def check(platform: Platform, count: int, *, seed: int, batch: int = 2_000) -> Counter[str]:
    dice, bad = random.Random(seed), Counter[str]()
    for first in range(0, count, batch):
        sequences = [make_sequence(dice, first + number) for number in range(min(batch, count - first))]
        source = make_source(platform, name=f"sequences {first}")
        run(source, sequences)
        bad += violations(source, sequences)
        for sequence in sequences:
            bad["two actions"] += sum(times > 1 for times in actions(sequence).values())
        source.delete()
    return +bad


@pytest.mark.databases
def test_any_order_comes_to_the_same(north: Platform, figure: Callable[[str, str], None]) -> None:
    count = 1_000

    bad = check(north, count, seed=20261126)

    assert bad == Counter()
    figure("intake", f"{count:,} sequences, {sum(bad.values())} violations")


@pytest.mark.soak
@pytest.mark.databases
@pytest.mark.timeout(3600)
def test_any_order_comes_to_the_same_a_hundred_thousand_times(
    north: Platform, figure: Callable[[str, str], None]
) -> None:
    count = int(os.environ.get("SEQUENCES", "100000"))

    bad = check(north, count, seed=7)

    assert bad == Counter()
    figure("intake", f"{count:,} sequences, {sum(bad.values())} violations")
