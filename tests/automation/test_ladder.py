"""The ladder of a job: soft step, power cycle, a longer one, a person; each step waits for its own proof."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from automation.ladder import CYCLE, Do, rung_of, validate_ladder
from automation.models import ActionCall, ActionRun, Case, Job, Webhook
from automation.selectors import being_repaired, case_lines, ladder_lines, with_proposals
from automation.services import actions, attempts, cases
from automation.services.cases import advance_case, approve, proposal_until, repair_now
from devices.models import Command
from notifications.models import Notice
from platforms import switches
from platforms.models import AuditEvent, Platform, User
from sms.models import SmsMessage
from tests.automation.receiver import Receiver
from tests.automation.world import World, fresh, refusals, told
from tests.factories import make_platform, make_user, minutes
from tests.together import together

pytestmark = pytest.mark.django_db
SOFT = {"do": "webhook", "wait_s": 180}
SHORT = {"do": "cycle", "minutes": 1, "wait_s": 900}
LONG = {"do": "cycle", "minutes": 5, "wait_s": 900}
NOTICE = {"do": "notice", "wait_s": 120}
WAIT = {"do": "wait", "wait_s": 240}


@pytest.fixture
def hook(north: Platform, receiver: Receiver) -> Webhook:
    return Webhook.objects.create(platform=north, name="Restart", url=receiver.url, secret="webhook-secret")


def make_world(north: Platform, *steps: dict[str, Any], hook: Webhook | None = None, **job: Any) -> World:
    Platform.objects.filter(pk=north.pk).update(sms_people_share_ratio=0, sms_limit=1000)
    north.refresh_from_db()
    ladder = [{**step, "webhook": hook.pk} if step["do"] == "webhook" and hook else step for step in steps]
    return World(platform=north, ladder=ladder, **{"cooldown_s": 0, **job})


def call(world: World) -> list[str]:
    """What the queue does: carry out what is asked for, and take the case's next step."""
    for row in ActionCall.objects.filter(state="queued"):
        actions.run_call(row.pk, now=world.now)
        advance_case(row.case_id, now=world.now)
    return list(ActionCall.objects.order_by("created_at").values_list("state", flat=True))


def turns(world: World, count: int) -> None:
    for _turn in range(count):
        world.turn()
        call(world)


def tried(case: Case) -> list[tuple[int, str, str]]:
    return [(run.rung, run.step["do"], run.state) for run in case.runs.order_by("attempt")]


def texts(case: Case) -> list[str]:
    return list(Command.objects.filter(case_id=case.pk).order_by("created_at").values_list("body", flat=True))


# --- the climb -----------------------------------------------------------------------------------


def test_each_step_waits_for_its_own_proof_and_the_last_one_is_a_person(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, SOFT, SHORT, LONG, hook=hook)
    player = world.players[0]
    case = world.until_fired(player)
    began = world.now
    call(world)

    turns(world, 2)
    assert (len(receiver.got), world.sent()) == (1, []), "the soft step has three minutes"
    turns(world, 1)
    assert texts(case) == ["#12#0#1#1#"]
    assert world.now - began == minutes(3)
    turns(world, 15)
    assert texts(case) == ["#12#0#1#1#", "#12#0#5#1#"]
    turns(world, 15)

    case = fresh(case)
    assert (case.state, case.outcome) == ("escalated", "not_back_in_time")
    assert tried(case) == [(1, "webhook", "failed"), (2, "cycle", "failed"), (3, "cycle", "failed")]
    assert world.sent() == [world.socket_of(player).msisdn] * 2
    assert told(case) == ["opened", "acted", "action_done", "acted", "acted", "escalated"]


def test_a_soft_step_that_helps_costs_no_sms(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    case = world.until_fired(world.players[0])
    call(world)
    world.recover()

    turns(world, 8)

    case = fresh(case)
    assert (case.state, case.outcome) == ("verified", "repaired_softly")
    assert tried(case) == [(1, "webhook", "done")]
    assert world.sent() == []


@pytest.mark.parametrize(("status", "soon"), [(404, True), (500, False)])
def test_a_soft_step_that_fails_leads_on_at_once_and_one_in_doubt_after_its_wait(
    north: Platform, hook: Webhook, receiver: Receiver, status: int, soon: bool
) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    receiver.status = status
    case = world.until_fired(world.players[0])

    call(world)

    assert bool(texts(case)) is soon
    turns(world, 3)
    assert len(texts(case)) == 1
    assert len(receiver.got) == 1, "neither is called twice"


def test_a_soft_step_in_doubt_is_never_said_to_have_helped(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    receiver.status = 500
    case = world.until_fired(world.players[0])
    call(world)
    world.recover()

    turns(world, 8)

    assert (fresh(case).state, fresh(case).outcome) == ("verified", "recovered")


def test_what_switches_nothing_asks_no_guard_and_no_budget(north: Platform) -> None:
    world = make_world(north, NOTICE, WAIT, SHORT)
    Platform.objects.update(sms_limit=0)
    boss = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])
    call(world)

    assert Notice.objects.get(case=case).deliveries.filter(user=boss).exists()
    turns(world, 2)
    assert tried(fresh(case))[-1][1] == "wait"
    turns(world, 4)

    assert tried(fresh(case)) == [(1, "notice", "failed"), (2, "wait", "running")]
    assert set(refusals(case)) == {"budget_sms_limit"}


def test_a_step_that_the_socket_cannot_do_is_left_out(north: Platform) -> None:
    never = {"do": "cycle", "minutes": 700, "wait_s": 600}  # the way of ON and OFF takes an hour at most
    world = make_world(north, never, SHORT)
    for socket in world.sockets:
        socket.model.templates.filter(power="cycle").delete()
    case = world.until_fired(world.players[0])

    assert tried(fresh(case))[0] == (1, "cycle", "skipped")
    assert tried(fresh(case))[1][:2] == (2, "cycle")
    assert "step_skipped" in told(case)


def test_no_data_at_the_end_of_a_soft_step_switches_nothing(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    case = world.until_fired(world.players[0])
    call(world)
    world.hush(world.players[0])

    turns(world, 40)

    assert world.sent() == []
    assert (fresh(case).state, fresh(case).outcome) == ("escalated", "guards_refuse")
    assert "evidence_no_data" in refusals(case)


# --- guards hold for each step that acts ---------------------------------------------------------


def test_a_stop_holds_the_soft_step(north: Platform, hook: Webhook, receiver: Receiver, root: User) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    switches.engage(scope="platform", platform=north, reason="x", by=root, now=world.now)
    case = world.until_fired(world.players[0])
    call(world)

    assert (receiver.got, set(refusals(case))) == ([], {"kill_switch_platform"})


def test_the_pause_holds_for_soft_steps_too(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, SOFT, hook=hook, cooldown_s=3600)
    case = world.until_fired(world.players[0])
    call(world)
    world.recover()
    turns(world, 8)
    assert fresh(case).state == "verified"

    again = world.until_fired(world.players[0])
    call(world)

    assert len(receiver.got) == 1
    assert set(refusals(again)) == {"cooldown_too_soon"}


def test_few_players_at_once_are_asked_softly(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    """Too few of many to be a common cause, too many to be called all at once."""
    world = World(
        platform=north, players=40, cooldown_s=0, ladder=[{**SOFT, "webhook": hook.pk}], hold_s=120, fresh_samples=1
    )  # fmt: skip
    world.turns(2)
    for player in world.players[:5]:
        world.hang(player)
        world.turn()
    turns(world, 3)

    assert Case.objects.filter(state__in=["acting", "open"]).count() == 5
    assert len(receiver.got) == 3
    assert set(Case.objects.filter(state="open").values_list("refusals__guard", flat=True)) == {
        "blast_radius"
    }


def test_a_power_cycle_does_not_wait_for_the_pause_of_the_soft_step(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook, cooldown_s=3600)
    case = world.until_fired(world.players[0])
    call(world)

    turns(world, 4)

    assert len(texts(case)) == 1


def test_a_job_that_only_watches_calls_nobody(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, NOTICE, SOFT, SHORT, hook=hook, mode="shadow")
    case = world.until_fired(world.players[0])
    turns(world, 5)

    assert (tried(case), receiver.got, ActionCall.objects.count()) == ([], [], 0)


# --- a step is taken once ------------------------------------------------------------------------


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_step_is_taken_once_however_many_advance_the_case(receiver: Receiver) -> None:
    north = make_platform()
    hook = Webhook.objects.create(platform=north, name="Restart", url=receiver.url)
    world = make_world(north, SOFT, SHORT, hook=hook)
    case = world.until_fired(world.players[0], send=False)
    assert ActionRun.objects.count() == 1

    called = together(4, lambda _n: actions.run_call(ActionCall.objects.get().pk, now=world.now))
    assert sorted(map(bool, called)) == [False, False, False, True]
    assert len(receiver.got) == 1

    world.turn(1, send=False)
    later = world.after(3)
    world.poll()
    together(4, lambda _n: advance_case(case.pk, now=later))

    assert list(case.runs.order_by("attempt").values_list("attempt", "rung")) == [(1, 1), (2, 2)]
    assert (Command.objects.count(), SmsMessage.objects.count(), fresh(case).attempts) == (1, 1, 2)


@pytest.mark.databases
def test_a_process_that_dies_in_the_middle_of_a_step_leaves_nothing_behind(
    north: Platform, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(north, SOFT, hook=hook)
    real = attempts.request_action

    def dies(*args: Any, **kwargs: Any) -> ActionCall:
        real(*args, **kwargs)
        raise RuntimeError("killed")

    monkeypatch.setattr(attempts, "request_action", dies)
    case = world.until_fired(world.players[0])
    assert (fresh(case).attempts, case.runs.count(), ActionCall.objects.count()) == (0, 0, 0)

    monkeypatch.setattr(attempts, "request_action", real)
    world.turn()

    assert (fresh(case).attempts, case.runs.count(), ActionCall.objects.count()) == (1, 1, 1)


def test_every_bell_lost_the_sweep_climbs_on(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    case = world.until_fired(world.players[0])
    lost = ActionCall.objects.get()
    ActionCall.objects.update(
        state="sending", lease_until=world.now
    )  # its worker was killed after the barrier

    for _minute in range(5):
        world.sweep_turn()

    lost.refresh_from_db()
    assert (lost.state, receiver.got) == ("unknown", []), "never again by itself"
    assert len(texts(case)) == 1


def test_a_job_changed_meanwhile_calls_nobody(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, SOFT, hook=hook)
    world.until_fired(world.players[0])
    world.change_job(hold_s=601)

    assert call(world) == ["cancelled"]
    assert receiver.got == []


# --- people --------------------------------------------------------------------------------------


def test_a_soft_step_is_proposed_and_approved_by_a_person(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, NOTICE, SOFT, SHORT, hook=hook, mode="suggest")
    person = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])
    turns(world, 3)

    assert tried(case) == [(1, "notice", "running")]
    assert receiver.got == [], "nobody has approved it"
    event = case.events.get(kind="suggested")
    assert (event.data["do"], event.data["webhook"]) == ("webhook", "Restart")
    assert proposal_until(fresh(case), now=world.now) == event.at + cases.SUGGESTION
    assert approve(fresh(case), by=person, now=world.now)
    assert not approve(fresh(case), by=person, now=world.now), "once"
    call(world)

    assert len(receiver.got) == 1
    assert ActionCall.objects.get(kind="webhook").by == "boss"
    asked = AuditEvent.objects.get(verb="action.requested", after__kind="webhook")
    assert asked.actor_id == str(person.pk)


def test_a_job_that_is_switched_off_proposes_nothing_any_more(north: Platform) -> None:
    world = make_world(north, SHORT, mode="suggest")
    person = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])
    assert with_proposals(Case.objects.filter(pk=case.pk)).get().proposed

    Job.objects.filter(pk=case.job_id).update(is_enabled=False)

    rows = with_proposals(Case.objects.select_related("device__site", "job", "parent").filter(pk=case.pk))
    (line,) = case_lines(rows, now=world.now)
    assert "off or gone" in line.step
    assert not line.needs_person
    assert not rows.filter(being_repaired()).exists()
    assert proposal_until(fresh(case), now=world.now) is None
    assert not approve(fresh(case), by=person, now=world.now)
    assert Command.objects.count() == 0


def test_a_proposal_that_nobody_answers_is_over(north: Platform) -> None:
    world = make_world(north, SHORT, mode="suggest")
    person = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])
    late = case.events.get(kind="suggested").at + cases.SUGGESTION

    assert proposal_until(fresh(case), now=late - minutes(1)) == late
    assert proposal_until(fresh(case), now=late) is None
    assert not approve(fresh(case), by=person, now=late)
    assert Command.objects.count() == 0


def test_a_person_who_wants_a_power_cycle_gets_it_and_the_ladder_goes_on_behind_it(
    north: Platform, hook: Webhook, receiver: Receiver
) -> None:
    world = make_world(north, SOFT, SHORT, LONG, hook=hook)
    person = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])

    assert repair_now(case, by=person, now=world.now)
    call(world)
    assert receiver.got == [], "a step that was overtaken is not wanted any more"
    turns(world, 16)

    assert [(rung, do) for rung, do, _state in tried(case)] == [(1, "webhook"), (2, "cycle"), (3, "cycle")]
    assert texts(case) == ["#12#0#1#1#", "#12#0#5#1#"]


def test_a_power_cycle_of_a_person_is_waited_for_where_the_ladder_has_none(
    north: Platform, hook: Webhook, receiver: Receiver, root: User
) -> None:
    world = make_world(north, SOFT, hook=hook)
    switch = switches.engage(scope="platform", platform=north, reason="x", by=root, now=world.now)
    person = make_user("boss", platform=north, role="manager")
    case = world.until_fired(world.players[0])
    assert repair_now(case, by=person, now=world.now)
    switches.release(switch, by=root, now=world.now)

    turns(world, 5)
    assert (len(texts(case)), receiver.got) == (1, [])


def test_the_case_says_where_it_stands(north: Platform, hook: Webhook, receiver: Receiver) -> None:
    world = make_world(north, SOFT, SHORT, hook=hook)
    case = world.until_fired(world.players[0])
    call(world)
    turns(world, 1)
    now = world.now

    row = Case.objects.select_related("device__site", "job", "parent").get(pk=case.pk)
    line = case_lines([row], now=now)[0]

    assert line.deadline_at == now + minutes(2)
    assert "Restart" in line.step
    assert [step.mark for step in ladder_lines(row)] == ["now", "next", "ahead"]
    turns(world, 20)
    row = Case.objects.select_related("device__site", "job", "parent").get(pk=case.pk)
    assert [step.mark for step in ladder_lines(row)] == ["behind", "behind", "now"]


# --- steps are data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {}, "cycle", [1], [{}], [{"do": "nuke", "wait_s": 60}], [{"do": "cycle"}], [{"do": "cycle", "wait_s": 0}],
        [{"do": "cycle", "wait_s": True}], [{"do": "cycle", "wait_s": 86_401}],
        [{"do": "cycle", "wait_s": float("nan")}],
        [{"do": "cycle", "wait_s": 60, "minutes": 0}], [{"do": "cycle", "wait_s": 60, "minutes": 1.5}],
        [{"do": "cycle", "wait_s": 60, "webhook": 1}], [{"do": "webhook", "wait_s": 60}],
        [{"do": "webhook", "wait_s": 60, "webhook": "1"}], [{"do": "wait", "wait_s": 60, "x": 1}],
        [{"do": ["wait"], "wait_s": 60}], [{"do": "wait", "wait_s": 60}] * 9,
    ],
)  # fmt: skip
def test_what_is_no_ladder_is_refused(wrong: Any, north: Platform) -> None:
    with pytest.raises(ValidationError):
        validate_ladder(wrong)
    with pytest.raises(ValidationError) as refused:
        Job(platform=north, name="x", ladder=wrong).full_clean()
    assert "ladder" in refused.value.message_dict


def test_a_ladder_may_not_call_a_webhook_of_others_nor_switch_too_often(north: Platform) -> None:
    theirs = Webhook.objects.create(platform=make_platform(), name="theirs", url="https://example.org/")
    for steps in ([{**SOFT, "webhook": theirs.pk}], [SHORT, SHORT, LONG]):
        with pytest.raises(ValidationError) as refused:
            Job(platform=north, name="x", ladder=steps, max_attempts=2).full_clean()
        assert "ladder" in refused.value.message_dict


def test_a_step_is_stored_as_it_was_written() -> None:
    for step in (SHORT, LONG, NOTICE, WAIT, {**SOFT, "webhook": 3}):
        assert rung_of(step).as_data() == step


def test_a_job_without_a_ladder_has_its_attempts_as_steps(north: Platform) -> None:
    rungs = Job(platform=north, max_attempts=3, verify_s=60).rungs

    assert [rung.do for rung in rungs] == [Do.CYCLE] * 3
    assert {rung.wait for rung in rungs} == {minutes(1)}
    assert CYCLE.minutes is None


def test_the_sweep_alone_needs_no_queue(north: Platform) -> None:
    """A wait ends by itself: no bell rings for it."""
    world = make_world(north, WAIT, SHORT)
    case = world.until_fired(world.players[0])

    for _minute in range(4):
        world.sweep_turn()

    assert len(texts(case)) == 1
