"""What the outbox spends stands in the ledger from the same transaction on, and nothing else does."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from platforms.models import LedgerEntry, Platform, Usage
from sms.models import SmsMessage
from sms.outbox import Pump
from sms.ports import InboundText
from sms.services import apply_delivery_report, cancel
from sms.services.inbound import receive
from tests.factories import NOW, make_gateway, make_socket
from tests.sms.conftest import Clock
from tests.sms.fakes import make_notice, not_sent, rejected, unknown

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def agrees(platform: Platform) -> bool:
    """Whether the ledger says of each month what the limit's counter says."""
    counted: dict[str, int] = {}
    for entry in LedgerEntry.objects.filter(platform=platform, direction="out"):
        counted[entry.period] = counted.get(entry.period, 0) + entry.units
    used = dict(Usage.objects.filter(platform=platform, kind="sms").values_list("period", "used"))
    return counted == {period: units for period, units in used.items() if units}


def test_a_sent_message_is_paid_for(north: Platform, gateway: Any, pump: Pump) -> None:
    message = make_notice(north, body="я" * 71)

    pump.drain()

    entry = LedgerEntry.objects.get()
    assert (entry.subject_id, entry.direction, entry.units, entry.purpose) == (message.pk, "out", 2, "notice")
    assert (entry.gateway_id, entry.gateway_name, entry.cost) == (gateway.pk, gateway.name, Decimal("5"))
    assert entry.is_certain
    assert agrees(north)


@pytest.mark.parametrize("answer", [not_sent, rejected])
def test_what_was_not_sent_costs_nothing(
    answer: Any, north: Platform, gateway: Any, fake: Any, pump: Pump, clock: Clock
) -> None:
    make_notice(north)
    fake.script = [answer() for _try in range(10)]

    for _round in range(12):
        pump.run_once()
        clock.passes(timedelta(minutes=1))

    assert not LedgerEntry.objects.exists()
    assert agrees(north)


def test_what_may_have_left_is_paid_for_and_says_so(
    north: Platform, gateway: Any, fake: Any, pump: Pump
) -> None:
    make_notice(north)
    fake.script = [unknown()]

    pump.drain()

    assert LedgerEntry.objects.get().is_certain is False
    assert agrees(north)


def test_what_a_dead_worker_left_behind_is_paid_for(
    north: Platform, gateway: Any, clock: Clock, pump: Pump
) -> None:
    class Killed(BaseException):
        pass

    def die(name: str, _message: Any) -> None:
        if name == "after_barrier":
            raise Killed

    make_notice(north)
    dying = Pump("dying", now=clock.now, monotonic=clock.monotonic, checkpoint=die)
    with pytest.raises(Killed):
        dying.drain()
    clock.passes(timedelta(minutes=2))

    pump.run_once()
    pump.run_once()

    entry = LedgerEntry.objects.get()
    assert (entry.is_certain, entry.gateway_name) == (False, gateway.name)
    assert agrees(north)


def test_a_report_before_the_answer_pays_once(
    north: Platform, gateway: Any, fake: Any, pump: Pump, clock: Clock
) -> None:
    message = make_notice(north)
    fake.on_send = lambda ref: apply_delivery_report(
        gateway=gateway, delivered=True, at=clock.now(), client_ref=ref
    )

    pump.drain()
    apply_delivery_report(gateway=gateway, delivered=True, at=NOW, client_ref=str(message.pk))

    entry = LedgerEntry.objects.get()
    assert (entry.subject_id, entry.cost) == (message.pk, Decimal("2.5"))
    assert agrees(north)


def test_a_cancelled_message_costs_nothing(north: Platform, gateway: Any) -> None:
    cancel(make_notice(north), now=NOW)

    assert not LedgerEntry.objects.exists()


def test_the_month_is_the_one_whose_limit_it_took(
    north: Platform, gateway: Any, pump: Pump, clock: Clock
) -> None:
    Platform.objects.filter(pk=north.pk).update(time_zone="UTC")
    north.refresh_from_db()
    clock.wall = NOW.replace(month=3, day=31, hour=23, minute=59, second=58)
    make_notice(north, now=clock.wall, expires_at=clock.wall + timedelta(minutes=5))
    clock.passes(timedelta(seconds=10))

    pump.drain()

    entry = LedgerEntry.objects.get()
    assert (entry.period, entry.at.month, entry.day.isoformat()) == ("2026-03", 4, "2026-03-31")
    assert agrees(north)


def test_a_received_sms_stands_at_the_price_of_receiving(north: Platform, fake: Any) -> None:
    gateway = make_gateway(north, kind="fake", price="2.50", price_in="0.30")
    socket = make_socket(north)

    text = InboundText(sender=socket.msisdn, body="я" * 100, sent_at=NOW, ref="ref-1")
    for _twice in range(2):
        receive(gateway=gateway, text=text, now=NOW)

    entry = LedgerEntry.objects.get()
    assert (entry.direction, entry.units, entry.cost) == ("in", 2, Decimal("0.6"))
    assert not Usage.objects.filter(platform=north, kind="sms", used__gt=0).exists()


def test_a_strangers_sms_at_a_shared_gateway_is_nobodys(north: Platform, fake: Any) -> None:
    text = InboundText(sender="+79160000000", body="hi", sent_at=NOW, ref="1")
    receive(gateway=make_gateway(None, kind="fake"), text=text, now=NOW)

    assert not LedgerEntry.objects.exists()


def test_ledger_and_limit_agree_after_a_hundred_messages_of_every_fate(
    north: Platform, gateway: Any, fake: Any, pump: Pump, clock: Clock
) -> None:
    answers = [None, not_sent(), rejected(), unknown()]
    fake.script = [answers[number * 7 % 4] for number in range(400)]
    for number in range(100):
        make_notice(north, body="x" * (1 + 37 * number % 400))

    for _round in range(12):
        pump.run_once()
        clock.passes(timedelta(minutes=1))

    assert agrees(north)
    assert not SmsMessage.objects.filter(state__in=["queued", "claimed", "sending"]).exists()
    assert LedgerEntry.objects.count() > 20
