"""Commands leave only from a number that their socket obeys."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from devices.models import Device
from sms.models import Gateway
from sms.senders import accepted, recorded
from sms.services import choose_gateway
from sms.services.gateways import routes
from sms.states import SmsState
from tests.factories import NOW, make_socket
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent, rejected, unknown

A, B, C = "+79160000001", "+79160000002", "+79160000003"


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        ({}, set()),
        ({"senders": ""}, set()),
        ({"senders": "none"}, set()),
        ({"senders": A}, {A}),
        ({"senders": f"{A}, 8 916"}, {A}),
        ({"senders": f"{A},{B};{C}"}, {A, B, C}),
        ({"senders": "89160000001"}, {A}),
        ({"senders": [A, 5, None, B]}, {A, B}),
        ({"senders": 5}, set()),
        ({"sender": A}, set()),
    ],
)
def test_numbers_are_read_from_the_label(labels, numbers):
    assert recorded(labels) == numbers


def rows(*numbers: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(sender_msisdn=number) for number in numbers]


@pytest.mark.parametrize(
    ("gateways", "numbers", "left"),
    [
        ((A, B, C), {A, C}, [0, 2]),
        ((A, B), {C}, []),
        ((A, B, A), set(), [0, 2]),
        (("", "", A), set(), [0]),  # nobody knows what an unnamed number is
        (("", A), {A}, [1]),
        (("89160000001", A), {A}, [0, 1]),
        (("REMOSA", "REMOSA"), set(), [0]),
        ((), {A}, []),
        ((), set(), []),
    ],
)
def test_gateways_with_an_accepted_number_are_left(gateways, numbers, left):
    found = rows(*gateways)

    assert accepted(found, frozenset(numbers)) == [found[number] for number in left]


@pytest.fixture
def pair(north, fake):
    """Two gateways with numbers of their own, the first tried first."""
    return make_fake(north, priority=1, sender_msisdn=A), make_fake(north, priority=2, sender_msisdn=B)


def command_for(north, **labels):
    socket = make_socket(north)
    Device.objects.filter(pk=socket.pk).update(labels=labels)
    socket.refresh_from_db()
    return make_command(north, device=socket)


def test_failover_goes_to_a_number_that_the_socket_obeys(north, pair, fake, pump):
    message = command_for(north, senders=f"{A}, {B}").sms
    fake.script = [not_sent()]

    pump.run_once()
    pump.run_once()

    message.refresh_from_db()
    assert [gateway for gateway, *_ in fake.sent] == [pair[0].pk, pair[1].pk]
    assert message.state == SmsState.SENT


def test_failover_never_goes_to_a_number_that_the_socket_does_not_obey(north, pair, fake, pump):
    message = command_for(north, senders=A).sms
    fake.script = [not_sent(), not_sent()]

    for _ in range(3):
        pump.run_once()

    message.refresh_from_db()
    assert {gateway for gateway, *_ in fake.sent} == {pair[0].pk}
    assert message.state == SmsState.SENT


def test_without_a_record_only_the_first_gateways_number_counts(north, pair, fake, pump):
    message = command_for(north).sms
    Gateway.objects.filter(pk=pair[0].pk).update(breaker="open", breaker_until=NOW + timedelta(hours=1))

    pump.run_once()

    message.refresh_from_db()
    assert (fake.sent, message.state, message.reason) == ([], SmsState.QUEUED, "gateway_suspended")


def test_socket_that_obeys_no_gateway_of_ours_waits_and_says_so(north, pair, fake, pump):
    message = command_for(north, senders=C).sms

    pump.run_once()

    message.refresh_from_db()
    assert (fake.sent, message.state, message.reason) == ([], SmsState.QUEUED, "no_accepted_sender")


def test_notices_to_people_may_leave_from_any_number(north, pair, fake, pump):
    Gateway.objects.filter(pk=pair[0].pk).update(breaker="open", breaker_until=NOW + timedelta(hours=1))
    make_notice(north)

    pump.run_once()

    assert [gateway for gateway, *_ in fake.sent] == [pair[1].pk]


@pytest.mark.parametrize("error", [unknown(), rejected()])
def test_what_may_have_left_or_was_refused_is_not_tried_elsewhere(north, pair, fake, pump, error):
    command_for(north, senders=f"{A}, {B}")
    fake.script = [error]

    for _ in range(3):
        pump.run_once()

    assert [gateway for gateway, *_ in fake.sent] == [pair[0].pk]


def test_wrong_key_fails_at_once_where_no_other_number_is_obeyed(north, pair, fake, pump):
    message = command_for(north, senders=A).sms
    fake.script = [rejected(breaks=True)]

    pump.run_once()

    message.refresh_from_db()
    assert (message.state, len(fake.sent)) == (SmsState.FAILED, 1)


def test_quote_is_the_price_of_the_gateway_that_will_carry_it(north, pair):
    assert choose_gateway(north.pk, now=NOW, labels={"senders": B}) == pair[1]
    assert choose_gateway(north.pk, now=NOW, labels={}) == pair[0]
    assert choose_gateway(north.pk, now=NOW, labels={"senders": C}) is None


def test_routes_of_a_command_are_those_it_may_take(north, pair):
    message = command_for(north, senders=B).sms

    assert routes(message) == [pair[1]]
