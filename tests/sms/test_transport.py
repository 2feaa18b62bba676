"""Commands by SMS: what is carried, refused, taken back, and what it costs."""

from datetime import timedelta
from decimal import Decimal

import pytest

from devices.errors import TransportRefused
from devices.models import Command, CommandTemplate, Device
from devices.services import cancel_command, preview, request_command
from devices.states import CommandState
from sms.models import SmsMessage
from sms.states import SmsState
from sms.transport import SmsCommandTransport
from tests.factories import NOW, make_gateway, make_socket
from tests.sms.fakes import make_command
from tests.sms.test_messages import usage


def fresh(row):
    row.refresh_from_db()
    return row


def test_command_becomes_one_row_of_the_outbox(north):
    command = make_command(north)

    message = SmsMessage.objects.get()
    assert (command.state, message.state) == (CommandState.QUEUED, SmsState.QUEUED)
    assert (message.command, message.to, message.body) == (command, command.device.msisdn, "#12#0#1#1#")
    assert (message.expires_at, message.purpose, message.segments) == (command.expires_at, "command", 1)
    assert usage(north) == (1, 0)


def test_same_command_sent_twice_is_one_row(north):
    command = make_command(north)

    SmsCommandTransport().send(command, now=NOW)

    assert SmsMessage.objects.count() == 1
    assert usage(north) == (1, 0)


def test_full_quota_blocks_the_command(north):
    north.sms_limit = 1
    north.sms_people_share_ratio = 0
    north.save()
    first, second = make_command(north), make_command(north)

    assert (first.state, second.state, second.failure_reason) == ("queued", "blocked", "quota")
    assert SmsMessage.objects.count() == 1
    assert usage(north) == (1, 0)


def test_person_may_use_the_share_kept_for_people(north, alice):
    north.sms_limit = 1
    north.sms_people_share_ratio = 1.0
    north.save()

    assert make_command(north).failure_reason == "quota"
    assert make_command(north, actor=alice, source="person").state == "queued"


@pytest.mark.parametrize(
    ("body", "reason"),
    [("x" * 161, "too_long"), ("Перезагрузка", "too_long"), ("a\x00", "bad_text"), ("", "bad_text")],
)
def test_text_that_is_not_one_plain_sms_is_refused(north, body, reason):
    command = Command(platform=north, device=make_socket(north), body=body, expires_at=NOW)

    with pytest.raises(TransportRefused) as caught:
        SmsCommandTransport().send(command, now=NOW)

    assert caught.value.reason == reason
    assert not SmsMessage.objects.exists()


def test_socket_without_a_number_is_refused(north):
    socket = make_socket(north)
    Device.objects.filter(pk=socket.pk).update(msisdn="")

    command = make_command(north, device=fresh(socket))

    assert (command.state, command.failure_reason) == ("blocked", "no_number")
    assert not SmsMessage.objects.exists()


def test_command_is_taken_back_while_its_sms_waits(north, alice):
    command = make_command(north)

    assert cancel_command(command, by=alice, now=NOW)
    assert (fresh(command.sms).state, usage(north)) == (SmsState.CANCELLED, (0, 0))


def test_command_on_the_wire_cannot_be_taken_back(north, alice):
    command = make_command(north)
    SmsMessage.objects.update(state=SmsState.SENDING)

    assert not cancel_command(command, by=alice, now=NOW)
    assert fresh(command).state == CommandState.QUEUED


def test_next_command_of_the_lane_follows_a_cancelled_one(north, alice):
    socket = make_socket(north)
    first, second = make_command(north, device=socket), make_command(north, device=socket)
    assert second.state == CommandState.REQUESTED

    cancel_command(first, by=alice, now=NOW)
    from devices.services import dispatch_waiting

    dispatch_waiting(device_id=socket.pk, now=NOW)

    assert (fresh(second).state, SmsMessage.objects.filter(state="queued").count()) == ("queued", 1)


def test_quote_is_parts_times_the_price_of_the_gateway_in_turn(north):
    make_gateway(north, price="2.50", currency="RUB", priority=1)
    make_gateway(None, price="9.00")

    rendered, quote = preview(device=make_socket(north), template_key="power_cycle", params={"minutes": 1})

    assert rendered.body == "#12#0#1#1#"
    assert (quote.segments, quote.price, quote.currency) == (1, Decimal("2.50"), "RUB")


def test_quote_without_a_gateway_has_no_price(north):
    _rendered, quote = preview(device=make_socket(north), template_key="power_cycle", params={"minutes": 1})

    assert (quote.segments, quote.price, quote.currency) == (1, 0, "")


def test_every_shipped_command_is_one_plain_sms(north):
    from sms.segments import count

    for template in CommandTemplate.objects.all():
        segments = count(template.body)
        assert (segments.parts, segments.encoding) == (1, "gsm7"), template


def test_message_never_outlives_its_command(north):
    command = request_command(
        device=make_socket(north), template_key="status", params={}, source="job", idem_key="k", now=NOW,
        cause_id=make_command(north).cause_id, ttl=timedelta(seconds=7),
    )  # fmt: skip

    assert command.sms.expires_at == NOW + timedelta(seconds=7)
