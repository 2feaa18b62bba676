"""People hear of an output that stays dark: once each, with a way to its page, even when the bell was lost."""

import pytest

from devices.models import DeviceEvent
from devices.services import record_event
from notifications.device_events import notify_of_event, notify_of_missed_events
from notifications.models import Delivery, Notice
from notifications.rendering import sentence
from notifications.services import path_of
from platforms.models import Platform, User
from tests.devices.commands import after
from tests.factories import NOW, make_socket


@pytest.mark.parametrize("kind", ["left_dark", "not_on_again", "removed_dark", "on_again", "off_unasked"])
def test_who_manages_the_platform_is_told_once(
    north: Platform, alice: User, charlie: User, kind: str
) -> None:
    socket = make_socket(north, name="hall")
    event = record_event(socket, kind, at=NOW, line=1)

    first, again = notify_of_event(event.pk), notify_of_event(event.pk)

    assert (first is not None, again) == (True, None)
    assert first.severity == DeviceEvent.objects.get().severity
    assert set(Delivery.objects.values_list("user__username", flat=True)) == {"alice"}
    assert sentence(first.kind, first.data).startswith("hall: ")
    assert "output 1" in sentence(first.kind, first.data)
    assert path_of(first) == f"/admin/devices/device/{socket.pk}/change/"


def test_a_lost_bell_costs_a_sweep_and_what_is_ordinary_is_no_notice(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    for kind in ("not_on_again", "mains_lost", "alarm"):
        record_event(socket, kind, at=NOW, line=1)

    told = [notify_of_missed_events(now=after(minutes=minute)) for minute in (1, 2)]

    assert told == [1, 0]
    assert Notice.objects.count() == 1


def test_of_a_closed_platform_the_operator_is_told(north: Platform, alice: User, root: User) -> None:
    event = record_event(make_socket(north), "not_on_again", at=NOW, line=1)
    Platform.objects.update(is_active=False)

    notify_of_event(event.pk)

    assert set(Delivery.objects.values_list("user", flat=True)) == {root.pk}
