"""Every bell may be lost: the sweep finds what is to be done. And what the bells do when they ring."""

from typing import Any

import pytest
from django_q.conf import Conf

from automation import tasks
from automation.models import Case, Heartbeat, Job
from automation.services import sweep as sweep_module
from automation.services.sweep import sweep
from automation.signals import case_told
from devices.models import Command
from devices.services import record_delivery
from exporters.models import Exporter
from remosa.lib import tasks as queue
from tests.automation.world import World, fresh, told
from tests.factories import make_job, make_platform

pytestmark = pytest.mark.django_db


class Ear:
    """Who listens to the bell of automation, in place of the notices."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, sender: Any, *, case_id: Any, kind: str, **kwargs: Any) -> None:
        self.heard.append((Case.objects.get(pk=case_id).kind, kind))


@pytest.fixture
def ear() -> Any:
    listener = Ear()
    case_told.connect(listener)
    yield listener
    case_told.disconnect(listener)


def test_the_whole_story_without_a_single_bell() -> None:
    world = World()
    player = world.players[0]
    for _minute in range(2):
        world.sweep_turn()
    world.hang(player)
    for _minute in range(14):
        world.sweep_turn()
    sent = world.sent()
    world.after(0.3)
    world.reply(player)
    world.recover()
    for _minute in range(8):
        world.sweep_turn()

    case = Case.objects.get()
    assert sent == world.sent() == [world.socket_of(player).msisdn]
    assert (case.state, case.outcome) == ("verified", "repaired")
    assert told(case) == ["opened", "acted", "back", "verified"]
    assert Command.objects.get().state == "verified"


def test_a_silent_socket_ends_with_a_person_without_a_single_bell(ear: Ear) -> None:
    world = World(cooldown_s=0)
    world.sweep_turn()
    world.hang(world.players[0])
    for _minute in range(50):
        world.sweep_turn()

    assert (Case.objects.get().state, Case.objects.get().outcome) == ("escalated", "not_back_in_time")
    assert len(world.sent()) == 2
    assert ("device", "escalated") in ear.heard


def test_a_cms_that_fails_and_recovers_is_found_by_the_sweep() -> None:
    world = World()
    world.sweep_turn()
    world.cms_is_up = False
    world.sweep_turn()
    during = Case.objects.get()
    world.cms_is_up = True
    world.sweep_turn()

    assert (during.kind, during.state) == ("upstream", "escalated")
    assert fresh(during).state == "verified"


def test_people_are_rung_for_again_until_they_have_heard(ear: Ear) -> None:
    world = World(mode="suggest")
    world.until_fired(world.players[0])
    ear.heard.clear()

    sweep(now=world.after(1))
    suggested = list(ear.heard)
    world.recover()
    world.turns(8)
    ear.heard.clear()
    sweep(now=world.after(1))
    verified = list(ear.heard)
    ear.heard.clear()
    sweep(now=world.after(120))

    assert suggested == [("device", "suggested")]
    assert verified == [("device", "verified")]
    assert ear.heard == []


def test_a_case_that_nobody_was_told_of_rings_for_nobody(ear: Ear) -> None:
    world = World(mode="shadow")
    world.until_fired(world.players[0])
    world.recover()
    world.turns(8)

    sweep(now=world.after(1))

    assert ear.heard == []


def test_one_failing_step_does_not_stop_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.turns(2)
    world.hang(world.players[0])

    def broken(**kwargs: Any) -> None:
        raise RuntimeError("poison")

    broken.__name__ = "sweep_commands"
    monkeypatch.setattr(sweep_module, "sweep_commands", broken)

    for _minute in range(14):
        world.sweep_turn()

    assert len(world.sent()) == 1


def test_a_listener_that_fails_stops_nothing(ear: Ear) -> None:
    def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken listener")

    case_told.connect(broken)
    try:
        world = World(mode="suggest")
        case = world.until_fired(world.players[0])
        sweep(now=world.after(1))
    finally:
        case_told.disconnect(broken)

    assert ("device", "suggested") in ear.heard
    assert fresh(case).notices_sent == 1


def test_the_sweep_leaves_a_heartbeat() -> None:
    world = World(players=0, with_job=False)

    sweep(now=world.now)
    sweep(now=world.after(1))

    assert Heartbeat.objects.get(name="sweep").at == world.now


def test_a_minute_is_swept_once_by_however_many_workers() -> None:
    world = World()
    world.sweep_turn()
    before = world.job.runs.count()

    for _time in range(5):
        sweep(now=world.now)

    assert world.job.runs.count() == before


def test_closed_platforms_are_not_swept() -> None:
    world = World(platform=make_platform(is_active=False))
    Exporter.objects.update(is_up=False)

    sweep(now=world.after(1))

    assert not Case.objects.exists()
    assert not world.job.runs.exists()


# --- bells ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_bells_carry_the_story_without_the_sweep(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored round judges, a moved command takes its case on: each through the queue, after its commit."""
    monkeypatch.setattr(Conf, "SYNC", True)
    world = World(hold_s=0, fresh_samples=1)
    clock = {"now": world.now}
    monkeypatch.setattr(tasks, "utcnow", lambda: clock["now"])
    for dark in (False, True):
        clock["now"] = world.after(1)
        if dark:
            world.hang(world.players[0])
        world.poll()

    case = Case.objects.get()
    assert case.state == "acting"
    command = Command.objects.get()
    assert command.state in ("queued", "sent")
    world.pump.run_once()
    Job.objects.update(max_attempts=1)
    clock["now"] = world.after(1)
    record_delivery(command.pk, delivered=False, at=world.now)

    assert (fresh(case).state, fresh(case).outcome) == ("escalated", "command_not_executed")


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_is_down_undoes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("broker is down")

    monkeypatch.setattr(queue, "async_task", down)
    world = World()
    make_job(world.platform)

    world.after(1)
    world.poll()

    assert world.exporter.last_round_at == world.now
    assert not world.job.runs.exists()
    sweep(now=world.now)
    assert world.job.runs.exists()
