"""Sending a command from the console, end to end: choose, fill in, see, confirm; sent twice it is one command."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import Command, CommandTemplate, Device
from platforms.models import AuditEvent, Platform, User
from platforms.roles import Role
from sms.models import SmsMessage
from tests.devices.commands import ask
from tests.factories import make_device, make_gateway, make_link, make_socket, make_user

Pages = Callable[[User], Client]


@pytest.fixture
def socket(north: Platform) -> Device:
    """A socket of north that feeds two players."""
    row = make_socket(north, name="socket 12")
    for name in ("lobby", "window"):
        make_link(make_device(north, name=name), row)
    make_gateway(north, price="2.50")
    return row


def send_url(device: Device) -> str:
    return reverse("admin:devices_device_send", args=[device.pk])


def test_only_commands_that_the_role_may_send_are_offered(
    socket: Device, north: Platform, alice: User, root: User, browser_of: Pages
):
    user = make_user("mark", platform=north, role=Role.MANAGER)

    offered = {
        person.username: {
            row.key
            for _name, rows in browser_of(person).get(send_url(socket)).context["groups"]
            for row in rows
        }
        for person in (user, alice, root)
    }

    assert offered["mark"] < offered["alice"] < offered["root"]
    dangerous = set(
        CommandTemplate.objects.filter(model=socket.model, dangerous=True).values_list("key", flat=True)
    )
    assert not offered["mark"] & dangerous
    assert offered["root"] >= dangerous


def test_the_reboot_stands_on_top_and_what_is_dangerous_at_the_end(
    socket: Device, root: User, browser_of: Pages
):
    groups = [rows for _name, rows in browser_of(root).get(send_url(socket)).context["groups"]]

    assert [row.key for row in groups[0][:3]] == ["power_cycle", "power_on", "power_off"]
    assert [any(row.dangerous for row in rows) for rows in groups] == [False] * (len(groups) - 1) + [True]
    assert 'value="1"' in browser_of(root).get(f"{send_url(socket)}?template=power_cycle").content.decode()


def test_a_viewer_cannot_open_the_form(socket: Device, bob: User, browser_of: Pages):
    assert browser_of(bob).get(send_url(socket)).status_code == 403


def test_the_preview_shows_text_price_and_who_goes_dark_and_sends_nothing(
    socket: Device, alice: User, browser_of: Pages
):
    answer = browser_of(alice).post(
        send_url(socket), {"template": "power_cycle", "p_minutes": "1", "reason": "hung"}
    )

    page = answer.content.decode()
    assert answer.status_code == 200
    assert "#12#0#1#1#" in page
    assert "2.5 RUB" in page
    assert "lobby" in page
    assert "window" in page
    assert not Command.objects.exists()


def test_without_the_confirmation_nothing_is_sent(socket: Device, alice: User, browser_of: Pages):
    form = {"template": "power_cycle", "p_minutes": "1", "reason": "", "sending": "yes"}

    answer = browser_of(alice).post(send_url(socket), form)

    assert "confirmed" in answer.context["confirm"].errors
    assert not Command.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_twice_is_one_command_and_one_sms(socket: Device, alice: User, browser_of: Pages):
    client = browser_of(alice)
    shown = client.post(send_url(socket), {"template": "power_cycle", "p_minutes": "1", "reason": "hung"})
    form = {
        "template": "power_cycle", "p_minutes": "1", "reason": "hung", "sending": "yes", "confirmed": "on",
        "nonce": shown.context["nonce"],
    }  # fmt: skip

    first, second = client.post(send_url(socket), form), client.post(send_url(socket), form)

    command = Command.objects.get()
    assert first.status_code == second.status_code == 302
    assert first.url == second.url == reverse("admin:devices_command_change", args=[command.pk])
    assert (command.body, command.actor, command.state, command.reason) == (
        "#12#0#1#1#",
        alice,
        "queued",
        "hung",
    )
    assert SmsMessage.objects.get().command == command
    assert AuditEvent.objects.filter(verb="command.requested").count() == 1


def test_the_same_number_with_another_content_is_refused(socket: Device, alice: User, browser_of: Pages):
    client = browser_of(alice)
    form = {
        "template": "power_cycle", "p_minutes": "1", "reason": "", "sending": "yes", "confirmed": "on",
        "nonce": "0" * 32,
    }  # fmt: skip

    client.post(send_url(socket), form)
    answer = client.post(send_url(socket), {**form, "p_minutes": "2"})

    assert answer.status_code == 400
    assert Command.objects.count() == 1


@pytest.mark.parametrize("minutes", ["0", "721", "1#", "", "-1", "1.5", "\x00", "1\r\n2"])
def test_a_parameter_that_cannot_be_sent_is_a_sentence_at_its_field(
    minutes: str, socket: Device, alice: User, browser_of: Pages
):
    form = {
        "template": "power_cycle",
        "p_minutes": minutes,
        "reason": "",
        "sending": "yes",
        "confirmed": "on",
    }

    answer = browser_of(alice).post(send_url(socket), form)

    assert answer.status_code == 400
    assert answer.context["form"].errors["p_minutes"]
    assert not Command.objects.exists()


@pytest.mark.parametrize("template", ["no_such", "power_cycle' --", "remove_all_users"])
def test_a_template_that_is_not_offered_cannot_be_sent(
    template: str, socket: Device, north: Platform, browser_of: Pages
):
    user = make_user("mark", platform=north, role=Role.MANAGER)

    answer = browser_of(user).post(
        send_url(socket), {"template": template, "sending": "yes", "confirmed": "on"}
    )

    assert answer.status_code == 403
    assert not Command.objects.exists()


def test_a_query_is_sent_without_a_second_question(socket: Device, alice: User, browser_of: Pages):
    answer = browser_of(alice).post(send_url(socket), {"template": "status", "reason": "", "sending": "yes"})

    assert answer.status_code == 302
    assert Command.objects.get().effect == "query"


def test_the_player_that_is_to_be_repaired_is_kept_with_the_command(
    socket: Device, north: Platform, alice: User, browser_of: Pages
):
    player = Device.objects.get(name="lobby")
    stray = make_device(north, name="hangs elsewhere")
    client = browser_of(alice)
    form = {"template": "power_cycle", "p_minutes": "1", "reason": "", "sending": "yes", "confirmed": "on"}

    url = client.get(reverse("admin:devices_device_change", args=[player.pk])).context["cycle_url"]
    client.post(url, {**form, "target": str(player.pk), "nonce": "1" * 32})
    client.post(send_url(socket), {**form, "target": str(stray.pk), "nonce": "2" * 32})

    assert [row.target for row in Command.objects.order_by("created_at")] == [player, None]


def test_the_password_of_a_socket_is_shown_on_no_page(socket: Device, root: User, browser_of: Pages):
    client = browser_of(root)
    template = next(
        row
        for row in CommandTemplate.objects.filter(model=socket.model)
        if any(param.secret for param in row.spec.params)
    )
    form = {f"p_{param.name}": "4711" for param in template.spec.params}

    client.post(
        send_url(socket),
        {"template": template.key, **form, "reason": "", "sending": "yes", "confirmed": "on"},
    )

    command = Command.objects.get()
    assert "4711" in command.body
    for url in (
        reverse("admin:devices_command_change", args=[command.pk]),
        reverse("admin:sms_smsmessage_changelist"),
        reverse("admin:devices_device_change", args=[socket.pk]),
    ):
        assert "4711" not in client.get(url).content.decode(), url


def test_a_command_is_cancelled_before_it_leaves_and_not_after(
    socket: Device, alice: User, browser_of: Pages
):
    client = browser_of(alice)
    client.post(send_url(socket), {"template": "status", "reason": "", "sending": "yes"})
    command = Command.objects.get()
    url = reverse("admin:devices_command_cancel", args=[command.pk])

    client.post(url, {"reason": "mistake"})
    command.refresh_from_db()
    again = client.post(url, {"reason": "mistake"}, follow=True)

    assert command.state == "cancelled"
    assert "the state has changed meanwhile" in again.content.decode()


def test_a_command_to_many_names_who_goes_dark_and_who_is_skipped_and_waits_for_the_confirmation(
    socket: Device, north: Platform, alice: User, browser_of: Pages
):
    other = make_socket(north, name="socket 13", model="D410")
    page = browser_of(alice)
    url = reverse("admin:devices_device_bulk")
    filled = {"devices": f"{socket.pk},{other.pk}", "template": "power_cycle", "p_minutes": "2", "reason": ""}

    shown = page.post(url, filled)
    text = shown.content.decode()
    nothing_sent = not Command.objects.exists()
    page.post(url, {**filled, "sending": "yes", "nonce": shown.context["nonce"], "confirmed": "on"})

    assert nothing_sent
    assert [(row.device, [each.name for each in dark]) for row, dark in shown.context["ready"]] == [
        (socket, ["lobby", "window"])
    ]
    assert [row.device for row in shown.context["skipped"]] == [other]
    assert "lobby" in text
    assert shown.context["minutes"] == 2
    assert [command.device for command in Command.objects.all()] == [socket]


def test_a_lone_off_says_that_it_stays_off(socket: Device, alice: User, browser_of: Pages):
    page = browser_of(alice).post(send_url(socket), {"template": "power_off", "reason": ""}).content.decode()

    assert "until somebody switches it on" in page


def test_a_command_that_waits_says_for_what_and_who_asked(socket: Device, alice: User, browser_of: Pages):
    busy, waiting = ask(socket), ask(socket, reason="hung", actor=alice, source="person")

    page = browser_of(alice).get(reverse("admin:devices_command_change", args=[waiting.pk])).content.decode()

    assert waiting.state == "requested"
    assert "The socket is busy with another command" in page
    assert reverse("admin:devices_command_change", args=[busy.pk]) in page
    assert "The command was asked for." in page
