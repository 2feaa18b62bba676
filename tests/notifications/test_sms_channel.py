"""SMS to people: a second user of the outbox, for those who asked for it, paid from the people's share."""

from datetime import timedelta

import pytest

from notifications.channels.sms import LONGEST, SmsChannel, shortened
from notifications.errors import ChannelError
from notifications.models import Delivery, Notice
from notifications.ports import Origin, Text
from notifications.services import address_to, deliver_due
from notifications.states import DeliveryState
from platforms.models import AuditEvent, QuotaReservation
from remosa.lib.clock import utcnow
from sms.models import SmsMessage
from sms.outbox import Pump
from sms.segments import count
from sms.states import SmsState
from tests.sms.fakes import make_fake, make_notice
from tests.sms.test_messages import usage

PHONE = "+79161234567"


@pytest.fixture
def alice(alice):
    alice.phone, alice.wants_sms = PHONE, True
    alice.save()
    return alice


def tell(platform, *people, severity="critical", title="Экран 7: не на связи"):
    now = utcnow()
    notice = Notice.objects.create(
        platform=platform, severity=severity, kind="escalated", created_at=now, dedupe_key=f"n:{now.isoformat()}",
        data={"title": title, "platform": platform.name, "why": ""},
    )  # fmt: skip
    address_to(notice, people, now=now)
    return notice


def by_sms() -> list[Delivery]:
    return list(Delivery.objects.filter(channel="sms"))


def test_urgent_notice_leaves_as_one_short_sms(north, alice, fake):
    make_fake(north)
    tell(north, alice)

    deliver_due()
    Pump("test").drain()

    message = SmsMessage.objects.get()
    assert (message.state, message.purpose, message.to) == (SmsState.SENT, "notice", PHONE)
    assert message.body == "REMOSA north: Экран 7: не на связи: требует вас"
    assert [row.state for row in by_sms()] == [DeliveryState.SENT]
    assert QuotaReservation.objects.get(key=message.pk).state == "committed"


@pytest.mark.parametrize("over", [{"phone": ""}, {"wants_sms": False}, {"is_active": False}])
def test_who_did_not_ask_for_it_gets_none(north, alice, fake, over):
    for name, value in over.items():
        setattr(alice, name, value)
    alice.save()

    tell(north, alice)

    assert by_sms() == []


@pytest.mark.parametrize("severity", ["info", "warning"])
def test_what_is_not_urgent_costs_nothing(north, alice, fake, severity):
    tell(north, alice, severity=severity)

    assert by_sms() == []


def test_repeated_delivery_is_one_sms(north, alice, fake):
    make_fake(north)
    tell(north, alice)
    deliver_due()
    Delivery.objects.update(state=DeliveryState.QUEUED)  # its sender died before it could say so

    deliver_due()

    assert SmsMessage.objects.count() == 1
    assert usage(north) == (count(SmsMessage.objects.get().body).parts, 0)


def test_people_have_a_share_of_the_limit_that_automation_leaves(north, alice, fake):
    make_fake(north)
    north.sms_limit, north.sms_people_share_ratio = 10, 0.5
    north.save()
    for _ in range(5):
        make_notice(north, body="x", now=utcnow(), expires_at=None)
    tell(north, alice)

    deliver_due()

    assert [row.state for row in by_sms()] == [DeliveryState.SENT]
    assert sum(usage(north)) == 5 + SmsMessage.objects.get(dedupe_key__startswith="delivery:").segments


def test_limit_that_is_used_up_is_said_and_not_tried_for_ever(north, alice, fake):
    north.sms_limit = 0
    north.save()
    tell(north, alice)

    deliver_due()

    assert [(row.state, row.reason) for row in by_sms()] == [
        (DeliveryState.FAILED, "the SMS limit is reached")
    ]
    assert SmsMessage.objects.count() == 0


def test_late_notice_wakes_nobody(north, alice, fake):
    origin = Origin(north.pk, 1, utcnow() - timedelta(minutes=31))

    with pytest.raises(ChannelError) as caught:
        SmsChannel().send(alice, Text("s", "b", "line"), origin=origin)

    assert caught.value.permanent
    assert SmsMessage.objects.count() == 0


def test_number_that_is_none_fails_for_good(north, alice, fake):
    alice.phone = "112"

    with pytest.raises(ChannelError) as caught:
        SmsChannel().send(alice, Text("s", "b", "line"), origin=Origin(north.pk, 1, utcnow()))

    assert caught.value.permanent


@pytest.mark.parametrize("text", ["короткий", "а" * 500, "два\nряда", "😀" * 100])
def test_line_fits_two_parts(text):
    line = shortened(text)

    assert len(line) <= LONGEST
    assert "\n" not in line
    assert count(line.replace("😀", "аа")[:LONGEST]).parts <= 2


# --- asking for it -------------------------------------------------------------------------------------
MY_SMS = "/admin/notifications/notice/sms-for-me/"
MY_SETTINGS = "/admin/me/"


def test_person_asks_for_sms_by_themselves(client, north, bob):
    client.force_login(bob)
    assert MY_SMS in client.get("/admin/notifications/notice/").content.decode()
    assert client.get(MY_SMS).url == MY_SETTINGS

    client.post(MY_SETTINGS, settings_of(bob, phone="8 916 123-45-67"))

    bob.refresh_from_db()
    assert (bob.phone, bob.wants_sms) == (PHONE, True)
    assert AuditEvent.objects.filter(verb="user.changed", actor_id=str(bob.pk)).count() == 1


@pytest.mark.parametrize("phone", ["", "112", "x"])
def test_sms_need_a_number_that_can_be_reached(client, north, bob, phone):
    client.force_login(bob)

    answer = client.post(MY_SETTINGS, settings_of(bob, phone=phone))

    bob.refresh_from_db()
    assert (answer.status_code, bob.wants_sms) == (400, False)


def settings_of(person, *, phone: str) -> dict[str, str]:
    """The form of a person's settings, with SMS asked for."""
    kept = {"email": person.email, "language": person.language, "time_zone": person.time_zone}
    return {**kept, "phone": phone, "wants_sms": "on"}
