"""How jobs behave by the clock of a place, with what comes and goes, and with values between two thresholds."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from automation.models import Case, JobState
from automation.services.evaluation import evaluate_job
from remosa.lib.hours import ALWAYS, DAYS
from tests.automation.prometheus import FakePrometheus, vector
from tests.automation.world import World, fresh, refusals, told
from tests.factories import minutes

pytestmark = pytest.mark.django_db


def test_on_air_an_automatic_job_waits_and_then_asks_a_person(db: None) -> None:
    world = World(hours=ALWAYS)
    player = world.players[0]
    case = world.until_fired(player)

    world.turns(30)

    case = fresh(case)
    assert world.sent() == []
    assert told(case) == ["opened", "refused", "suggested"]
    assert refusals(case).keys() == {"broadcast_hours_on_air_wait"}
    row = case.refusals.get()
    assert row.lifts_at == case.down_since + minutes(30)


def test_on_air_a_job_may_repair_by_itself_after_its_wait(db: None) -> None:
    world = World(hours=ALWAYS, on_air="wait")
    case = world.until_fired(world.players[0])
    world.turns(16)
    early = world.sent()

    world.turns(4)

    assert (early, len(world.sent())) == ([], 1)
    assert told(fresh(case)) == ["opened", "refused", "acted"]


def test_at_night_a_repair_waits_for_the_hour_before_the_opening(db: None) -> None:
    world = World(lead_s=600)
    site = world.players[0].site
    opening = (world.now + timedelta(hours=1)).astimezone(ZoneInfo(site.time_zone)).replace(second=0)
    site.broadcast_hours = {day: [f"{opening:%H:%M}-{opening + timedelta(hours=2):%H:%M}"] for day in DAYS}
    site.save()
    case = world.until_fired(world.players[0])
    while world.now + minutes(1) < opening - minutes(10):
        world.turn()
    early = world.sent()

    world.turns(2)

    assert (early, len(world.sent())) == ([], 1)
    assert refusals(fresh(case)).keys() == {"broadcast_hours_before_opening"}


def test_a_command_that_is_queued_when_the_broadcast_begins_does_not_leave(db: None) -> None:
    world = World()
    case = world.until_fired(world.players[0], send=False)
    world.change_job(hours=ALWAYS, on_air="leave")
    Case.objects.update(job_version=world.job.version)

    world.pump.run_once()

    assert world.sent() == []
    assert world.commands(world.players[0]) == ["blocked"]
    assert fresh(case).attempts == 1


# --- what comes and goes -------------------------------------------------------------------------


def test_a_player_that_flaps_is_left_to_a_person_who_is_told_once(db: None) -> None:
    world = World(hold_s=60, fresh_samples=2, stable_s=60, cooldown_s=0, flap_changes=4)
    player = world.players[0]
    world.turns(2)
    for _time in range(2):
        world.hang(player)
        world.turn()
        world.recover(player)
        world.turns(2)
    world.hang(player)
    world.turns(20)

    case = Case.objects.get(device=player)
    assert (case.state, case.outcome, case.notices_sent) == ("escalated", "flapping", 1)
    assert told(case) == ["opened", "refused", "escalated"]
    assert world.sent() == []


def test_a_case_stays_open_while_the_job_keeps_it_raised(db: None) -> None:
    """Back for less than that, and down again: it is the same case, and the same episode."""
    world = World(keep_firing_s=1200, cooldown_s=0, flap_changes=0)
    player = world.players[0]
    case = world.until_fired(player)
    world.recover(player)
    world.turns(15)
    during = (fresh(case).state, JobState.objects.get().phase)
    world.hang(player)
    world.turns(14)
    again = [Case.objects.count(), JobState.objects.get().episode, JobState.objects.get().phase]
    world.recover(player)
    world.turns(24)

    assert during == ("verifying", "recovering")
    assert again == [1, 1, "firing"]
    assert (fresh(case).state, fresh(case).outcome) == ("verified", "repaired")
    assert JobState.objects.get().phase == "ok"
    assert "fell_again" in told(fresh(case))


def test_raised_without_a_case_is_another_failure_with_its_own_hold(db: None) -> None:
    world = World(keep_firing_s=1200, flap_changes=0, mode="shadow")
    player = world.players[0]
    case = world.until_fired(player)
    world.recover(player)
    world.turns(2)
    Case.objects.filter(pk=case.pk).update(state="cancelled")
    world.hang(player)
    world.turns(9)
    early = Case.objects.count()

    world.turns(4)

    assert (early, Case.objects.count()) == (1, 2)


# --- two thresholds ------------------------------------------------------------------------------


def test_a_value_between_two_thresholds_neither_raises_nor_clears(prometheus: FakePrometheus) -> None:
    world = World(
        source="promql",
        operator=">",
        threshold=80,
        clear_threshold=70,
        hold_s=0,
        fresh_samples=1,
        mode="shadow",
    )
    world.change_job(promql=f'max by (mac, exporter_id) (temperature{{platform_id="{world.platform.pk}"}})')
    world.poll()
    player = world.players[0]
    labels = {"exporter_id": str(world.exporter.pk), "mac": player.mac}
    phases = []
    for value in ("75", "81", "75", "70.5", "70", "75"):
        world.after(1)
        prometheus.answer = vector((labels, world.now.timestamp(), value))
        evaluate_job(world.job, tick=value + str(world.now), now=world.now)
        phases.append(JobState.objects.filter(device=player).values_list("phase", flat=True).first() or "ok")

    assert phases == ["ok", "firing", "firing", "firing", "ok", "ok"]
