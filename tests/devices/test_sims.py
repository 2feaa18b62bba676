"""The SIM cards of sockets: silence and the end of payment are told once, a monthly question only where agreed."""

from datetime import date, timedelta

import pytest

from devices.models import Command, Device, DeviceEvent
from devices.sentences import event_sentence
from devices.services.outcomes import record_reply
from devices.services.sims import ask_monthly, tell_of_payment, tell_of_silence
from notifications.device_events import notify_of_event
from platforms.models import Platform, User
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.factories import NOW, make_device, make_gateway, make_socket

pytestmark = pytest.mark.django_db


def days(number: float) -> timedelta:
    return timedelta(days=number)


def made(north: Platform, *, heard: float | None = None, **fields) -> Device:
    """A socket that came 100 days ago and was heard ``heard`` days ago."""
    socket = make_socket(north, **fields)
    heard_at = None if heard is None else NOW - days(heard)
    Device.objects.filter(pk=socket.pk).update(created_at=NOW - days(100), heard_at=heard_at)
    socket.refresh_from_db()
    return socket


def kinds() -> list[tuple[str, str]]:
    return sorted(DeviceEvent.objects.values_list("device__name", "kind"))


def test_a_silence_of_eight_days_is_told_once_and_again_after_the_next_silence(north: Platform) -> None:
    socket = made(north, heard=8, name="mute")
    made(north, heard=7.9, name="fresh")

    assert [tell_of_silence(now=NOW + timedelta(minutes=n)) for n in range(3)] == [1, 0, 0]
    event = DeviceEvent.objects.get()
    assert (event.device, event.kind, event.data) == (socket, "silent", {"days": 8, "ever": True})
    assert "8" in event_sentence(event.kind, event.data)

    record_reply(socket, text="OUT1 ON", at=NOW + days(1))
    assert tell_of_silence(now=NOW + days(5)) == 1  # the other one
    assert tell_of_silence(now=NOW + days(9.5)) == 1
    assert DeviceEvent.objects.filter(device=socket).count() == 2


def test_a_socket_that_never_answered_is_told_of_as_such(north: Platform) -> None:
    made(north, name="never")

    tell_of_silence(now=NOW)

    assert "never" in event_sentence("silent", DeviceEvent.objects.get().data)


def test_people_get_a_notice_of_a_silent_socket(north: Platform, alice: User) -> None:
    made(north, heard=30)
    tell_of_silence(now=NOW)

    assert notify_of_event(DeviceEvent.objects.get().pk) is not None


def test_nobody_is_told_of_what_is_no_socket_in_service(north: Platform) -> None:
    for over in ({"is_active": False}, {"msisdn": ""}):
        socket = made(north, heard=30)
        Device.objects.filter(pk=socket.pk).update(**over)
    player = make_device(north)
    Device.objects.filter(pk=player.pk).update(created_at=NOW - days(100))

    assert tell_of_silence(now=NOW) == 0


def test_any_text_of_the_socket_breaks_its_silence(north: Platform) -> None:
    socket = made(north, heard=30)

    record_reply(socket, text="what nobody can read", at=NOW)

    socket.refresh_from_db()
    assert socket.heard_at == NOW


def test_the_end_of_payment_is_told_once_a_week_before(north: Platform) -> None:
    socket = made(north, heard=1, sim_paid_until=(NOW + days(7)).date())
    made(north, heard=1, sim_paid_until=(NOW + days(9)).date())

    assert [tell_of_payment(now=NOW), tell_of_payment(now=NOW)] == [1, 0]
    assert DeviceEvent.objects.get().device == socket

    Device.objects.filter(pk=socket.pk).update(sim_paid_until=date(2027, 1, 1))
    assert tell_of_payment(now=NOW + days(1)) == 0
    assert tell_of_payment(now=NOW + days(300)) == 2


def test_the_monthly_question_is_asked_where_agreed_by_day_and_once(north: Platform) -> None:
    make_gateway(north)
    agreed = made(north, heard=31, sim_monthly_status=True)
    made(north, heard=31)
    made(north, heard=20, sim_monthly_status=True)
    night = NOW.replace(hour=23)

    assert ask_monthly(now=night) == 0
    assert [ask_monthly(now=NOW), ask_monthly(now=NOW + days(1))] == [1, 0]

    command = Command.objects.get()
    assert (command.device, command.effect, command.source) == (agreed, "query", "schedule")
    assert ask_monthly(now=NOW + days(31)) == 2  # the third one was silent for long enough by then


def test_the_page_shows_the_sim_and_hides_its_account_from_readers(
    north: Platform, alice: User, bob: User, browser_of
) -> None:
    socket = made(north, heard=9, sim_account="9912345678", sim_operator="MTS")
    url = f"/admin/devices/device/{socket.pk}/change/"

    assert "9912345678" in browser_of(alice).get(url).content.decode()
    page = browser_of(bob).get(url).content.decode()
    assert "9912345678" not in page
    assert "MTS" in page
