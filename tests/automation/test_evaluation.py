"""An evaluation: once per tick, from fresh and positive evidence, and one broken job never stops another."""

from datetime import timedelta
from typing import Any

import pytest

from automation import sources
from automation.models import Case, Job, JobRun, JobState
from automation.services import evaluation
from automation.services.evaluation import evaluate_after_round, evaluate_job
from automation.services.sweep import sweep
from automation.sources import devices_of, expected_dark, read_prometheus, read_snapshot
from devices.models import Command, Device
from devices.services import remove_device
from exporters.models import Exporter, ExporterTarget
from platforms.models import Platform
from tests.automation.prometheus import FakePrometheus, vector
from tests.automation.world import World
from tests.factories import make_device, make_exporter, make_job, make_target, minutes
from tests.together import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    return World()


def views(job: Job) -> dict[int, str]:
    return dict(JobState.objects.filter(job=job).values_list("device", "phase"))


# --- ticks ---------------------------------------------------------------------------------------


def test_a_tick_is_evaluated_once(world: World) -> None:
    world.after(1)
    world.hang(world.players[0])
    world.poll()

    first = evaluate_job(world.job, tick="t", now=world.now)
    again = evaluate_job(world.job, tick="t", now=world.now)

    assert first is not None
    assert again is None
    run = JobRun.objects.get()
    assert (run.looked_at, run.breach, run.unknown, run.fired) == (6, 1, 0, 0)


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_one_tick_in_eight_threads_is_one_evaluation_and_one_case() -> None:
    world = World(hold_s=0, fresh_samples=1)
    world.after(1)
    world.poll()
    evaluate_job(world.job, tick="learn", now=world.now)
    world.hang(world.players[0])
    world.after(1)
    world.poll()

    results = together(8, lambda _number: evaluate_job(world.job, tick="t", now=world.now) is not None)

    assert sorted(results) == [False] * 7 + [True], results
    assert Case.objects.count() == 1
    assert JobState.objects.get().episode == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_several_ticks_at_once_fire_one_edge() -> None:
    world = World(hold_s=0, fresh_samples=1)
    world.turn()
    world.hang(world.players[0])
    world.after(1)
    world.poll()

    results = together(6, lambda number: evaluate_job(world.job, tick=f"t{number}", now=world.now).pk)

    assert not [result for result in results if isinstance(result, Exception)], results
    assert sum(JobRun.objects.values_list("fired", flat=True)) == 1
    assert Case.objects.count() == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_whole_rounds_evaluated_by_several_workers_make_one_command() -> None:
    world = World(hold_s=0, fresh_samples=1)
    world.turn()
    world.hang(world.players[0])
    world.after(1)
    world.poll()

    results = together(6, lambda _number: evaluate_after_round(world.exporter.pk, now=world.now))

    assert results == [None] * 6
    assert Command.objects.count() == 1


def test_old_runs_are_dropped(world: World) -> None:
    world.turns(3)
    world.now += timedelta(hours=7)
    world.turn()

    sweep(now=world.now)

    assert [run.tick.partition(":")[0] for run in JobRun.objects.all()] == ["round"]


# --- evidence ------------------------------------------------------------------------------------


def test_only_devices_that_were_ever_ill_have_a_row(world: World) -> None:
    world.turns(3)
    world.hang(world.players[0])

    world.turns(2)

    assert views(world.job) == {world.players[0].pk: "pending"}


@pytest.mark.parametrize("trouble", ["silence", "outage", "doubt", "old"])
def test_unknown_starts_advances_and_ends_nothing(world: World, trouble: str) -> None:
    pending, fine = world.players[0], world.players[1]
    world.turns(2)
    world.hang(pending)
    world.turns(5)
    before = JobState.objects.get(device=pending)

    if trouble == "silence":
        world.hush(pending, fine)
    elif trouble == "outage":
        world.cms_is_up = False
    for _minute in range(30):
        world.after(1)
        if trouble != "old":
            world.poll()
        if trouble == "doubt":
            Exporter.objects.update(suspect_reason="half_missing")
        evaluate_job(world.job, tick=f"t{world.now}", now=world.now)

    after = JobState.objects.get(device=pending)
    assert (after.phase, after.since, after.samples, after.last_sample_at) == (
        before.phase, before.since, before.samples, before.last_sample_at,
    )  # fmt: skip
    assert not JobState.objects.filter(device=fine).exists()
    assert not Case.objects.filter(kind="device").exists()


def test_after_a_gap_what_was_pending_is_learned_anew(world: World) -> None:
    """The worker was down for a while; nobody knows what happened in between."""
    world.turns(2)
    world.hang(world.players[0])
    world.turns(9)
    world.now += timedelta(minutes=20)

    world.turns(10)
    early = Case.objects.count()
    world.turns(1)

    assert (early, Case.objects.count()) == (0, 1)


def test_a_first_evaluation_learns_and_does_not_fire(db: None) -> None:
    world = World(hold_s=300, fresh_samples=1)
    world.hang(world.players[0])
    for _minute in range(60):
        world.after(1)
        world.poll()

    world.turns(5)
    early = Case.objects.count()
    world.turns(1)

    assert (early, Case.objects.count()) == (0, 1)


def test_a_clock_that_went_back_does_not_fire_and_does_not_blind(world: World) -> None:
    world.turns(2)
    world.hang(world.players[0])
    world.turns(5)
    world.now -= timedelta(hours=1)

    world.turns(5)
    early = Case.objects.count()
    world.turns(70)

    assert early == 0
    assert Case.objects.filter(kind="device").count() == 1


def test_a_clock_that_jumped_ahead_does_not_fire(db: None) -> None:
    world = World(fresh_samples=2)
    world.turns(2)
    world.hang(world.players[0])
    world.turns(2)
    world.now += timedelta(hours=5)

    world.turns(3)

    assert not Case.objects.exists()


def test_an_outage_that_began_again_unseen_is_another_episode(db: None) -> None:
    """The job was off while the player came back and fell once more."""
    world = World(mode="shadow")
    player = world.players[0]
    case = world.until_fired(player)
    world.change_job(is_enabled=False)
    world.recover()
    world.turns(10)
    world.hang(player)
    world.turns(2)
    world.change_job(is_enabled=True)

    world.turns(12)

    assert Case.objects.get(pk=case.pk).state == "verified"
    assert Case.objects.filter(device=player).count() == 2


def test_a_changed_job_learns_what_is_pending_anew(world: World) -> None:
    world.turns(2)
    world.hang(world.players[0])
    world.turns(9)
    world.change_job(hold_s=300)

    world.turns(5)
    early = Case.objects.count()
    world.turns(2)

    assert (early, Case.objects.count()) == (0, 1)


def test_a_job_changed_while_it_was_read_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.turns(2)
    world.hang(world.players[0])
    world.turns(9)
    world.after(2)
    world.poll()
    real = evaluation.read_snapshot

    def slow(job: Job, **kwargs: Any) -> Any:
        readings = real(job, **kwargs)
        Job.objects.filter(pk=job.pk).update(version=99)
        return readings

    monkeypatch.setattr(evaluation, "read_snapshot", slow)

    evaluate_job(world.job, tick="t", now=world.now)

    assert not Case.objects.exists()


# --- several jobs --------------------------------------------------------------------------------


def test_a_poisonous_job_does_not_stop_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_job(world.platform, name="a: poison")
    last = make_job(world.platform, name="z: fine")
    real = evaluation.read_snapshot

    def poisoned(job: Job, **kwargs: Any) -> Any:
        if job.pk == first.pk:
            raise RuntimeError("poison")
        return real(job, **kwargs)

    monkeypatch.setattr(evaluation, "read_snapshot", poisoned)

    world.until_fired(world.players[0])

    first.refresh_from_db()
    last.refresh_from_db()
    assert "log" in first.broken_reason
    assert (last.broken_reason, last.evaluated_at) == ("", world.now)
    assert len(world.sent()) == 1


def test_two_jobs_that_see_the_same_fault_ask_for_one_command(world: World) -> None:
    make_job(world.platform)

    world.until_fired(world.players[0])
    world.turns(5)

    assert Case.objects.count() == Command.objects.count() == 1


def test_a_disabled_job_and_a_closed_platform_are_not_evaluated(world: World) -> None:
    world.turns(1)
    JobRun.objects.all().delete()
    Job.objects.update(is_enabled=False)
    world.turns(1)
    Job.objects.update(is_enabled=True)
    Platform.objects.update(is_active=False)

    world.turns(1)

    assert not JobRun.objects.exists()


def test_a_round_evaluates_the_jobs_of_its_platform_that_look_at_it(world: World) -> None:
    other = make_exporter(world.platform)
    elsewhere = World()
    only_other = make_job(world.platform, exporter=other)

    world.turns(1)

    assert world.job.runs.count() == 1
    assert only_other.runs.count() == elsewhere.job.runs.count() == 0


# --- the set of a job ----------------------------------------------------------------------------


def names(job: Job) -> set[str]:
    return set(devices_of(job).values_list("name", flat=True))


def test_the_set_is_the_players_of_the_platform_narrowed(world: World) -> None:
    elsewhere = World()
    hall = make_device(world.platform, name="hall", labels={"hall": "A", "floor": 2})
    make_device(world.platform, name="other hall", labels={"hall": "B"})
    remove_device(make_device(world.platform, name="removed", labels={"hall": "A"}), by=None)
    target = make_target(make_exporter(world.platform, name="x"), hall)
    every = {device.name for device in world.players} | {"hall", "other hall"}

    assert names(world.job) == every
    assert names(make_job(world.platform, labels={"hall": "A"})) == {"hall"}
    assert names(make_job(world.platform, labels={"hall": "A", "floor": 2})) == {"hall"}
    assert names(make_job(world.platform, labels={"hall": "A", "floor": 3})) == set()
    assert names(make_job(world.platform, exporter=target.exporter)) == {"hall"}
    assert names(make_job(world.platform, site=world.players[0].site)) == {world.players[0].name}
    named = make_job(world.platform)
    named.devices.add(hall, elsewhere.players[0])
    assert names(named) == {"hall"}
    foreign = make_job(world.platform)
    foreign.devices.add(elsewhere.players[0])
    assert names(foreign) == set(), "a device of another platform widens nothing"


# --- dark by our own doing -----------------------------------------------------------------------


def test_who_is_fed_by_a_socket_that_is_being_cycled_is_expected_to_be_dark(world: World) -> None:
    player, socket = world.players[0], world.sockets[0]
    neighbour = world.add_player(socket=socket)
    world.job.devices.set(world.players[:6])
    before = expected_dark(world.platform.pk, now=world.now)
    world.hang(neighbour)
    world.until_fired(player)
    during = expected_dark(world.platform.pk, now=world.now)
    Command.objects.update(verify_until=world.now)

    assert before == set()
    assert during == {player.pk, neighbour.pk}
    assert expected_dark(world.platform.pk, now=world.now) == set()


def test_a_player_back_from_our_own_cycle_may_fail_again_at_once(world: World) -> None:
    """Its return is seen although it was expected to be dark: the next failure is an episode of its own."""
    player = world.players[0]
    world.until_fired(player)
    world.after(0.2)
    world.reply(player)
    world.recover()
    world.turns(3)

    assert views(world.job) == {player.pk: "ok"}


# --- snapshots of two CMSs -----------------------------------------------------------------------


def test_of_two_cmss_the_one_with_an_answer_counts_then_the_newer(world: World) -> None:
    player = world.players[0]
    world.turn()
    second = make_exporter(world.platform, name="second", interval_s=60)
    target = make_target(second, player, external_id="zz")
    Exporter.objects.filter(pk=second.pk).update(is_up=True)

    def reading() -> Any:
        return read_snapshot(world.job, expected=set())[player.pk][0].breach

    silent = reading()
    ExporterTarget.objects.filter(pk=target.pk).update(status="offline", noted_at=world.now - minutes(1))
    older = reading()
    ExporterTarget.objects.filter(pk=target.pk).update(noted_at=world.now + minutes(1))

    assert (silent, older, reading()) == (False, False, True)


# --- PromQL --------------------------------------------------------------------------------------


def promql_world(**job: Any) -> World:
    world = World(source="promql", operator="==", threshold=0, **job)
    query = f'sum by (platform_id, exporter_id, mac) (status{{platform_id="{world.platform.pk}"}})'
    Job.objects.update(promql=query)
    world.job.refresh_from_db()
    return world


def labels(world: World, player: Device, **over: str) -> dict[str, str]:
    own = {"platform_id": str(world.platform.pk), "exporter_id": str(world.exporter.pk), "mac": player.mac}
    return {**own, **over}


def breaches(world: World, prometheus: FakePrometheus, *series: tuple[dict[str, str], str]) -> dict[int, Any]:
    prometheus.answer = vector(*[(found, world.now.timestamp(), value) for found, value in series])
    readings = read_prometheus(world.job, expected=set(), now=world.now)
    return {device_id: reading.breach for device_id, (reading, _age) in readings.items()}


def test_series_are_mapped_to_devices_by_what_never_changes(prometheus: FakePrometheus) -> None:
    world, other = promql_world(), World()
    first, second, third = world.players[:3]
    world.poll()
    no_exporter = labels(world, third)
    del no_exporter["exporter_id"]

    found = breaches(
        world, prometheus, (labels(world, first), "0"), (labels(world, second), "1"), (no_exporter, "0"),
        (labels(world, first, platform_id=str(other.platform.pk)), "0"),
        (labels(other, other.players[0]), "0"),
        (labels(world, world.players[3], exporter_id="²"), "0"),
        (labels(world, world.players[3], exporter_id=str(other.exporter.pk)), "0"),
        (labels(world, world.players[4], mac="11:22:33:44:55:66"), "0"), ({}, "0"),
    )  # fmt: skip

    assert found == {first.pk: True, second.pk: False, third.pk: True}


def test_of_two_series_of_one_device_the_one_that_says_fine_counts(prometheus: FakePrometheus) -> None:
    world = promql_world()
    player = world.players[0]
    ill, fine = (labels(world, player), "0"), (labels(world, player, extra="x"), "1")

    assert (
        breaches(world, prometheus, ill, fine) == breaches(world, prometheus, fine, ill) == {player.pk: False}
    )


def test_nan_says_nothing_and_infinity_is_a_number(prometheus: FakePrometheus) -> None:
    world = promql_world()
    first, second = world.players[:2]
    Job.objects.update(operator=">", threshold=5)
    world.job.refresh_from_db()

    found = breaches(world, prometheus, (labels(world, first), "NaN"), (labels(world, second), "+Inf"))

    assert found == {first.pk: None, second.pk: True}


@pytest.mark.parametrize("doubt", [{"is_up": False}, {"suspect_reason": "half_missing"}])
def test_a_sample_through_a_cms_in_doubt_is_no_evidence(
    prometheus: FakePrometheus, doubt: dict[str, Any]
) -> None:
    world = promql_world(hold_s=0, fresh_samples=1)
    world.poll()
    Exporter.objects.update(**doubt)
    prometheus.answer = vector((labels(world, world.players[0]), world.now.timestamp(), "0"))

    run = evaluate_job(world.job, tick="t", now=world.now)

    run.refresh_from_db()
    assert (run.breach, run.unknown) == (0, 1)


def play(world: World, prometheus: FakePrometheus, count: int, *, as_filter: bool) -> None:
    """``count`` minutes in which Prometheus sees what the CMS says; a filter only returns what is wrong."""
    for _minute in range(count):
        world.after(1)
        world.poll()
        prometheus.answer = vector(*[
            (labels(world, player), world.now.timestamp(), "0" if player.pk in world.dark else "1")
            for player in world.players
            if player.pk in world.dark or not as_filter
        ])  # fmt: skip
        evaluate_after_round(world.exporter.pk, now=world.now)
        world.pump.run_once()


@pytest.mark.parametrize("as_filter", [False, True])
def test_a_query_fires_is_calmed_and_fires_again(prometheus: FakePrometheus, as_filter: bool) -> None:
    world = promql_world(cooldown_s=0)
    player = world.players[0]
    play(world, prometheus, 2, as_filter=as_filter)
    world.hang(player)
    play(world, prometheus, 12, as_filter=as_filter)
    first = world.sent()
    world.recover()
    play(world, prometheus, 10, as_filter=as_filter)
    calm = views(world.job)
    Command.objects.update(verify_until=world.now)
    world.hang(player)
    play(world, prometheus, 12, as_filter=as_filter)

    assert len(first) == 1
    assert calm == {player.pk: "ok"}
    assert len(world.sent()) == 2
    assert Case.objects.filter(device=player).count() == 2


def test_series_that_are_gone_neither_fire_nor_calm(prometheus: FakePrometheus) -> None:
    world = promql_world(mode="shadow")
    world.hang(world.players[0])
    play(world, prometheus, 13, as_filter=False)
    before = views(world.job)
    prometheus.answer = vector()

    for _minute in range(20):
        world.after(1)
        world.poll()
        evaluate_after_round(world.exporter.pk, now=world.now)

    assert before == views(world.job) == {world.players[0].pk: "firing"}
    assert Case.objects.count() == 1


def test_a_prometheus_that_fails_freezes_the_job_and_is_shown(prometheus: FakePrometheus) -> None:
    world = promql_world()
    world.hang(world.players[0])
    play(world, prometheus, 8, as_filter=False)
    prometheus.status = 500
    for _minute in range(30):
        world.after(1)
        world.poll()
        evaluate_after_round(world.exporter.pk, now=world.now)
    broken = Job.objects.get().broken_reason
    prometheus.status = 200

    play(world, prometheus, 9, as_filter=False)

    assert "500" in broken
    assert not Case.objects.exists(), "what was pending must hold anew"
    assert Job.objects.get().broken_reason == ""
    assert JobRun.objects.exclude(error="").exists()


# --- reading only what there is to judge -------------------------------------------------------------


def test_who_is_online_is_counted_and_not_read(db: None) -> None:
    world = World(players=6, mode="shadow")
    hung, hushed = world.players[:2]
    world.turns(2)
    world.hang(hung)
    world.hush(hushed)
    world.turn()

    readings = sources.read_snapshot(world.job, expected=set(), only=sources.telling(world.job))
    others = sources.count_others(world.job, told=readings, now=world.now)
    run = JobRun.objects.filter(job=world.job).latest("pk")

    assert set(readings) == {hung.pk, hushed.pk}
    assert (others.number, others.unknown, others.max_age) == (4, 0, world.exporter.max_age)
    assert (run.looked_at, run.breach, run.unknown) == (6, 1, 1)


def test_of_an_exporter_that_is_silent_nothing_is_known(db: None) -> None:
    world = World(players=6, mode="shadow")
    world.turns(2)

    later = sources.count_others(world.job, told=(), now=world.now + timedelta(hours=1))
    world.cms_is_up = False
    world.turn()
    run = JobRun.objects.filter(job=world.job).latest("pk")

    assert (later.number, later.unknown) == (6, 6)
    assert (run.looked_at, run.unknown) == (6, 6)


def test_who_comes_back_is_read_until_its_view_is_fine_again(db: None) -> None:
    world = World(players=6, mode="shadow", hold_s=600)
    player = world.players[0]
    world.turns(2)
    world.hang(player)
    world.turns(2)
    assert JobState.objects.get(job=world.job, device=player).phase == "pending"
    world.recover(player)
    world.turn()

    assert JobState.objects.get(job=world.job, device=player).phase == "ok"
    assert not sources.read_snapshot(world.job, expected=set(), only=sources.telling(world.job))


def test_two_rounds_judged_out_of_order_do_not_begin_the_hold_anew(db: None) -> None:
    world = World(players=6, mode="shadow", hold_s=600)
    player = world.players[0]
    world.turns(2)
    world.hang(player)
    world.turns(3)
    before = JobState.objects.get(job=world.job, device=player)
    world.after(1)
    world.poll()

    # two workers: the second one read its clock first, and came to the lock last
    evaluate_job(fresh_job(world), tick="quick", now=world.now + timedelta(milliseconds=80))
    evaluate_job(fresh_job(world), tick="slow", now=world.now)

    after = JobState.objects.get(job=world.job, device=player)
    assert (after.phase, after.since) == ("pending", before.since)
    assert after.samples == before.samples + 1


def fresh_job(world: World) -> Job:
    return Job.objects.select_related("platform").get(pk=world.job.pk)
