"""A provider that refuses is said at once: since when, why, and what waits for it."""

from datetime import timedelta

from devices.models import Device
from sms.models import Gateway
from sms.selectors import blocked_gateways
from tests.factories import NOW, make_socket
from tests.sms.fakes import make_command, make_fake, make_notice, rejected, unknown

A, B = "+79160000001", "+79160000002"


def test_gateways_that_are_well_are_not_blocked(north, gateway):
    make_command(north)

    assert blocked_gateways(north.pk, now=NOW) == []


def test_blocked_gateway_tells_since_when_why_and_what_waits(north, south, gateway, fake, pump, clock):
    fake.script = [rejected(breaks=True, detail="no money")]
    make_command(north)
    pump.run_once()
    clock.passes(timedelta(seconds=10))
    for _ in range(3):
        make_command(north)
    make_notice(north)
    pump.run_once()

    blocked = blocked_gateways(north.pk, now=clock.wall)

    assert [(row.gateway, row.since, row.waiting) for row in blocked] == [(gateway, NOW, 3)]
    assert "no money" in blocked[0].reason
    assert blocked_gateways(south.pk, now=clock.wall) == []


def test_it_stays_blocked_since_the_first_refusal(north, gateway, fake, pump, clock):
    for _ in range(3):
        fake.script = [rejected(breaks=True)]
        make_command(north, now=clock.wall)
        pump.run_once()
        clock.passes(timedelta(minutes=6))

    assert [row.since for row in blocked_gateways(north.pk, now=clock.wall)] == [NOW]
    assert len(fake.sent) == 3


def test_it_is_blocked_anew_after_it_was_well(north, gateway, fake, pump, clock):
    for answer in (rejected(breaks=True), None, rejected(breaks=True)):
        fake.script = [answer]
        make_command(north, now=clock.wall)
        pump.run_once()
        clock.passes(timedelta(minutes=6))

    assert [row.since for row in blocked_gateways(north.pk, now=clock.wall)] == [NOW + timedelta(minutes=12)]


def test_pause_after_failures_is_a_blockade_too(north, gateway, fake, pump, clock):
    fake.script = [unknown() for _ in range(5)]
    for _ in range(5):
        make_command(north)
        pump.run_once()
        clock.passes(timedelta(seconds=1))

    assert [row.since for row in blocked_gateways(north.pk, now=clock.wall)] == [NOW + timedelta(seconds=4)]


def test_command_that_another_gateway_may_carry_does_not_wait(north, fake):
    ill, _well = make_fake(north, priority=1, sender_msisdn=A), make_fake(north, priority=2, sender_msisdn=B)
    Gateway.objects.filter(pk=ill.pk).update(breaker="open", breaker_until=NOW + timedelta(hours=1))
    free, bound = make_socket(north), make_socket(north)
    Device.objects.filter(pk=free.pk).update(labels={"senders": f"{A} {B}"})
    Device.objects.filter(pk=bound.pk).update(labels={"senders": A})
    for socket in (free, bound):
        socket.refresh_from_db()
        make_command(north, device=socket)

    assert [(row.gateway, row.waiting) for row in blocked_gateways(north.pk, now=NOW)] == [(ill, 1)]
