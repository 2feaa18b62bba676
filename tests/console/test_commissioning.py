"""The guide reads its steps from commands, and tells who dropped in the test cycle."""

from datetime import datetime, timedelta

import pytest

from devices.models import Command, Device, PowerLink
from platforms.models import Platform, User
from remosa.console.commissioning import SETTLING, guide
from remosa.lib.clock import utcnow
from tests.console.world import make_command
from tests.factories import make_device, make_gateway, make_link, make_socket

pytestmark = pytest.mark.django_db


def states(socket: Device, user: User) -> list[str]:
    return [step.state for step in guide(socket, user, now=utcnow()).steps]


def sent_at(command: Command, at: datetime) -> None:
    Command.objects.filter(pk=command.pk).update(created_at=at)


def fell(device: Device) -> None:
    Device.objects.filter(pk=device.pk).update(state="offline", state_since=utcnow())


def test_the_steps_follow_the_commands(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    assert states(socket, alice) == ["todo"] * 5

    make_command(socket, key="register_admin", state="replied")
    make_command(socket, key="add_user", state="queued")
    make_command(socket, key="status", state="refused")

    assert states(socket, alice) == ["done", "waiting", "todo", "failed", "todo"]


def test_what_was_done_before_a_move_has_to_be_done_again(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    sent_at(make_command(socket, key="status", state="replied"), utcnow() - timedelta(days=1))
    socket.recheck_since = utcnow()

    assert states(socket, alice)[3] == "todo"


def test_a_step_that_the_model_has_no_command_for_says_so(north: Platform, alice: User) -> None:
    assert states(make_socket(north, model="ISOCKET-706"), alice)[0] == "absent"


def test_who_dropped_is_confirmed_proposed_or_a_warning(north: Platform, alice: User) -> None:
    socket, other = make_socket(north), make_socket(north)
    linked, bare, foreign, steady = (make_device(north, name=name) for name in "abcd")
    make_link(linked, socket)
    make_link(steady, socket)
    link = make_link(foreign, other)
    test = make_command(socket, state="replied")
    for device in (linked, bare, foreign):
        fell(device)

    found = guide(socket, alice, now=utcnow()).ring

    assert (found.command, found.is_over) == (test, False)
    assert (found.confirmed, found.proposed, found.foreign, found.still_up) == (
        [linked],
        [bare],
        [link],
        [steady],
    )


def test_what_happened_long_after_the_test_is_not_blamed_on_it(north: Platform, alice: User) -> None:
    socket, player = make_socket(north), make_device(north)
    past = utcnow() - SETTLING - timedelta(minutes=5)
    sent_at(make_command(socket, state="replied"), past)
    socket.created_at = past
    fell(player)

    found = guide(socket, alice, now=utcnow()).ring

    assert found.is_over
    assert found.proposed == []


def test_a_test_that_never_left_tells_nothing(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    make_command(socket, state="cancelled")

    assert guide(socket, alice, now=utcnow()).ring is None


def test_a_gateway_says_how_many_sockets_do_not_know_it(north: Platform, alice: User) -> None:
    first = make_gateway(north, sender_msisdn="+79160000001", priority=1)
    backup = make_gateway(north, sender_msisdn="+79160000002", priority=2)
    socket = make_socket(north, labels={"senders": "+79160000001, +79160000002"})
    make_socket(north, labels={"senders": "+79160000001"})

    found = guide(socket, alice, now=utcnow()).senders

    assert [(row.gateway, row.obeyed, row.deaf, row.sockets) for row in found] == [
        (first, True, 0, 2), (backup, True, 1, 2),
    ]  # fmt: skip


def test_a_proposed_link_is_made_with_one_click_and_only_by_who_may(
    north: Platform, alice: User, bob: User, charlie: User, browser_of
) -> None:
    socket, player = make_socket(north), make_device(north)
    make_command(socket, state="replied")
    fell(player)
    url = f"/admin/devices/device/{socket.pk}/commission/"

    assert browser_of(charlie).get(url).status_code == 404
    assert browser_of(bob).post(url, {"player": player.pk, "line": 1}).status_code == 403
    page = browser_of(alice)
    assert "It hangs here" in page.get(url).content.decode()
    page.post(url, {"player": player.pk, "line": 9})
    assert not PowerLink.objects.exists()
    page.post(url, {"player": player.pk, "line": 1})

    assert PowerLink.objects.get(valid_to=None).socket == socket
    assert "dropped, as linked" in page.get(url).content.decode()
