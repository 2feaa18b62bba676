"""A case from its evidence to its proof, or to a person; and every way in which it must not send an SMS."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automation.engine import Reading
from automation.models import ActionRun, Case, GuardRefusal, Job
from automation.services import cases, upstreams
from automation.services.cases import acknowledge, advance_case, advance_platform, cancel_case, repair_now
from devices.errors import CommandForbidden
from devices.models import Command, Device
from devices.services import link_power, remove_device
from exporters.models import Exporter
from platforms import switches
from platforms.models import AuditEvent, Platform, User
from sms.models import SmsMessage
from tests.automation.world import World, fresh, refusals, told
from tests.factories import NOW, make_job, make_platform, make_user, minutes
from tests.together import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    return World()


# --- the story -----------------------------------------------------------------------------------


def test_a_hung_player_is_repaired_by_one_sms_and_the_case_proves_it(world: World) -> None:
    player = world.players[0]
    case = world.until_fired(player)
    fired_at = world.now
    world.after(0.2)
    reply = world.reply(player)
    world.recover(player)
    world.turns(10)

    case = fresh(case)
    assert fired_at == NOW + minutes(3 + 10), "hold counts from the first observation"
    assert (case.state, case.outcome, case.attempts) == ("verified", "repaired", 1)
    assert reply == "matched"
    assert world.sent() == [world.socket_of(player).msisdn]
    assert world.commands(player) == ["verified"]
    assert told(case) == ["opened", "acted", "back", "verified"]
    assert list(case.runs.values_list("state", "reason")) == [("done", "repaired")]
    verbs = AuditEvent.objects.filter(cause_id=case.cause_id).order_by("at").values_list("verb", flat=True)
    assert [verb for verb in verbs if not verb.startswith("sms.")] == [
        "case.opened", "command.requested", "command.replied", "case.verified",
    ]  # fmt: skip


def test_nothing_happens_before_hold_and_samples(world: World) -> None:
    player = world.players[0]
    world.turns(2)
    world.hang(player)

    world.turns(10)

    assert world.case_of(player) is None
    assert world.sent() == []


def test_two_attempts_then_a_person(db: None) -> None:
    world = World(cooldown_s=0)
    player = world.players[0]
    case = world.until_fired(player)

    world.wait(60)

    case = fresh(case)
    assert (case.state, case.outcome, case.attempts) == ("escalated", "not_back_in_time", 2)
    assert world.sent() == [world.socket_of(player).msisdn] * 2
    assert told(case) == ["opened", "acted", "acted", "escalated"]
    assert case.notices_sent == 1
    assert list(case.runs.order_by("attempt").values_list("attempt", "state")) == [
        (1, "failed"),
        (2, "failed"),
    ]
    acted = list(
        Command.objects.filter(target=player).order_by("created_at").values_list("created_at", flat=True)
    )
    assert acted[1] - acted[0] >= minutes(15)


def test_an_escalated_case_closes_when_the_player_comes_back_after_all(db: None) -> None:
    world = World(cooldown_s=0)
    player = world.players[0]
    case = world.until_fired(player)
    world.wait(60)

    world.recover(player)
    world.turns(8)

    case = fresh(case)
    assert (case.state, case.outcome) == ("verified", "repaired")
    assert len(world.sent()) == 2


def test_the_cooldown_stands_between_two_attempts(world: World) -> None:
    player = world.players[0]
    case = world.until_fired(player)

    world.wait(50)

    row = GuardRefusal.objects.get(case=case, guard="cooldown")
    command = Command.objects.get(target=player)
    assert len(world.sent()) == 1
    assert row.lifts_at == command.sent_at + minutes(60)
    assert fresh(case).state == "acting"
    world.wait(15)
    assert len(world.sent()) == 2


def test_a_player_that_comes_back_by_itself_costs_nothing(db: None) -> None:
    world = World(mode="suggest")
    player = world.players[0]
    case = world.until_fired(player)

    world.recover(player)
    world.turns(8)

    case = fresh(case)
    assert (case.state, case.outcome, case.attempts) == ("verified", "recovered_alone", 0)
    assert world.sent() == []


def test_a_player_that_falls_again_before_it_is_stable_must_hold_again(db: None) -> None:
    """One glimpse of it online, then offline again: that is no ground to act at once."""
    world = World(mode="suggest")
    player = world.players[0]
    case = world.until_fired(player)
    world.recover(player)
    world.turns(2)
    world.change_job(mode="auto")
    world.hang(player)

    world.turns(9)
    early = len(world.sent())
    world.turns(3)

    assert "fell_again" in told(case)
    assert (early, len(world.sent())) == (0, 1)
    assert refusals(case)["evidence_not_long_enough"] > 1


def test_a_player_that_falls_again_after_the_action_waits_for_its_window(world: World) -> None:
    player = world.players[0]
    case = world.until_fired(player)
    world.recover(player)
    world.turns(2)
    world.hang(player)

    world.turns(5)

    assert told(case)[-1] == "fell_again"
    assert (fresh(case).state, fresh(case).attempts) == ("acting", 1)
    assert len(world.sent()) == 1


# --- what stops a command that is on its way -----------------------------------------------------


def queued(world: World) -> tuple[Case, Command]:
    """A case whose command waits in the outbox."""
    case = world.until_fired(world.players[0], send=False)
    command = Command.objects.get(case_id=case.pk)
    assert command.state == "queued"
    return case, command


def state_of(command: Command) -> tuple[str, str]:
    command.refresh_from_db()
    return command.state, command.failure_reason


def test_a_condition_that_cleared_meanwhile_supersedes_the_command(world: World) -> None:
    case, command = queued(world)
    world.recover()
    world.after(1)
    world.poll()

    world.pump.run_once()
    world.turns(8)

    assert state_of(command) == ("superseded", "condition_cleared")
    assert world.sent() == []
    assert (fresh(case).state, fresh(case).outcome) == ("verified", "recovered_alone")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"params": {"minutes": 2}}, "superseded"),
        ({"is_enabled": False}, "superseded"),
        ({"mode": "shadow"}, "superseded"),
        ({"mode": "suggest"}, "superseded"),
    ],
)
def test_a_job_changed_meanwhile_sends_nothing_of_the_old_version(
    world: World, change: dict[str, Any], state: str
) -> None:
    _case, command = queued(world)

    world.change_job(**change)
    world.pump.run_once()

    assert state_of(command) == (state, "job_changed")
    assert world.sent() == []


@pytest.mark.parametrize("change", [{"mode": "shadow"}, {"mode": "suggest"}, {"is_enabled": False}])
def test_a_job_that_may_not_act_any_more_makes_no_second_attempt(db: None, change: dict[str, Any]) -> None:
    world = World(cooldown_s=0)
    case = world.until_fired(world.players[0])
    world.change_job(**change)

    world.wait(60)

    assert len(world.sent()) == 1
    assert Command.objects.count() == 1
    assert fresh(case).state in ("escalated", "acting")


def test_a_job_deleted_meanwhile_leaves_its_cases_to_people(db: None) -> None:
    world = World(cooldown_s=0)
    case = world.until_fired(world.players[0], send=False)
    Job.objects.all().delete()

    world.pump.run_once()
    world.turns(3)

    assert world.sent() == []
    assert (fresh(case).state, fresh(case).outcome) == ("escalated", "command_superseded")


def test_a_changed_job_tries_again_under_its_new_version(world: World) -> None:
    case, command = queued(world)
    world.change_job(params={"minutes": 2})

    world.pump.run_once()
    world.turn()

    assert state_of(command)[0] == "superseded"
    newer = Command.objects.exclude(pk=command.pk).get(case_id=case.pk)
    assert (newer.body, newer.state) == ("#12#0#2#1#", "sent")


@pytest.mark.parametrize("scope", ["global", "platform", "job", "device", "socket", "neighbour"])
def test_a_stop_reaches_what_is_queued_already(world: World, scope: str, root: User) -> None:
    player, socket = world.players[0], world.sockets[0]
    neighbour = world.add_player(socket=socket)
    world.job.devices.set(world.players[:6])
    world.hang(neighbour)
    _case, command = queued(world)
    target = {"job": world.job.pk, "device": player.pk, "socket": socket.pk, "neighbour": neighbour.pk}.get(
        scope
    )
    switches.engage(
        scope="device" if scope in ("socket", "neighbour") else scope, reason="stop", by=root, now=world.now,
        platform=None if scope == "global" else world.platform, target_id=target,
    )  # fmt: skip

    world.pump.run_once()
    world.turns(5)

    assert world.sent() == []
    assert state_of(command)[0] == "blocked"
    assert refusals(Case.objects.get(device=player))


def test_one_stop_reaches_every_queued_command(root: User) -> None:
    world = World(players=30)
    world.turns(2)
    for player in world.players[:3]:
        world.hang(player)
        world.turns(11, send=False)
    Command.objects.update(expires_at=world.now + minutes(60))
    SmsMessage.objects.update(expires_at=world.now + minutes(60))
    waiting = Command.objects.filter(state="queued").count()

    switches.engage(scope="global", reason="stop", by=root, now=world.now)
    world.pump.run_once()

    assert waiting >= 2
    assert set(Command.objects.values_list("state", flat=True)) <= {"blocked", "expired"}
    assert world.sent() == []


def test_the_case_says_why_automation_is_stopped(world: World, root: User) -> None:
    switches.engage(scope="platform", platform=world.platform, reason="works on site", by=root, now=NOW)

    case = world.until_fired(world.players[0])
    world.turns(3)

    event = case.events.get(kind="refused")
    assert event.data == {"guard": "kill_switch", "reason": "works on site"}
    assert refusals(case) == {"kill_switch_platform": 4}


def test_a_power_link_moved_meanwhile_keeps_the_command_from_the_wrong_socket(world: World) -> None:
    _case, command = queued(world)
    link_power(device=world.players[0], socket=world.sockets[1], line=1)

    world.pump.run_once()

    assert state_of(command) == ("blocked", "power_link_changed")
    assert world.sent() == []


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("silence", "evidence_no_data"),
        ("outage", "evidence_no_data"),
        ("old", "evidence_stale"),
        ("doubt", "upstream_cms_in_doubt"),
        ("mass", "mass_change_platform"),
        ("mains", "power_no_mains"),
        ("neighbour", "power_feeds_healthy_players"),
    ],
)
def test_evidence_that_went_bad_meanwhile_stops_the_command(world: World, trouble: str, reason: str) -> None:
    player, socket = world.players[0], world.sockets[0]
    neighbour = world.add_player(socket=socket)
    world.job.devices.set(world.players[:6])
    world.hang(neighbour)
    _case, command = queued(world)
    world.after(1)
    if trouble == "silence":
        world.hush(player)
    elif trouble == "outage":
        world.cms_is_up = False
    elif trouble == "mass":
        world.hang(*world.players)
    elif trouble == "mains":
        world.reply(player, "MAINS LOST")
    elif trouble == "neighbour":
        world.recover(neighbour)
    elif trouble == "old":
        world.after(2)
    if trouble != "old":
        world.poll()
    if trouble == "doubt":
        Exporter.objects.update(suspect_reason="half_missing")

    world.pump.run_once()

    assert state_of(command) == ("blocked", reason)
    assert world.sent() == []


def test_a_case_cancelled_by_a_person_sends_nothing(world: World, root: User) -> None:
    case, command = queued(world)

    ended = cancel_case(case, by=root, reason="we are on site", now=world.now)
    world.pump.run_once()
    world.turns(3)

    case = fresh(case)
    assert (ended, case.state, case.outcome) == (True, "cancelled", "cancelled")
    assert state_of(command) == ("superseded", "case_closed")
    assert world.sent() == []
    assert case.runs.get().state == "failed"
    assert Case.objects.count() == 1, "and it is not opened again while the player stays as it was"
    assert cancel_case(case, by=root, reason="again", now=world.now) is False


def test_two_players_on_one_socket_cost_one_sms(db: None) -> None:
    world = World(players=6, cooldown_s=3600)
    first, socket = world.players[0], world.sockets[0]
    second = world.add_player(socket=socket)
    world.until_fired(first, second)

    world.turns(5)
    world.recover()
    world.turns(10)

    assert world.sent() == [socket.msisdn]
    assert {case.state for case in Case.objects.filter(kind="device")} == {"verified"}


def test_a_second_case_on_the_socket_does_not_act_while_it_is_dark_by_the_first(db: None) -> None:
    world = World(players=6, cooldown_s=0)
    first, socket = world.players[0], world.sockets[0]
    second = world.add_player(socket=socket)
    world.until_fired(first, second)

    world.turns(9)

    assert world.sent() == [socket.msisdn]
    waiting = Case.objects.filter(device__in=[first, second]).exclude(attempts=1).get()
    assert {"lane_socket_busy", "evidence_dark_by_our_cycle"} & set(refusals(waiting))


# --- modes ---------------------------------------------------------------------------------------


def test_shadow_records_and_never_sends(db: None) -> None:
    world = World(mode="shadow")
    case = world.until_fired(world.players[0])

    world.wait(120)

    assert (fresh(case).state, told(case)) == ("open", ["opened"])
    assert not Command.objects.exists()


def test_suggest_says_so_once_and_never_sends(db: None) -> None:
    world = World(mode="suggest")
    case = world.until_fired(world.players[0])

    world.wait(20)

    case = fresh(case)
    assert (case.state, told(case), case.notices_sent) == ("open", ["opened", "suggested"], 1)
    assert not Command.objects.exists()


def test_a_proposal_expires_for_all_to_see_and_may_still_be_done(db: None) -> None:
    world = World(mode="suggest")
    person = make_user("anna", platform=world.platform, role="manager")
    case = world.until_fired(world.players[0])
    proposed = case.events.get(kind="suggested").at

    deadline = fresh(case).deadline_at
    world.wait(35)
    case = fresh(case)

    assert deadline == proposed + minutes(30)
    assert (case.state, case.outcome, case.notices_sent) == ("escalated", "suggestion_expired", 2)
    assert repair_now(case, by=person, now=world.now)


def test_a_person_who_approves_sends_it(db: None) -> None:
    world = World(mode="suggest")
    person = make_user("anna", platform=world.platform, role="manager")
    case = world.until_fired(world.players[0])

    approved = repair_now(case, by=person, now=world.now)
    again = repair_now(case, by=person, now=world.now)
    world.turn()

    command = Command.objects.get()
    assert (approved, again) == (True, False)
    assert (command.source, command.actor, command.state) == ("person", person, "sent")
    assert len(world.sent()) == 1


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"mode": "shadow"}, {"params": {"minutes": 3}}])
def test_what_a_person_asked_for_goes_on_when_the_job_changes(db: None, change: dict[str, Any]) -> None:
    world = World(mode="suggest")
    person = make_user("anna", platform=world.platform, role="manager")
    case = world.until_fired(world.players[0])
    repair_now(case, by=person, now=world.now)

    world.change_job(**change)
    world.pump.run_once()

    assert len(world.sent()) == 1


def test_a_person_may_not_ask_without_the_right(db: None) -> None:
    world = World(mode="suggest")
    viewer = make_user("vera", platform=world.platform, role="viewer")
    case = world.until_fired(world.players[0])

    with pytest.raises(CommandForbidden):
        repair_now(case, by=viewer, now=world.now)

    assert not Command.objects.exists()
    assert (fresh(case).state, fresh(case).attempts) == ("open", 0)


def test_a_person_may_ask_again_although_automation_must_pause(world: World) -> None:
    person = make_user("anna", platform=world.platform, role="manager")
    case = world.until_fired(world.players[0])
    world.turn()
    world.reply(world.players[0])
    world.turns(20)

    asked = repair_now(case, by=person, now=world.now)
    world.pump.run_once()

    assert asked is True
    assert len(world.sent()) == 2


def test_a_refused_request_of_a_person_leaves_the_case_where_it_is(db: None) -> None:
    world = World(cooldown_s=0)
    person = make_user("anna", platform=world.platform, role="manager")
    case = world.until_fired(world.players[0])
    world.wait(60)
    assert fresh(case).state == "escalated"
    world.hush(world.players[0])
    world.turn()

    asked = repair_now(case, by=person, now=world.now)
    world.turns(3)

    case = fresh(case)
    assert asked is False
    assert (case.state, case.notices_sent) == ("escalated", 1)
    assert refusals(case)["evidence_no_data"] == 1


def test_a_person_takes_a_case_once(world: World) -> None:
    anna, boris = (make_user(name, platform=world.platform, role="manager") for name in ("anna", "boris"))
    case = world.until_fired(world.players[0])

    answers = [acknowledge(case, by=anna, now=world.now), acknowledge(case, by=boris, now=world.now)]

    assert answers == [True, False]
    assert fresh(case).acknowledged_by == anna
    assert AuditEvent.objects.filter(verb="case.acknowledged").count() == 1


@pytest.mark.databases
def test_long_names_and_reasons_do_not_stop_a_person(world: World) -> None:
    person = make_user("a", platform=world.platform, role="admin", first_name="N" * 150, last_name="M" * 150)
    case = world.until_fired(world.players[0], send=False)

    assert acknowledge(case, by=person, now=world.now) is True
    assert cancel_case(case, by=person, reason="r" * 2000, now=world.now) is True


def test_a_case_is_taken_over_by_a_job_that_may_do_more(db: None) -> None:
    world = World(mode="shadow", hold_s=300)
    acting = make_job(world.platform, mode="auto", hold_s=600)
    player = world.players[0]
    case = world.until_fired(player)
    before = case.job

    world.turns(8)

    case = fresh(case)
    assert (before, case.job) == (world.job, acting)
    assert told(case) == ["opened", "taken_over", "acted"]
    assert len(world.sent()) == 1


def test_a_job_that_may_do_less_takes_nothing_over(db: None) -> None:
    world = World(mode="auto", hold_s=300)
    make_job(world.platform, mode="shadow", hold_s=600)
    case = world.until_fired(world.players[0])

    world.turns(8)

    assert fresh(case).job == world.job
    assert "taken_over" not in told(case)


# --- many at once --------------------------------------------------------------------------------


def test_a_dark_site_is_one_case_one_notice_and_no_sms(db: None) -> None:
    world = World(players=12, per_site=4)
    world.turns(2)
    world.hang(*world.players[:4])

    world.wait(60)

    parent = Case.objects.get(kind="mass")
    children = list(parent.children.all())
    assert (parent.state, parent.outcome, parent.notices_sent) == ("escalated", "common_cause", 1)
    assert parent.title in (world.players[0].site.name, world.exporter.name, world.platform.name)
    assert {child.device for child in children} == set(world.players[:4])
    assert {(child.state, child.notices_sent) for child in children} == {("open", 0)}
    assert not Command.objects.exists()


def test_a_mass_case_ends_when_all_are_back(db: None) -> None:
    world = World(players=12, per_site=4)
    world.turns(2)
    world.hang(*world.players[:4])
    world.turns(15)

    world.recover()
    world.turns(10)

    assert set(Case.objects.values_list("kind", "state", "outcome")) == {
        ("mass", "verified", "all_back"), ("device", "verified", "recovered_alone"),
    }  # fmt: skip
    assert world.sent() == []


def test_the_last_of_many_is_repaired_when_the_others_have_been_back_for_a_while(db: None) -> None:
    world = World(players=12)
    world.turns(2)
    world.hang(*world.players[:4])
    world.turns(15)
    assert Case.objects.filter(kind="mass", state="escalated").count() == 1

    world.recover(*world.players[1:4])
    world.turns(4)
    assert world.sent() == [], "not before they have been back for five minutes"
    world.turns(5)

    assert world.sent() == [world.sockets[0].msisdn]
    assert Case.objects.get(kind="mass").outcome == "mostly_back"
    assert "mass_over" in told(world.case_of(world.players[0]))


def test_after_a_mass_case_a_single_fault_is_repaired(db: None) -> None:
    world = World(players=12, per_site=4)
    world.turns(2)
    world.hang(*world.players[:4])
    world.turns(15)
    world.recover()
    world.turns(10)

    world.until_fired(world.players[7])
    world.turn()

    assert world.sent() == [world.socket_of(world.players[7]).msisdn]


@pytest.mark.parametrize("interval_s", [60, 300, 600, 900])
def test_slow_polling_does_not_hide_that_all_fell_together(db: None, interval_s: int) -> None:
    """With a poll every ten minutes the third sample comes long after the fall: it is a mass all the same."""
    world = World(players=10, interval_s=interval_s)
    world.turns(2, interval_s / 60)
    world.hang(*world.players)

    world.turns(12, interval_s / 60)

    assert world.sent() == []
    assert Case.objects.filter(kind="mass").count() == 1


def test_a_case_that_began_alone_joins_those_who_fall_after_it(db: None) -> None:
    world = World(players=8, per_site=4, mode="auto")
    first = world.players[0]
    case = world.until_fired(first, send=False)
    world.hang(*world.players[:4])

    world.turn()
    world.turns(15)

    case = fresh(case)
    assert world.sent() == []
    assert case.parent is not None
    assert case.parent.children.count() == 4
    assert case.state != "escalated", "the one notice is the parent's"
    assert Case.objects.filter(notices_sent__gt=0).count() == 1


def test_nobody_acts_at_a_site_whose_mass_case_is_open(db: None) -> None:
    """Half of the site is back; who fell with the others still waits for the person."""
    world = World(players=8, per_site=4)
    world.turns(2)
    world.hang(*world.players[:4])
    world.turns(15)
    world.recover(*world.players[1:4])

    world.wait(90)

    assert world.sent() == []
    assert Case.objects.get(kind="mass").state == "escalated"


def test_a_person_who_has_understood_lets_automation_go_on(db: None, root: User) -> None:
    world = World(players=8, per_site=4)
    world.turns(2)
    world.hang(*world.players[:4])
    world.turns(15)
    world.recover(*world.players[1:4])
    world.turns(15)

    cancel_case(Case.objects.get(kind="mass"), by=root, reason="power is back", now=world.now)
    world.turn()

    assert world.sent() == [world.socket_of(world.players[0]).msisdn]


def test_players_dark_by_our_own_cycle_make_no_case_and_no_mass(db: None) -> None:
    world = World(players=8, per_site=4, may_darken_others=True, hold_s=60, fresh_samples=1)
    sick, socket = world.players[0], world.sockets[0]
    neighbours = [world.add_player(socket=socket, site=sick.site) for _number in range(3)]
    world.until_fired(sick)
    world.hang(*neighbours)

    world.turns(5)
    world.recover()
    world.turns(10)

    assert Case.objects.count() == 1
    assert world.sent() == [socket.msisdn]
    assert Case.objects.get().outcome == "repaired"


# --- the CMS itself ------------------------------------------------------------------------------


def test_a_cms_that_fails_is_one_case_that_closes_by_itself(world: World) -> None:
    world.turns(2)
    world.cms_is_up = False
    world.turns(30)
    during = Case.objects.get()

    world.cms_is_up = True
    world.turns(2)

    case = fresh(during)
    assert (during.kind, during.state, during.outcome, during.notices_sent) == (
        "upstream", "escalated", "cms_in_doubt", 1,
    )  # fmt: skip
    assert (case.state, case.outcome) == ("verified", "cms_answers_again")
    assert world.sent() == []


def test_a_cms_that_comes_back_with_everyone_offline_for_a_moment_costs_nothing(db: None) -> None:
    """Who was pending when it failed, and reconnects late, is not repaired."""
    world = World(players=6)
    player = world.players[0]
    world.turns(2)
    world.hang(player)
    world.turns(8)
    world.cms_is_up = False
    world.turns(30)
    world.cms_is_up = True

    world.turns(4)
    world.recover()
    world.turns(3)

    assert world.sent() == []
    assert not Command.objects.exists()


def test_a_waiting_case_does_not_act_on_the_first_glimpse_after_an_outage(db: None, root: User) -> None:
    world = World(cooldown_s=0)
    stop = switches.engage(scope="platform", platform=world.platform, reason="x", by=root, now=NOW)
    world.until_fired(world.players[0])
    world.cms_is_up = False
    world.turns(5)
    switches.release(stop, by=root, now=world.now)
    world.cms_is_up = True

    world.turns(8)
    early = world.sent()
    world.turns(4)

    assert early == []
    assert len(world.sent()) == 1


@pytest.mark.parametrize("end", ["disabled", "removed"])
def test_the_case_of_a_cms_that_is_not_asked_any_more_is_dropped(world: World, end: str) -> None:
    world.turns(2)
    world.cms_is_up = False
    world.turns(3)
    if end == "disabled":
        Exporter.objects.update(is_enabled=False)
        upstreams.see_to_upstream(Exporter.objects.get(), now=world.now)
    else:
        Exporter.objects.all().delete()
        upstreams.drop_orphans(now=world.now)

    case = Case.objects.get()
    assert (case.state, case.outcome) == ("cancelled", f"exporter_{end}")


# --- robustness ----------------------------------------------------------------------------------


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_eight_threads_open_one_case() -> None:
    world = World(players=1)
    reading = Reading(breach=True, observed_at=NOW, value=0.0)
    jobs = [world.job, *(make_job(world.platform) for _number in range(7))]

    results = together(
        8,
        lambda number: (
            cases.open_case(job=jobs[number], device_id=world.players[0].pk, reading=reading, now=NOW).pk
        ),
    )

    assert len(set(results)) == 1, results
    assert Case.objects.count() == 1
    assert Case.objects.get().events.filter(kind="opened").count() == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_eight_threads_advance_one_case_and_ask_for_one_command() -> None:
    world = World()
    stop = Job.objects.filter(pk=world.job.pk)
    stop.update(mode="shadow")
    case = world.until_fired(world.players[0])
    stop.update(mode="auto")

    results = together(8, lambda _number: advance_case(case.pk, now=world.now))

    assert not [result for result in results if isinstance(result, Exception)], results
    assert Command.objects.count() == 1
    assert ActionRun.objects.count() == 1
    assert fresh(case).attempts == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_many_cases_of_one_job_at_once_do_not_pass_its_limit() -> None:
    """Five are sick for reasons of their own; the job may act on three an hour, however many workers ask."""
    world = World(players=40, mode="shadow")
    sick = world.players[:5]
    world.turns(2)
    for player in sick:
        world.hang(player)
        world.turns(11)
    for player in sick:
        assert world.case_of(player) is not None
    Job.objects.update(mode="auto")
    ids = [world.case_of(player).pk for player in sick]

    for _round in range(3):
        results = together(5, lambda number: advance_case(ids[number], now=world.now))
        assert not [result for result in results if isinstance(result, Exception)], results

    assert Command.objects.count() == 3


def test_a_poisonous_case_does_not_stop_the_others(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(players=20, mode="shadow")
    bad, good = world.players[0], world.players[1]
    world.until_fired(bad)
    world.turns(12)
    world.until_fired(good)
    Job.objects.update(mode="auto")
    real = cases.next_step

    def poisoned(facts: Any, *, now: Any) -> Any:
        if facts.device_since == Device.objects.get(pk=bad.pk).state_since:
            raise RuntimeError("poison")
        return real(facts, now=now)

    monkeypatch.setattr(cases, "next_step", poisoned)

    advance_platform(world.platform.pk, now=world.now)
    world.pump.run_once()

    assert world.sent() == [world.socket_of(good).msisdn]


def test_a_command_that_cannot_be_made_is_a_refusal_and_at_last_a_persons(db: None) -> None:
    world = World(params={"minutes": 9999})
    case = world.until_fired(world.players[0])

    world.wait(20)
    waiting = fresh(case)
    world.wait(20)

    assert (waiting.state, waiting.attempts) == ("open", 0)
    assert set(refusals(case)) == {"power_invalid"}
    assert (fresh(case).state, fresh(case).outcome) == ("escalated", "guards_refuse")
    assert GuardRefusal.objects.get(case=case).attempt == 1


def test_guards_that_refuse_too_long_call_a_person_once(db: None) -> None:
    world = World()
    Platform.objects.update(sms_limit=0)
    case = world.until_fired(world.players[0])

    world.wait(60)

    case = fresh(case)
    assert (case.state, case.outcome, case.notices_sent) == ("escalated", "guards_refuse", 1)
    assert set(refusals(case)) == {"budget_sms_limit"}


def test_an_infinite_value_opens_a_case_like_any_other(world: World) -> None:
    reading = Reading(breach=True, observed_at=NOW, value=float("inf"))

    case = cases.open_case(job=world.job, device_id=world.players[0].pk, reading=reading, now=NOW)

    assert fresh(case).evidence["value"] == "inf"


def test_the_case_of_a_device_out_of_service_is_dropped(world: World) -> None:
    case = world.until_fired(world.players[0], send=False)

    remove_device(world.players[0], by=None)
    world.pump.run_once()
    world.turn()

    assert (fresh(case).state, fresh(case).outcome) == ("cancelled", "device_removed")
    assert world.sent() == []


def test_a_closed_platform_sends_nothing(world: World) -> None:
    world.until_fired(world.players[0], send=False)
    Platform.objects.update(is_active=False)

    world.pump.run_once()
    world.turns(20)

    assert world.sent() == []


def test_advancing_twice_in_one_moment_changes_nothing(world: World) -> None:
    case = world.until_fired(world.players[0])
    before = (told(case), Command.objects.count(), fresh(case).state)

    for _time in range(5):
        advance_case(case.pk, now=world.now)

    assert (told(case), Command.objects.count(), fresh(case).state) == before


def test_one_platforms_case_is_never_anothers(world: World) -> None:
    other = World(platform=make_platform(sms_people_share_ratio=0))
    world.until_fired(world.players[0])
    other.turns(20)

    assert not Case.objects.filter(platform=other.platform).exists()
    assert other.job.runs.exists()


def test_a_case_that_ended_lets_a_new_one_open(world: World) -> None:
    player = world.players[0]
    first = world.until_fired(player)
    world.recover()
    world.turns(10)
    world.now += timedelta(hours=2)

    second = world.until_fired(player)

    assert first.pk != second.pk
    assert Case.objects.filter(device=player).count() == 2


# --- many at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["open", "acting", "escalated"])
def test_cases_that_only_wait_cost_no_statement_of_their_own(db: None, state: str) -> None:
    world = World(players=12, mode="shadow" if state == "open" else "auto")
    world.turns(2)
    Device.objects.filter(pk__in=[player.pk for player in world.players]).update(state="offline")
    asked = []
    for count in (2, 12):
        for player in world.players[:count]:
            case, _new = Case.objects.get_or_create(
                subject=f"device:{player.pk}",
                defaults={
                    "platform": world.platform, "device": player, "job": world.job, "job_version": 1, "mode": "auto",
                    "title": player.name, "opened_at": world.now, "state_changed_at": world.now, "state": state,
                    "attempts": 1,
                },
            )  # fmt: skip
            if state == "acting":
                step = {"do": "wait", "wait_s": 600}
                ActionRun.objects.get_or_create(
                    case=case, attempt=1,
                    defaults={"rung": 1, "step": step, "planned_at": world.now, "state_changed_at": world.now},
                )  # fmt: skip
        advance_platform(world.platform.pk, now=world.now)
        with CaptureQueriesContext(connection) as captured:
            assert advance_platform(world.platform.pk, now=world.now) == 0
        asked.append(len(captured))

    assert asked[0] == asked[1] <= 6
