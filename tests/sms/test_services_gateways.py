"""Which gateway carries a message: order, rate, breaker, failover."""

from datetime import timedelta

import pytest

from sms.models import Gateway, SmsMessage
from sms.services import choose_gateway
from sms.services.gateways import pace, reserve_slot
from sms.states import SmsState
from tests.factories import NOW
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent, rejected, unknown

pytestmark = pytest.mark.databases
S = SmsState
MINUTE = timedelta(minutes=1)


def fresh(row):
    row.refresh_from_db()
    return row


def used(fake) -> list[int]:
    return [gateway_id for gateway_id, _to, _body in fake.sent]


def test_own_gateways_come_before_shared_ones_by_priority(north, south, fake):
    shared = make_fake(None, priority=1)
    second, first = make_fake(north, priority=20), make_fake(north, priority=10)
    make_fake(north, priority=5, is_enabled=False)

    assert choose_gateway(north.pk, now=NOW) == first
    first.delete()
    assert choose_gateway(north.pk, now=NOW) == second
    assert choose_gateway(south.pk, now=NOW) == shared


def test_gateway_of_another_platform_is_never_used(north, south, fake, pump):
    make_fake(south)
    message = make_notice(north)

    pump.drain()

    assert (fresh(message).state, message.reason, fake.sent) == (S.QUEUED, "no_gateway", [])


def test_reply_is_not_awaited_while_nothing_can_leave(north, fake, pump):
    command = make_command(north)

    pump.drain()

    assert (fresh(command).state, command.reply_until, command.sms.reason) == ("queued", None, "no_gateway")


def test_message_without_a_gateway_expires_with_its_reason(north, fake, pump, clock):
    message = make_notice(north)

    pump.drain()
    clock.passes(timedelta(minutes=6))
    pump.run_once()

    assert (fresh(message).state, message.reason) == (S.EXPIRED, "expired: no_gateway")


def test_rate_is_kept_and_messages_leave_one_after_the_other(north, fake, pump, clock):
    make_fake(north, rate_per_minute=3)
    messages = [make_notice(north) for _ in range(4)]

    sent = []
    for _ in range(5):
        pump.drain()
        sent.append(len(fake.sent))
        clock.passes(timedelta(seconds=20))

    assert sent == [1, 2, 3, 4, 4]
    assert [body for _gateway, _to, body in fake.sent] == [message.body for message in messages]


@pytest.mark.parametrize("rate", [1, 2, 6, 9, 10, 60, 61, 1000])
def test_no_minute_sees_more_than_the_rate(rate):
    every, burst = pace(rate)

    at_once = [timedelta(0)] * burst
    taken = at_once + [every * (number + 1) for number in range(3 * rate)]  # as soon as each place opens

    assert all(sum(begin <= at < begin + MINUTE for at in taken) <= rate for begin in taken)
    assert len([at for at in taken if at < MINUTE]) == rate  # and all of it can be used


def test_a_few_may_leave_at_once_after_a_pause(north, fake, pump):
    make_fake(north, rate_per_minute=60)
    for _ in range(12):
        make_notice(north)

    pump.drain()

    assert len(fake.sent) == 10


def test_limit_of_a_day_holds_until_midnight(north, fake, pump, clock):
    make_fake(north, rate_per_day=2)
    first = [make_notice(north, expires_at=NOW + timedelta(days=2)) for _ in range(3)]

    pump.drain()
    reasons = [fresh(message).reason for message in first if fresh(message).state == S.QUEUED]
    assert (len(fake.sent), reasons) == (2, ["day_limit"])
    clock.passes(timedelta(hours=11))
    pump.drain()
    assert len(fake.sent) == 2
    clock.passes(timedelta(hours=1))  # midnight UTC
    pump.drain()
    assert len(fake.sent) == 3


def test_message_over_the_rate_goes_to_the_next_gateway(north, fake, pump):
    first, second = make_fake(north, rate_per_minute=1, priority=1), make_fake(north, priority=2)
    for _ in range(3):
        make_notice(north)

    pump.drain()

    assert used(fake) == [first.pk, second.pk, second.pk]


def test_rate_of_zero_sends_nothing(north, fake, pump):
    make_fake(north, rate_per_minute=0)
    make_notice(north)

    pump.drain()

    assert fake.sent == []


def test_clock_that_goes_back_does_not_block_a_gateway(north, fake):
    make_fake(north, rate_per_minute=1)
    message = make_notice(north)

    assert reserve_slot(message, now=NOW) is not None
    assert reserve_slot(message, now=NOW - timedelta(hours=1)) is not None


def test_what_one_gateway_did_not_take_goes_to_another(north, fake, pump):
    first, second = make_fake(north, priority=1), make_fake(north, priority=2)
    fake.script = [not_sent()]
    message = make_notice(north)

    pump.drain()

    assert used(fake) == [first.pk, second.pk]
    assert (fresh(message).state, message.gateway) == (S.SENT, second)


@pytest.mark.parametrize("error", [unknown(), rejected()])
def test_what_may_have_left_or_was_refused_never_goes_to_another(north, fake, pump, error):
    make_fake(north, priority=1)
    make_fake(north, priority=2)
    fake.script = [error]
    make_notice(north)

    pump.drain()

    assert len(fake.sent) == 1


def test_wrong_key_suspends_the_gateway_and_another_takes_over(north, fake, pump, clock):
    ill, well = make_fake(north, priority=1), make_fake(north, priority=2)
    fake.script = [rejected(breaks=True)]
    for _ in range(3):
        make_notice(north)

    pump.drain()

    assert used(fake) == [ill.pk, well.pk, well.pk, well.pk]
    assert (fresh(ill).breaker, ill.breaker_until) == (
        Gateway.Breaker.OPEN,
        clock.wall + timedelta(minutes=5),
    )
    assert set(SmsMessage.objects.values_list("state", flat=True)) == {S.SENT}


def test_wrong_key_of_the_only_gateway_fails_one_and_makes_the_rest_wait(north, fake, pump):
    make_fake(north)
    fake.script = [rejected(breaks=True)]
    first, second = make_notice(north), make_notice(north)

    pump.drain()

    failed, waiting = sorted((fresh(first), fresh(second)), key=lambda message: message.state)
    assert (failed.state, waiting.state) == (S.FAILED, S.QUEUED)
    assert waiting.reason == "gateway_suspended"
    assert len(fake.sent) == 1


def test_failures_in_a_row_suspend_and_one_probe_heals(north, fake, pump, clock):
    gateway = make_fake(north)
    fake.script = [unknown() for _ in range(5)]
    for _ in range(8):
        make_notice(north)

    pump.drain()
    assert (fresh(gateway).breaker, len(fake.sent)) == (Gateway.Breaker.OPEN, 5)

    clock.passes(timedelta(seconds=30))
    pump.drain()
    assert (fresh(gateway).breaker, gateway.failures_in_row) == (Gateway.Breaker.CLOSED, 0)
    assert len(fake.sent) == 8


def test_suspended_gateway_gets_one_probe_at_a_time(north, fake):
    make_fake(north, breaker="open", breaker_until=NOW)
    message = make_notice(north)

    taken = [reserve_slot(message, now=NOW) is not None for _ in range(3)]

    assert taken == [True, False, False]


def test_success_in_between_forgets_the_failures(north, fake, pump):
    gateway = make_fake(north)
    fake.script = [unknown(), unknown(), None, unknown(), unknown(), unknown(), unknown()]
    for _ in range(7):
        make_notice(north)

    pump.drain()

    assert (fresh(gateway).breaker, gateway.failures_in_row) == (Gateway.Breaker.CLOSED, 4)


def test_test_stays_with_the_gateway_that_it_tests(north, fake, pump):
    make_fake(north, priority=1)
    tested = make_fake(north, priority=2)
    message = make_notice(north, purpose="test", gateway=tested)
    fake.script = [not_sent()]

    pump.drain()

    assert used(fake) == [tested.pk, tested.pk]
    assert fresh(message).state == S.SENT


def test_error_is_kept_for_people_without_numbers(north, fake, pump, clock):
    gateway = make_fake(north)
    fake.script = [rejected()]
    make_notice(north)

    pump.drain()

    assert (fresh(gateway).last_error, gateway.last_error_at) == ("http_400", clock.wall)
