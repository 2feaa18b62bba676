"""The oracle itself: it must call wrong what is wrong, or its silence on a fleet's week says nothing."""

from collections.abc import Callable

import pytest

from tests.automation.fleet.driver import CaseRecord, RefusalRecord, Story
from tests.automation.fleet.oracle import Oracle, Rules
from tests.automation.fleet.truth import Player, Site, Socket, Trouble, Truth

CYCLE = "#12#0#1#1#"


def world(*, players: int = 4, per_site: int = 1) -> Truth:
    """Players p0, p1, ... each on a socket of its own; sites of ``per_site``."""
    truth = Truth(seed=1)
    truth.cms_mode["x/cms"] = "ok"
    for n in range(players):
        site = f"x/s{n // per_site}"
        truth.sites.setdefault(site, Site())
        truth.sockets[f"+{n}"] = Socket(f"+{n}", "x", site)
        truth.players[f"p{n}"] = Player(f"p{n}", "x", site, f"+{n}", "x/cms")
    return truth


def send(truth: Truth, number: str = "+0", text: str = CYCLE, platform: str = "x") -> None:
    truth.accept_sms(number, text, platform=platform, lost=False)


def after_a_failure(truth: Truth, minutes: float = 15, *keys: str) -> Truth:
    truth.advance(10)
    for key in keys or ("p0",):
        truth.fail(key, "dead")
    truth.advance(10 + minutes)
    return truth


def sent_in_time(truth: Truth) -> None:
    send(after_a_failure(truth))


def sent_to_one_that_works(truth: Truth) -> None:
    send(after_a_failure(truth), "+1")


def sent_too_early(truth: Truth) -> None:
    send(after_a_failure(truth, 5))


def blinking(truth: Truth, gap: tuple[float, float]) -> None:
    """It comes back in ``gap`` for a moment; polls are at even minutes."""
    truth.fail("p0", "blip", lasts=gap[0])
    truth.advance(gap[1])
    truth.fail("p0", "dead")
    truth.advance(14)
    send(truth)


def sent_to_one_that_came_back_between_two_polls(truth: Truth) -> None:
    blinking(truth, (8.2, 9.8))


def sent_to_one_that_a_poll_saw_back(truth: Truth) -> None:
    blinking(truth, (7.2, 8.8))


def sent_twice(truth: Truth) -> None:
    send(after_a_failure(truth))
    truth.advance(50)
    send(truth)


def sent_for_another_platform(truth: Truth) -> None:
    send(after_a_failure(truth), platform="y")


def sent_something_else(truth: Truth) -> None:
    send(after_a_failure(truth), text="#02#0#")


def sent_while_many_are_down(truth: Truth) -> None:
    send(after_a_failure(truth, 15, "p0", "p1", "p2"))


def sent_while_stopped(truth: Truth) -> None:
    truth.trouble("stop", "x", lasts=100, on=lambda: None, off=lambda: None)
    send(after_a_failure(truth))


def sent_without_mains(truth: Truth) -> None:
    truth.advance(1)
    truth.cut_mains("x/s0", lasts=100)
    truth.advance(30)
    send(truth)


@pytest.mark.parametrize(
    ("story", "why"),
    [
        (sent_in_time, ""),
        (sent_to_one_that_works, "nobody on it had failed"),
        (sent_too_early, "nobody on it had failed"),
        (sent_to_one_that_came_back_between_two_polls, ""),
        (sent_to_one_that_a_poll_saw_back, "nobody on it had failed"),
        (sent_twice, "again after"),
        (sent_for_another_platform, "not of this platform"),
        (sent_something_else, "not a power cycle"),
        (sent_while_many_are_down, "fell together"),
        (sent_while_stopped, "stopped"),
        (sent_without_mains, "no mains"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value[:12] or "right",
)
def test_it_knows_a_wrong_command(story: Callable[[Truth], None], why: str) -> None:
    truth = world()
    story(truth)

    wrong = Oracle(truth, Story(), Rules(hold=10, step=2)).wrong_commands()

    assert len(wrong) == bool(why)
    assert why in "".join(wrong)


@pytest.mark.parametrize("cases", [0, 1, 2])
def test_a_failure_is_handled_by_exactly_one_case(cases: int) -> None:
    truth = after_a_failure(world(), 120)
    story = Story(cases={n: CaseRecord("p0", 21.0 + n, state="escalated", outcome="x") for n in range(cases)})
    story.refusals.append(RefusalRecord(25, "p0", "kill_switch", "platform"))
    oracle = Oracle(truth, story, Rules(hold=10, step=2))

    failures = oracle.true_failures()

    assert len(failures) == 1
    assert (oracle.handled(failures[0]) == "") is (cases == 1)


@pytest.mark.parametrize(("number", "is_handled"), [("+0", True), ("+1", False)])
def test_an_outcome_that_nobody_knew_is_a_reason_for_a_person(number: str, is_handled: bool) -> None:
    truth = after_a_failure(world(), 120)
    truth.doubtful.append((25.0, number))
    story = Story(cases={0: CaseRecord("p0", 21.0, state="escalated", outcome="outcome_unknown")})
    oracle = Oracle(truth, story, Rules(hold=10, step=2))

    (failure,) = oracle.true_failures()

    assert (oracle.handled(failure) == "") is is_handled


@pytest.mark.parametrize(
    ("outcome", "trouble", "is_handled"),
    [
        ("no_data_after_action", ("cms_down", "x/cms"), True),
        ("no_data_after_action", ("cms_down", "x/other"), False),
        ("no_data_after_action", ("gateway", "x"), False),
        ("command_expired", ("gateway", "x"), True),
        ("command_expired", ("gateway", "y"), False),
        ("command_expired", ("cms_down", "x/cms"), False),
        ("not_back_in_time", ("cms_down", "x/cms"), False),
    ],
)
@pytest.mark.parametrize("at", [100.0, 300.0])
def test_words_of_a_case_are_a_reason_while_they_are_true(
    outcome: str, trouble: tuple[str, str], is_handled: bool, at: float
) -> None:
    truth = after_a_failure(world(), 400)
    truth.troubles.append(Trouble(*trouble, 80.0, 90.0))
    case = CaseRecord("p0", 21.0, state="escalated", outcome=outcome, said={"": 21.0, outcome: at})
    oracle = Oracle(truth, Story(cases={0: case}), Rules(hold=10, step=2))

    (failure,) = oracle.true_failures()

    assert (oracle.handled(failure) == "") is (is_handled and at == 100.0)


@pytest.mark.parametrize(("scope", "is_handled"), [("platform", True), ("site", False)])
def test_whoever_waits_with_many_has_a_reason_when_there_were_many(scope: str, is_handled: bool) -> None:
    truth = world()
    truth.cms_mode["x/other"] = "ok"
    truth.players["p3"].cms = "x/other"
    truth.break_cms("x/other", "all_offline", lasts=30)
    after_a_failure(truth, 90)
    truth.repair("p0")
    truth.advance(120)
    case = CaseRecord(
        "p0", 21.0, closed=105.0, state="verified", outcome="recovered_alone", held={scope: 21.0}
    )
    oracle = Oracle(truth, Story(cases={0: case}), Rules(hold=10, step=2))

    (failure,) = oracle.true_failures()

    assert (oracle.handled(failure) == "") is is_handled


@pytest.mark.parametrize(("reason", "is_explained"), [("platform", True), ("site", False)])
def test_a_cms_of_the_platform_that_lied_explains_only_what_was_said_of_the_platform(
    reason: str, is_explained: bool
) -> None:
    truth = world()
    truth.cms_mode["x/other"] = "ok"
    truth.players["p3"].cms = "x/other"
    truth.break_cms("x/other", "all_offline", lasts=30)
    after_a_failure(truth)
    story = Story(refusals=[RefusalRecord(25, "p0", "mass_change", reason)])

    unexplained = Oracle(truth, story, Rules(hold=10, step=2)).unexplained()

    assert (not unexplained) is is_explained


@pytest.mark.parametrize(
    ("guard", "reason"),
    [
        ("kill_switch", "platform"), ("upstream", "cms_in_doubt"), ("cooldown", "too_soon"), ("power", "no_mains"),
        ("mass_change", "site"), ("evidence", "not_offline"), ("flapping", "changes_too_often"),
        ("blast_radius", "gateway_pace"), ("a new guard", "that nobody has taught the oracle"),
    ],
)  # fmt: skip
def test_a_refusal_that_is_not_true_is_unexplained(guard: str, reason: str) -> None:
    truth = after_a_failure(world(), 200)
    oracle = Oracle(truth, Story(refusals=[RefusalRecord(200, "p0", guard, reason)]), Rules(hold=10, step=2))

    assert oracle.unexplained() == {f"{guard}/{reason}": 1}


@pytest.mark.parametrize(("times", "is_explained"), [(2, False), (3, True)])
def test_flapping_is_what_went_and_came_so_often_within_an_hour(times: int, is_explained: bool) -> None:
    truth = world()
    for n in range(times):
        truth.advance(10.0 * (n + 1))
        truth.fail("p0", "blip", lasts=4)
    truth.advance(60)
    story = Story(refusals=[RefusalRecord(60, "p0", "flapping", "changes_too_often")])

    unexplained = Oracle(truth, story, Rules(hold=10, step=2)).unexplained()

    assert (not unexplained) is is_explained


@pytest.mark.parametrize(("platform", "is_explained"), [("x", True), ("y", False)])
def test_a_gateway_is_busy_with_what_waits_for_it(platform: str, is_explained: bool) -> None:
    truth = after_a_failure(world(), 60)
    truth.troubles.append(Trouble("gateway", platform, 30.0, 60.0))
    story = Story(refusals=[RefusalRecord(70, "p0", "blast_radius", "gateway_pace")])

    unexplained = Oracle(truth, story, Rules(hold=10, step=2)).unexplained()

    assert (not unexplained) is is_explained
