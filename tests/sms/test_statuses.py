"""Questions to the gateways that can be asked: when, how many, and what comes of the answers."""

from datetime import datetime, timedelta
from typing import ClassVar

import pytest

from remosa.lib.clock import utcnow
from sms.errors import GatewayError
from sms.models import Gateway, SmsMessage
from sms.ports import Capabilities, DeliveryReport, Sent
from sms.services.statuses import AT_ONCE, ask_statuses, due_status_rounds, unsettled
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.fakes import FakeGateway, make_fake, make_notice

START = datetime.fromisoformat("2026-03-03T12:00:00+00:00")


class AskedGateway(FakeGateway):
    """Answers questions from ``known`` ({our id: delivered})."""

    capabilities = Capabilities(status=True, status_by_client_ref=True)
    known: ClassVar[dict[str, bool | None]] = {}
    asked: ClassVar[list[list[Sent]]] = []
    fails: ClassVar[GatewayError | None] = None

    def query_status(self, sent, *, deadline_s):
        AskedGateway.asked.append(list(sent))
        if AskedGateway.fails:
            raise AskedGateway.fails
        known = AskedGateway.known
        return [
            DeliveryReport("", one.client_ref, known[one.client_ref])
            for one in sent
            if one.client_ref in known
        ]


class AskedByRefGateway(AskedGateway):
    capabilities = Capabilities(status=True)


@pytest.fixture
def asked(settings, north):
    AskedGateway.known, AskedGateway.asked, AskedGateway.fails = {}, [], None
    settings.SMS_GATEWAYS = {
        **settings.SMS_GATEWAYS,
        "fake": "tests.sms.fakes.FakeGateway",
        "asked": "tests.sms.test_statuses.AskedGateway",
        "asked_by_ref": "tests.sms.test_statuses.AskedByRefGateway",
    }
    return make_gateway(north, kind="asked")


def sent(gateway, at, *, state=SmsState.SENT, ref="r", **over):
    message = make_notice(gateway.platform, now=utcnow(), expires_at=None, **over)
    rows = SmsMessage.objects.filter(pk=message.pk)
    rows.update(state=state, gateway=gateway, gateway_ref=ref, state_changed_at=at, sent_at=at)
    return message


def test_only_gateways_that_can_be_asked_are_asked(asked, north):
    make_fake(north)
    make_gateway(north, kind="asked", is_enabled=False)

    assert due_status_rounds(now=START) == [asked]


def test_each_message_is_asked_for_when_it_is_twice_as_old(asked):
    sent(asked, START)
    ages = [60 * 2**step + more for step in range(13) for more in (-1, 0, 9, 10, 30 * 2**step)]
    turns = []

    for seconds in sorted(ages):
        now = START + timedelta(seconds=seconds)
        if unsettled(asked, since=now - timedelta(seconds=10), now=now):
            turns.append(seconds)

    assert turns == [60 * 2**step + more for step in range(12) for more in (0, 9)]


@pytest.mark.parametrize(
    ("known", "state"),
    [(True, SmsState.DELIVERED), (False, SmsState.UNDELIVERED), (None, SmsState.SENT)],
)
def test_answer_settles_the_message(asked, known, state):
    now = utcnow()
    message = sent(asked, now - timedelta(seconds=65))
    AskedGateway.known = {str(message.pk): known}

    assert ask_statuses(asked, now=now) == (known is not None)

    message.refresh_from_db()
    assert message.state == state


def test_message_whose_answer_was_lost_is_found_by_our_id(asked):
    now = utcnow()
    message = sent(asked, now - timedelta(seconds=65), state=SmsState.UNKNOWN, ref="")
    AskedGateway.known = {str(message.pk): True}

    ask_statuses(asked, now=now)

    message.refresh_from_db()
    assert message.state == SmsState.DELIVERED
    assert AskedGateway.asked == [[Sent("", str(message.pk), message.to)]]


def test_gateway_that_knows_its_own_ids_only_is_not_asked_without(asked, north):
    by_ref = make_gateway(north, kind="asked_by_ref")
    now = utcnow()
    sent(by_ref, now - timedelta(seconds=65), state=SmsState.UNKNOWN, ref="")

    assert ask_statuses(by_ref, now=now) == 0
    assert AskedGateway.asked == []


@pytest.mark.parametrize("state", [SmsState.QUEUED, SmsState.SENDING, SmsState.DELIVERED, SmsState.FAILED])
def test_other_messages_are_not_asked_for(asked, state):
    now = utcnow()
    sent(asked, now - timedelta(seconds=65), state=state)

    ask_statuses(asked, now=now)

    assert AskedGateway.asked == []


def test_round_is_bounded_and_takes_the_newest(asked):
    now = utcnow()
    for age in range(61, 61 + 2 * AT_ONCE):
        sent(asked, now - timedelta(seconds=age), ref=str(age))
    Gateway.objects.filter(pk=asked.pk).update(reports_polled_at=now - timedelta(seconds=60))
    asked.refresh_from_db()

    ask_statuses(asked, now=now)

    assert [one.ref for one in AskedGateway.asked[0]] == [str(61 + number) for number in range(AT_ONCE)]


def test_two_processes_ask_once(asked):
    now = utcnow()
    sent(asked, now - timedelta(seconds=65))
    again = Gateway.objects.get(pk=asked.pk)

    answers = [ask_statuses(asked, now=now), ask_statuses(again, now=now)]

    assert answers == [0, None]
    assert len(AskedGateway.asked) == 1


def test_question_that_fails_is_written_down_and_does_not_suspend(asked):
    now = utcnow()
    sent(asked, now - timedelta(seconds=65))
    AskedGateway.fails = GatewayError("http_500", outcome="unknown")

    assert ask_statuses(asked, now=now) == 0

    asked.refresh_from_db()
    assert (asked.last_error, asked.breaker) == ("status: http_500", Gateway.Breaker.CLOSED)
