"""The rules of evidence, on every sequence of observations that chance can think of."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.engine import (
    Edge,
    Peers,
    Reading,
    Verdict,
    View,
    advance,
    flapping_until,
    forget,
    is_mass,
    judge,
)
from tests.factories import NOW

MAX_AGE = timedelta(seconds=75)
V, SECOND = Verdict, timedelta(seconds=1)


def at(seconds: float) -> object:
    return NOW + timedelta(seconds=seconds)


# --- one reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [
        (Reading(True, NOW), V.BREACH),
        (Reading(False, NOW), V.OK),
        (None, V.UNKNOWN),
        (Reading(None, NOW), V.UNKNOWN),
        (Reading(True, None), V.UNKNOWN),
        (Reading(True, NOW - MAX_AGE), V.BREACH),
        (Reading(True, NOW - MAX_AGE - SECOND), V.UNKNOWN),
        (Reading(False, NOW - MAX_AGE - SECOND), V.UNKNOWN),
        (Reading(True, NOW + MAX_AGE), V.BREACH),
        (Reading(True, NOW + MAX_AGE + SECOND), V.UNKNOWN),  # a clock that is wrong proves nothing
        (Reading(True, NOW, upstream_ok=False), V.UNKNOWN),
        (Reading(False, NOW, upstream_ok=False), V.UNKNOWN),
        (Reading(True, NOW, expected=True), V.UNKNOWN),  # dark by our own doing
        (Reading(False, NOW, expected=True), V.OK),  # and back: that is worth knowing at once
    ],
)
def test_only_a_fresh_answer_of_a_healthy_source_says_anything(
    reading: Reading | None, verdict: Verdict
) -> None:
    assert judge(reading, max_age=MAX_AGE, now=NOW) is verdict


# --- one view ------------------------------------------------------------------------------------

moments = st.integers(-4000, 4000).map(at)
views = st.builds(
    View,
    phase=st.sampled_from(["ok", "pending", "firing"]),
    since=st.none() | moments,
    samples=st.integers(0, 9),
    last_sample_at=st.none() | moments,
    episode=st.integers(0, 5),
)


def step(
    view: View, verdict: Verdict, seconds: float, *, hold_s: float = 60, samples: int = 3
) -> tuple[View, Edge]:
    return advance(
        view,
        verdict,
        observed_at=at(seconds),
        hold=timedelta(seconds=hold_s),
        fresh_samples=samples,
        max_gap=MAX_AGE,
    )


@given(view=views, seconds=st.none() | st.integers(-4000, 4000), samples=st.integers(1, 5))
def test_unknown_never_changes_a_view(view: View, seconds: int | None, samples: int) -> None:
    observed_at = None if seconds is None else at(seconds)

    after = advance(
        view, V.UNKNOWN, observed_at=observed_at, hold=timedelta(), fresh_samples=samples, max_gap=MAX_AGE
    )

    assert after == (view, Edge.NONE)


@given(view=views, verdict=st.sampled_from([V.OK, V.BREACH]), behind=st.integers(0, 4000))
def test_what_is_not_newer_changes_nothing(view: View, verdict: Verdict, behind: int) -> None:
    view = replace(view, last_sample_at=NOW)

    assert step(view, verdict, -behind, hold_s=0, samples=1) == (view, Edge.NONE)


observations = st.lists(
    st.tuples(st.integers(-100, 400), st.sampled_from([V.OK, V.BREACH, V.BREACH, V.BREACH, V.UNKNOWN])),
    max_size=60,
)


@settings(max_examples=400)
@given(observations=observations, hold_s=st.integers(0, 600), wanted=st.integers(1, 6))
def test_it_fires_exactly_when_hold_and_samples_are_covered(
    observations: list[tuple[int, Verdict]], hold_s: int, wanted: int
) -> None:
    """Against a second, simpler bookkeeping: time counts only as far as the next observation vouches for it."""
    view, now, newest = View(), 0, None
    covered, count, firing, episodes = 0.0, 0, False, 0

    for passed, verdict in observations:
        now += passed  # negative: out of order, or a clock that went back
        view, edge = step(view, verdict, now, hold_s=hold_s, samples=wanted)

        is_new = verdict is not V.UNKNOWN and (newest is None or now > newest)
        expected = Edge.NONE
        if is_new and verdict is V.OK:
            expected = Edge.RESOLVED if firing else Edge.NONE
            covered, count, firing = 0.0, 0, False
        elif is_new:
            covered += min(now - newest, MAX_AGE.total_seconds()) if count else 0.0
            count += 1
            if not firing and count >= wanted and covered >= hold_s:
                expected, firing, episodes = Edge.FIRED, True, episodes + 1
        newest = now if is_new else newest
        assert edge is expected
        assert view.episode == episodes
        assert (view.phase == "firing") is firing


@given(observations=observations, jump=st.integers(3600, 30 * 86400), where=st.integers(0, 60))
def test_a_jump_of_the_clock_makes_nothing_fire_that_would_not(
    observations: list[tuple[int, Verdict]], jump: int, where: int
) -> None:
    hold_s, wanted = 600, 3
    breaches = 0
    view, now = View(), 0

    for number, (passed, verdict) in enumerate(observations):
        now += abs(passed) + 1 + (jump if number == where else 0)
        view, edge = step(view, verdict, now, hold_s=hold_s, samples=wanted)
        breaches = breaches + 1 if verdict is V.BREACH else 0 if verdict is V.OK else breaches
        if edge is Edge.FIRED:
            assert (breaches - 1) * MAX_AGE.total_seconds() >= hold_s


def test_the_usual_story_of_a_player_that_hangs() -> None:
    view, edges = View(), []

    for seconds in range(0, 181, 30):
        view, edge = step(view, V.BREACH, seconds, hold_s=120)
        edges.append(edge)
    view, resolved = step(view, V.OK, 210)

    assert edges == [Edge.NONE] * 4 + [Edge.FIRED, Edge.NONE, Edge.NONE]
    assert resolved is Edge.RESOLVED
    assert view == View(phase="ok", last_sample_at=at(210), episode=1, changes=(at(0), at(210)))


def test_an_outage_of_the_cms_is_not_time_that_a_player_was_down() -> None:
    """Two samples before the outage, one right after it, when nobody has reconnected yet: that is no hold."""
    view = View()
    for seconds in (0, 30):
        view, _edge = step(view, V.BREACH, seconds, hold_s=600)
    for seconds in range(60, 3600, 30):
        view, _edge = step(view, V.UNKNOWN, seconds, hold_s=600)

    view, edge = step(view, V.BREACH, 3600, hold_s=600)

    assert edge is Edge.NONE
    assert view.phase == "pending"


def test_the_same_observation_seen_often_counts_once() -> None:
    view, _edge = step(View(), V.BREACH, 0, hold_s=0)
    for _time in range(10):
        view, edge = step(view, V.BREACH, 0, hold_s=0)

    assert (view.samples, edge) == (1, Edge.NONE)


def test_one_episode_fires_once_and_the_next_one_again() -> None:
    view, fired = View(), 0

    for minute in range(60):
        verdict = V.OK if minute % 20 == 19 else V.BREACH
        view, edge = step(view, verdict, minute * 60, hold_s=120)
        fired += edge is Edge.FIRED

    assert (fired, view.episode) == (3, 3)


# --- after a gap ---------------------------------------------------------------------------------


@given(view=views)
def test_what_was_pending_is_learned_anew_after_a_gap(view: View) -> None:
    after = forget(view, now=at(5000))

    if view.phase == "pending":
        assert (after.phase, after.since, after.samples) == ("ok", None, 0)
    else:
        assert after == view
    assert after.episode == view.episode


@pytest.mark.parametrize(("down_since", "phase"), [(None, "firing"), (-10, "firing"), (10, "ok")])
def test_what_fired_before_a_gap_fires_again_only_for_another_outage(
    down_since: int | None, phase: str
) -> None:
    view = View("firing", at(-900), 9, at(0), 1)

    after = forget(view, now=at(5000), down_since=None if down_since is None else at(down_since))

    assert after.phase == phase


def test_a_sample_of_the_future_does_not_blind_the_job() -> None:
    view = View("pending", at(0), 2, at(3600), 0)  # the clock was an hour ahead

    after = forget(view, now=at(30))
    again, _edge = step(after, V.BREACH, 40)

    assert after.last_sample_at is None
    assert (again.phase, again.since, again.samples) == ("pending", at(40), 1)


# --- many at once --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "bad", "known", "mass"),
    [
        ("site", 1, 1, False), ("site", 1, 2, False), ("site", 2, 2, True), ("site", 2, 4, True), ("site", 2, 5, False),
        ("site", 3, 6, True), ("site", 3, 7, False), ("outer_ip", 2, 3, True), ("outer_ip", 1, 3, False),
        ("exporter", 1, 1, False), ("exporter", 2, 2, True), ("exporter", 2, 3, False), ("exporter", 3, 4, True),
        ("exporter", 3, 15, True), ("exporter", 3, 16, False), ("exporter", 4, 20, True), ("platform", 12, 60, True),
        ("platform", 11, 60, False), ("platform", 2, 100, False), ("cms", 3, 15, True), ("cms", 20, 101, False),
        ("platform", 0, 0, False), ("site", 0, 5, False),
    ],
)  # fmt: skip
def test_so_many_at_once_have_a_common_cause(scope: str, bad: int, known: int, mass: bool) -> None:
    assert is_mass(Peers(scope, "s", "t", bad, known)) is mass


@given(scope=st.sampled_from(["site", "outer_ip", "exporter", "platform", "cms"]), known=st.integers(2, 500))
def test_more_of_the_same_group_are_never_less_of_a_mass(scope: str, known: int) -> None:
    answers = [is_mass(Peers(scope, "s", "t", bad, known)) for bad in range(known + 1)]

    assert answers == sorted(answers)
    assert answers[-1] is True
    assert answers[0] is answers[1] is False


def test_a_platform_is_told_its_own_figures_only() -> None:
    assert Peers("cms", "s", "t", 40, 100, own=(3, 6)).figures == {"bad": 3, "known": 6}
    assert Peers("site", "s", "t", 2, 4).figures == {"bad": 2, "known": 4}


# --- what is raised stays raised for a while -------------------------------------------------------


def test_a_value_between_the_thresholds_keeps_what_is_raised_and_raises_nothing() -> None:
    between = Reading(False, NOW, lingers=True)

    assert judge(between, max_age=MAX_AGE, now=NOW) is V.OK
    assert judge(between, max_age=MAX_AGE, now=NOW, is_raised=True) is V.BREACH
    assert judge(replace(between, breach=None), max_age=MAX_AGE, now=NOW, is_raised=True) is V.UNKNOWN


def kept(view: View, verdict: Verdict, seconds: float, *, keep_s: float = 100) -> tuple[View, Edge]:
    return advance(
        view, verdict, observed_at=at(seconds), hold=timedelta(), fresh_samples=1, max_gap=MAX_AGE,
        keep=timedelta(seconds=keep_s),
    )  # fmt: skip


def test_what_is_raised_stays_so_until_all_was_well_long_enough() -> None:
    view, edges = View(), []
    for seconds, verdict in [
        (0, V.BREACH),
        (60, V.OK),
        (120, V.OK),
        (130, V.BREACH),
        (190, V.OK),
        (289, V.OK),
        (290, V.OK),
    ]:
        view, edge = kept(view, verdict, seconds)
        edges.append((view.phase, str(edge)))

    assert edges == [
        ("firing", "fired"), ("recovering", "none"), ("recovering", "none"), ("firing", "again"),
        ("recovering", "none"), ("recovering", "none"), ("ok", "resolved"),
    ]  # fmt: skip
    assert view.episode == 1
    assert [round((when - NOW).total_seconds()) for when in view.changes] == [0, 60, 130, 190]


@given(verdicts=st.lists(st.sampled_from([V.OK, V.BREACH, V.UNKNOWN]), max_size=40))
def test_however_it_goes_one_episode_is_one_edge_up_and_at_most_one_down(verdicts: list[Verdict]) -> None:
    view, up, down = View(), 0, 0
    for number, verdict in enumerate(verdicts):
        view, edge = kept(view, verdict, 30 * number)
        up += edge is Edge.FIRED
        down += edge is Edge.RESOLVED
        assert 0 <= up - down <= 1
        assert (up - down == 1) == (view.phase in ("firing", "recovering"))
    assert view.episode == up


def test_flapping_is_so_many_changes_within_the_window_and_ends_when_they_are_old() -> None:
    changes = tuple(at(seconds) for seconds in (-3600, -1800, -900, -60))

    def until(most: int, now_s: float = 0) -> object:
        return flapping_until(changes, most=most, window=timedelta(hours=1), now=at(now_s))

    assert until(3) == at(-1800 + 3600)
    assert until(4) is None, "one of them is an hour old"
    assert until(2, now_s=1799) == at(-900 + 3600)
    assert until(3, now_s=1800) is None
    assert until(0) is None
    assert until(1, now_s=-10000) is None, "a clock that went back"
