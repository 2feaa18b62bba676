"""Commands to many devices and commands at their time: each with a result, none twice, none late."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from devices.errors import CommandForbidden, CommandInvalid
from devices.models import Command, CommandSchedule, Device
from devices.services import sweep_commands
from devices.services.bulk import bulk_preview, bulk_request
from devices.services.schedules import check_cron, schedule_command, unschedule
from platforms.models import Platform, User
from platforms.services import set_role
from remosa.lib.cron import next_time
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.devices.commands import after
from tests.factories import NOW, make_gateway, make_socket, make_user

Pages = Callable[[User], Client]


@pytest.fixture
def sockets(north: Platform) -> list[Device]:
    make_gateway(north, price="2.50")
    return [make_socket(north, model=model) for model in ("D210", "D210", "GSM-SOCKET", "ISOCKET-706")]


def send(sockets: list[Device], by: User, key: str = "power_cycle", **over: Any) -> list[Any]:
    wanted = {
        "template_key": key,
        "params": {"minutes": 1},
        "by": by,
        "source": "person",
        "idem_key": "one",
        "now": NOW,
    }
    return bulk_request(sockets, **{**wanted, **over})


# --- many devices ------------------------------------------------------------------------------------


def test_the_preview_names_text_price_and_who_is_skipped_and_writes_nothing(
    sockets: list[Device], alice: User
) -> None:
    rows = bulk_preview([*sockets, sockets[0]], template_key="power_cycle", params={"minutes": 1}, by=alice)

    assert [row.text for row in rows] == ["#12#0#1#1#", "#12#0#1#1#", "", "OFF1"], (
        "each in the words of its model"
    )
    assert [bool(row.skipped) for row in rows] == [False, False, True, False]
    assert "power_cycle" in rows[2].skipped
    assert float(sum(row.price for row in rows)) == 7.5
    assert not Command.objects.exists()


def test_each_device_gets_its_own_command_once(sockets: list[Device], alice: User) -> None:
    first, again = send(sockets, alice), send(sockets, alice)

    assert [row.command for row in first] == [row.command for row in again]
    assert Command.objects.count() == 3
    assert [bool(row.skipped) for row in first] == [False, False, True, False]
    assert len(set(Command.objects.values_list("cause_id", flat=True))) == 1, "one deed"


def test_one_refusal_does_not_stop_the_others(sockets: list[Device], north: Platform, alice: User) -> None:
    user = make_user("u", platform=north, role="user")
    Device.objects.filter(pk=sockets[1].pk).update(owner=user)
    Device.objects.filter(pk=sockets[3].pk).update(is_active=False)

    rows = send(list(Device.objects.order_by("pk")), user)

    assert [row.command is not None for row in rows] == [False, True, False, False]


def test_a_bad_parameter_skips_all_with_a_sentence(sockets: list[Device], alice: User) -> None:
    rows = send(sockets[:2], alice, params={"minutes": "1#"})

    assert all("1 to 720" in row.skipped for row in rows)


def test_the_console_asks_first_and_then_shows_each_result(
    sockets: list[Device], alice: User, bob: User, south: Platform, browser: Pages
) -> None:
    foreign = make_socket(south)
    numbers = ",".join(str(row.pk) for row in [*sockets, foreign])
    url, page = reverse("admin:devices_device_bulk"), browser(alice)
    form = {"devices": numbers, "template": "power_cycle", "p_minutes": "1", "nonce": "a" * 32}

    chosen = page.post(
        reverse("admin:devices_device_changelist"),
        {"action": "send_to_selected", "_selected_action": [row.pk for row in sockets]},
    )
    seen = page.post(url, form)
    unconfirmed = page.post(url, {**form, "sending": "yes"})
    before = Command.objects.count()
    done = page.post(url, {**form, "sending": "yes", "confirmed": "on"})

    assert chosen.status_code == 302
    assert chosen["Location"].startswith(url)
    assert "7.50" in seen.content.decode()
    assert foreign.name not in seen.content.decode()
    assert (before, Command.objects.count()) == (0, 3), unconfirmed.content.decode()
    assert done.status_code == 200
    assert browser(bob).get(url, {"devices": numbers}).status_code == 403


@pytest.fixture
def browser() -> Pages:
    def sign_in(person: User) -> Client:
        User.objects.filter(pk=person.pk).update(language="en")
        client = Client()
        client.force_login(person, backend="platforms.authentication.UsernameOrEmailBackend")
        return client

    return sign_in


def test_the_api_previews_sends_and_reboots(sockets: list[Device], south: Platform, alice: User) -> None:
    client = APIClient()
    client.force_authenticate(alice)
    body = {"devices": [row.pk for row in sockets], "template": "power_cycle", "params": {"minutes": 1}}
    d410 = make_socket(sockets[0].platform, model="D410")

    seen = client.post("/api/v1/commands/bulk/", body)
    count = Command.objects.count()
    sent = client.post("/api/v1/commands/bulk/", {**body, "confirm": True}, headers={"Idempotency-Key": "k"})
    foreign = client.post("/api/v1/commands/bulk/", {**body, "devices": [make_socket(south).pk]})
    cycle = client.post(
        "/api/v1/commands/cycle/",
        {"device": d410.pk, "line": 1, "minutes": 1},
        headers={"Idempotency-Key": "c"},
    )

    assert (seen.status_code, count, sent.status_code, foreign.status_code) == (200, 0, 200, 400), (
        seen.content
    )
    assert [bool(row["command"]) for row in sent.json()["results"]] == [True, True, False, True]
    assert cycle.status_code == 201
    assert cycle.json()["restoration"]


# --- at their time -----------------------------------------------------------------------------------


def plan(device: Device, by: User, **over: Any) -> CommandSchedule:
    wanted: dict[str, Any] = {"template_key": "status", "params": {}, "by": by, "now": NOW}
    return schedule_command(device=device, **{**wanted, **over})


def test_once_is_once(sockets: list[Device], alice: User) -> None:
    row = plan(sockets[0], alice, at=after(minutes=10))

    for minute in (9, 10, 11, 12):
        sweep_commands(now=after(minutes=minute))

    row.refresh_from_db()
    command = Command.objects.get()
    assert (command.source, command.created_at, command.actor) == ("schedule", after(minutes=10), alice)
    assert (row.next_at, row.last_result) == (None, "requested")


def test_again_and_again_in_the_platforms_own_time(
    sockets: list[Device], north: Platform, alice: User
) -> None:
    Platform.objects.filter(pk=north.pk).update(time_zone="Europe/Moscow")
    device = Device.objects.select_related("platform").get(pk=sockets[0].pk)
    row = plan(device, alice, cron="0 8 * * *")

    assert row.next_at == datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
    for day in (0, 1, 2):
        for minute in (0, 1, 2):
            sweep_commands(now=datetime(2026, 3, 4, 5, minute, tzinfo=UTC) + timedelta(days=day))

    assert Command.objects.count() == 3


def test_what_is_late_is_skipped_and_not_made_up_for(sockets: list[Device], alice: User) -> None:
    row = plan(sockets[0], alice, cron="0 * * * *")

    sweep_commands(now=after(hours=5, minutes=20))

    row.refresh_from_db()
    assert not Command.objects.exists()
    assert (row.last_result, row.next_at) == ("skipped_late", after(hours=6))


@pytest.mark.parametrize(("start", "moments"), [("2026-03-28", 3), ("2026-10-24", 3)])
def test_a_change_of_clocks_neither_doubles_nor_drops_a_day(start: str, moments: int) -> None:
    at = datetime.fromisoformat(f"{start}T00:00:00+00:00")
    times = []
    for _day in range(moments):
        at = next_time("30 12 * * *", "Europe/Berlin", after=at)
        times.append(at)

    assert [moment.date().day for moment in times] == [times[0].day + n for n in range(moments)]


def test_who_lost_the_right_sends_nothing_any_more(
    sockets: list[Device], north: Platform, alice: User
) -> None:
    person = make_user("m", platform=north, role="manager")
    row = plan(sockets[0], person, at=after(minutes=10))
    set_role(user=person, platform=north, role="viewer")

    sweep_commands(now=after(minutes=10))

    row.refresh_from_db()
    assert not Command.objects.exists()
    assert "role" in row.last_result


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/5 * * * *", "0 8 * *", "0 8 * * * *", "@daily", "61 * * * *", ""]
)
def test_a_bad_or_restless_cron_is_refused(cron: str) -> None:
    with pytest.raises(CommandInvalid):
        check_cron(cron, "UTC", now=NOW)


def test_only_what_may_be_sent_may_be_planned(sockets: list[Device], bob: User, alice: User) -> None:
    with pytest.raises(CommandForbidden):
        plan(sockets[0], bob, at=after(minutes=1))
    for over in (
        {},
        {"at": NOW},
        {"at": after(minutes=1), "cron": "0 8 * * *"},
        {"cron": "0 8 * * *", "params": {"x": 1}},
    ):
        with pytest.raises(CommandInvalid):
            plan(sockets[0], alice, **over)

    row = plan(sockets[0], alice, cron="0 8 * * *")
    unschedule(row, by=alice, now=NOW)
    assert not CommandSchedule.objects.exists()


# --- the page --------------------------------------------------------------------------------------


def test_typed_parameters_and_plain_times_make_a_schedule(
    sockets: list[Device], north: Platform, alice: User, browser_of
) -> None:
    Platform.objects.filter(pk=north.pk).update(time_zone="Europe/Moscow")
    page, socket = browser_of(alice), sockets[0]
    chosen = page.post("/admin/devices/commandschedule/add/", {"device": socket.pk})
    url = f"/admin/devices/device/{socket.pk}/schedule/"
    assert chosen.headers["Location"] == url
    assert "power_cycle" in page.get(url).content.decode()
    body = {
        "template": "power_cycle",
        "repeat": "weekdays",
        "at": "07:30",
        "p_minutes": "3",
        "reason": "fresh start",
    }

    shown = page.post(url, body).content.decode()
    assert "#12#0#3#1#" in shown
    assert not CommandSchedule.objects.exists()
    page.post(url, {**body, "sending": "yes"})  # it darkens: asked for twice
    assert not CommandSchedule.objects.exists()
    page.post(url, {**body, "sending": "yes", "confirmed": "on"})

    row = CommandSchedule.objects.get()
    assert (row.cron, row.params, row.actor) == ("30 7 * * 1-5", {"minutes": 3}, alice)


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"p_minutes": "0"}, "p_minutes"), ({"p_minutes": "1#2"}, "p_minutes"), ({"at": ""}, "at"),
        ({"repeat": "cron", "cron": "* * * * *"}, "cron"), ({"repeat": "cron", "cron": "soon"}, "cron"),
        ({"repeat": "once", "day": "2020-01-01"}, "at"), ({"repeat": "once", "day": ""}, "day"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_schedule_is_named(
    sockets: list[Device], alice: User, browser_of, over: dict[str, str], field: str
) -> None:
    body = {
        "template": "power_cycle", "repeat": "daily", "at": "07:30", "p_minutes": "3", "sending": "yes",
        "confirmed": "on",
    }  # fmt: skip

    page = browser_of(alice).post(f"/admin/devices/device/{sockets[0].pk}/schedule/", {**body, **over})

    assert page.status_code == 400
    assert list(page.context["form"].errors) == [field]
    assert not CommandSchedule.objects.exists()


def test_a_foreign_socket_is_not_scheduled(
    sockets: list[Device], bob: User, charlie: User, browser_of
) -> None:
    url = f"/admin/devices/device/{sockets[0].pk}/schedule/"

    assert browser_of(charlie).get(url).status_code == 404
    assert browser_of(bob).get(url).status_code == 403
