"""A model without an atomic cycle is rebooted from the console as well: all texts first, then a yes."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import Command, Device, Restoration
from devices.services import plan_for
from devices.services.restorations import texts_of_cycle
from platforms.models import Platform, User
from platforms.roles import Role
from remosa.console.commissioning import guide
from tests.devices.commands import after
from tests.factories import make_device, make_gateway, make_link, make_socket, make_user

Pages = Callable[[User], Client]


@pytest.fixture
def socket(north: Platform) -> Device:
    """A D410 of north; one player hangs on its second output."""
    row = make_socket(north, name="socket 12", model="D410")
    make_link(make_device(north, name="lobby"), row, 2)
    make_gateway(north, price="2.50")
    return row


def url(device: Device, line: int = 2) -> str:
    return f"{reverse('admin:devices_device_cycle', args=[device.pk])}?line={line}"


@pytest.mark.parametrize(
    ("model", "line", "texts"),
    [("D410", 2, ["#11#2#1#5#", "#02#2#"]), ("ISOCKET-706", 2, ["OFFM", "ONM"]), ("D210", 1, ["#12#0#3#1#"])],
)
def test_the_texts_are_those_that_are_sent(north: Platform, model: str, line: int, texts: list[str]) -> None:
    device = make_socket(north, model=model)

    rendered, quote = texts_of_cycle(device, plan_for(device, line), minutes=3)

    assert [text.body for text in rendered] == texts
    assert quote.segments == len(texts)


def test_all_texts_and_who_goes_dark_are_shown_and_nothing_is_sent(
    socket: Device, alice: User, browser_of: Pages
) -> None:
    page = browser_of(alice).post(url(socket), {"line": "2", "minutes": "3", "reason": "hung"})

    text = page.content.decode()
    assert all(part in text for part in ("#11#2#1#5#", "#02#2#", "5 RUB", "lobby"))
    assert (page.status_code, Command.objects.count()) == (200, 0)


def test_with_a_yes_it_is_armed_once_and_its_story_is_shown(
    socket: Device, alice: User, browser_of: Pages
) -> None:
    form = {"line": "2", "minutes": "3", "reason": "hung", "nonce": "0" * 32, "sending": "yes"}
    browser = browser_of(alice)

    unsure = browser.post(url(socket), form)
    sure = [browser.post(url(socket), {**form, "confirmed": "on"}) for _twice in range(2)]

    story = Restoration.objects.get()
    assert (unsure.status_code, [answer.status_code for answer in sure]) == (200, [302, 302])
    assert sure[0].headers["Location"] == reverse("admin:devices_restoration_change", args=[story.pk])
    assert [command.body for command in Command.objects.all()] == ["#11#2#1#5#"]
    assert (story.actor, story.reason, story.line) == (alice, "hung", 2)


@pytest.mark.parametrize("line", ["0", "3", "x", "999"])
def test_an_output_that_there_is_not_is_not_found(
    socket: Device, alice: User, browser_of: Pages, line: str
) -> None:
    page = reverse("admin:devices_device_cycle", args=[socket.pk])

    assert browser_of(alice).get(page, {"line": line}).status_code == 404


def test_who_may_not_switch_off_may_not_do_it_here(
    socket: Device, north: Platform, bob: User, charlie: User, browser_of: Pages
) -> None:
    owner = make_user("own", platform=north, role=Role.USER)
    Device.objects.filter(pk=socket.pk).update(owner=owner)

    assert [browser_of(person).get(url(socket)).status_code for person in (bob, owner)] == [403, 403]
    assert browser_of(charlie).get(url(socket)).status_code == 404


def test_the_player_and_the_list_of_commands_lead_there(
    socket: Device, alice: User, browser_of: Pages
) -> None:
    player = socket.feeds.get().device
    page = reverse("admin:devices_device_cycle", args=[socket.pk])

    of_player = browser_of(alice).get(f"/admin/devices/device/{player.pk}/change/").content.decode()
    commands = browser_of(alice).get(reverse("admin:devices_device_send", args=[socket.pk]))

    assert f"{page}?line=2&amp;target={player.pk}" in of_player
    assert [line for line, _url in commands.context["cycles"]] == [1, 2]


def test_the_guide_counts_it_as_the_test_cycle(socket: Device, alice: User, browser_of: Pages) -> None:
    before = guide(socket, alice, now=after()).steps[-1]
    page = (
        browser_of(alice).get(reverse("admin:devices_device_commission", args=[socket.pk])).content.decode()
    )

    assert (before.state, before.cycle_line) == ("todo", 1)
    assert f"{reverse('admin:devices_device_cycle', args=[socket.pk])}?line=1" in page
