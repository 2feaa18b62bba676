"""Whatever the radio does to the SMS, no output stays dark that should be on, and the operator knows each that is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from devices.models import Command, DeviceEvent, Restoration
from devices.services import outcomes
from tests.devices.socket_world import TROUBLE, SocketWorld

FIGURE = Callable[[str, str], None]


def live_through(world: SocketWorld, *, commands: int) -> int:
    """Reboots, lone OFFs and their ONs, statuses, until so many commands were asked; outputs dark and unknown."""
    unknown = 0
    while Command.objects.count() < commands:
        for _number in range(len(world.sockets) // 2):
            socket, line = world.any_output()
            if world.random.random() < 0.7:
                world.reboot(socket, line, minutes=world.random.choice([1, 2, 5]))
            elif "status" in {row.key for row in socket.model.templates.all()}:
                world.ask(socket, "status")
        for _number in range(9):
            world.tick(observe=_number % 3 == 0)
        unknown += sum(not world.is_known(socket, line) for socket, line in world.dark())
    return unknown


@pytest.mark.timeout(7200)
def test_no_output_is_left_dark(settings: Any, db: None, figure: FIGURE, is_soak: bool) -> None:
    world = SocketWorld(settings, sockets=100 if is_soak else 24)

    unknown = live_through(world, commands=5000 if is_soak else 120)
    world.settle()

    dark = list(world.dark())
    commands = Command.objects.count()
    told = Restoration.objects.exclude(told_at=None).count()
    assert dark == []
    assert unknown == 0
    assert not world.live().exists()
    assert DeviceEvent.objects.filter(kind="not_on_again").count() == told
    assert DeviceEvent.objects.filter(kind="on_again").count() == told
    figure("sockets", f"{commands} commands, {len(dark)} left dark")
    figure("sockets", f"{Restoration.objects.count()} reboots by several SMS, people called for {told}")


def test_the_world_would_leave_outputs_dark_if_nobody_restored_them(
    settings: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same radio, an OFF followed by one ON, and nobody who looks after it."""
    world = SocketWorld(
        settings, sockets=12, models=("D210", "D410"), faults=replace(TROUBLE, sms_loss_ratio=0.5)
    )
    monkeypatch.setattr(outcomes, "due_stories", lambda **_kwargs: [])
    for socket in world.sockets:
        key = "power_off" if socket.model.code == "D210" else "power_off_line1"
        world.ask(socket, key)
    world.ticks(2)
    for socket in world.sockets:
        key = "power_on" if socket.model.code == "D210" else "power_on_line1"
        world.ask(socket, key)
    world.ticks(15)

    assert len(list(world.dark())) >= 1
