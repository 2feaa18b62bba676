"""A gateway that takes nothing more is said to people at once, once, and to those whom it hurts."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone, translation

from notifications.gateways import notify_of_gateways
from notifications.models import Delivery, Notice
from notifications.rendering import sentence
from notifications.services import deliver_due
from sms.models import Gateway
from sms.services import gateways
from tests.factories import NOW, make_user
from tests.sms.fakes import make_command, make_fake, rejected


@pytest.fixture
def no_queue(monkeypatch):
    """Deliveries are made by the test."""
    monkeypatch.setattr("notifications.gateways.later", lambda *_: None)


@pytest.fixture
def people(alice, charlie, root):
    return alice, charlie, root


def suspend(gateway, *, now=NOW, **over):
    gateways.suspend(gateway.pk, until=now + timedelta(minutes=5), now=now, last_error="http_401", **over)


def told() -> set[tuple[str, str]]:
    rows = Delivery.objects.filter(channel="console")
    return set(rows.values_list("notice__platform__name", "user__username"))


def test_own_gateway_is_told_to_those_who_run_the_platform(north, bob, people, fake, no_queue):
    gateway = make_fake(north, name="SMSC")
    for _ in range(3):
        make_command(north)
    suspend(gateway)

    assert notify_of_gateways(now=NOW) == 1

    notice = Notice.objects.get()
    assert told() == {("north", "alice")}
    assert (notice.kind, notice.severity) == ("gateway_blocked", "critical")
    with translation.override("en"), timezone.override("Europe/Moscow"):
        assert sentence(notice.kind, notice.data) == "SMSC refuses since 15:00; 3 commands wait"
    with translation.override("ru"), timezone.override("Europe/Moscow"):
        assert sentence(notice.kind, notice.data) == "SMSC отклоняет с 15:00; ждут 3 команды"


def test_shared_gateway_is_told_to_who_uses_it_without_its_name_and_to_the_operator(
    north, south, people, fake, no_queue
):
    gateway = make_fake(None, name="Operator's own")
    make_command(north)
    suspend(gateway)

    assert notify_of_gateways(now=NOW) == 1
    assert told() == {("north", "alice"), ("north", "root")}
    notice = Notice.objects.get()
    assert sentence(notice.kind, notice.data).startswith("Shared SMS gateway refuses since")


def test_shared_gateway_hurts_nobody_who_has_an_own_one(north, south, people, fake, no_queue):
    make_fake(south)
    shared = make_fake(None)
    make_command(south)
    suspend(shared)

    assert notify_of_gateways(now=NOW) == 0


def test_it_is_told_once_and_again_after_half_an_hour(north, people, fake, no_queue):
    gateway = make_fake(north)
    suspend(gateway)
    assert [notify_of_gateways(now=NOW + timedelta(minutes=minute)) for minute in (0, 1, 2)] == [1, 0, 0]

    for minute, new in ((10, 0), (40, 1)):
        at = NOW + timedelta(minutes=minute)
        Gateway.objects.update(breaker="closed")
        suspend(gateway, now=at)
        assert notify_of_gateways(now=at) == new


def test_gateways_that_are_well_or_off_are_not_told(north, people, fake, no_queue):
    make_fake(north)
    off = make_fake(north, is_enabled=False)
    suspend(off)

    assert notify_of_gateways(now=NOW) == 0


def test_bell_of_the_outbox_tells_at_once(
    north, people, fake, pump, no_queue, django_capture_on_commit_callbacks
):
    make_fake(north, name="SMSC")
    fake.script = [rejected(breaks=True)]
    make_command(north)

    with django_capture_on_commit_callbacks(execute=True):
        pump.run_one()

    assert told() == {("north", "alice")}
    assert Notice.objects.get().data["gateway"] == "SMSC"


def test_notice_reaches_the_mail_with_a_link_to_itself(north, people, fake, no_queue):
    suspend(make_fake(north, name="SMSC"))
    notify_of_gateways(now=NOW)

    deliver_due(now=NOW)

    assert [message.to for message in mail.outbox] == [["alice@example.org"]]
    assert f"/admin/notifications/notice/{Notice.objects.get().pk}/change/" in mail.outbox[0].body
    assert "SMSC" in mail.outbox[0].subject


def test_platform_without_people_is_told_to_the_operator(south, root, fake, no_queue):
    make_user("dora", platform=south, role="viewer")
    suspend(make_fake(south))

    notify_of_gateways(now=NOW)

    assert told() == {("south", "root")}
