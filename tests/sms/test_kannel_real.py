"""Debian's Kannel between the outbox and an SMSC: what leaves, what comes back, and what breaks between."""

import signal
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from remosa.lib.clock import utcnow
from sms.models import Gateway, InboundSms, SmsMessage
from sms.outbox import Pump
from sms.services import enqueue
from sms.services.gateways import backend_of
from sms.states import SmsState
from tests.factories import make_gateway, make_socket
from tests.servers import process
from tests.servers.availability import ServerMissing, skip_or_fail
from tests.servers.kannel import Kannel, Smsc, Submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]
PASSWORD, HOOK_SECRET = "sendsms-password-1", "hook-secret-1"
US, PHONE = "+79160000001", "+79161234567"


@pytest.fixture
def smsc() -> Iterator[Smsc]:
    smsc = Smsc()
    smsc.switch_on()
    yield smsc
    smsc.switch_off()


@pytest.fixture
def gateway(north: Any, live_server: Any, settings: Any) -> Gateway:
    settings.PUBLIC_URL = live_server.url
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    return make_gateway(
        north,
        kind="kannel",
        sender_msisdn=US,
        secret=PASSWORD,
        hook_secret=HOOK_SECRET,
        config={"base_url": "http://127.0.0.1:1", "username": "remosa"},
    )


@pytest.fixture
def kannel(gateway: Gateway, smsc: Smsc) -> Iterator[Kannel]:
    """A running Kannel that knows its way back; the gateway's address leads to it."""
    address = backend_of(gateway).callback_address("inbound").partition("?")[0]
    secret = address.replace("http://", f"http://kannel:{HOOK_SECRET}@")
    get_url = f"{secret}?from=%p&to=%P&text=%b&charset=%C&coding=%c&ts=%T&id=%I"
    try:
        kannel = Kannel(get_url=get_url, password=PASSWORD, smsc=smsc)
    except ServerMissing as missing:
        skip_or_fail(missing)
        raise
    try:
        kannel.start()
        kannel.wait_until_bound()
        point(gateway, kannel)
        yield kannel
    finally:
        kannel.stop()


def point(gateway: Gateway, kannel: Kannel) -> None:
    """Where smsbox listens is known only when it runs."""
    gateway.config = {**gateway.config, "base_url": kannel.url}
    gateway.save()


def send(gateway: Gateway, body: str = "#01#") -> SmsMessage:
    """One message through the outbox, to the end of its first try."""
    now = utcnow()
    message = enqueue(
        platform=gateway.platform, to=PHONE, body=body, purpose=SmsMessage.Purpose.NOTICE,
        dedupe_key=str(uuid.uuid4()), now=now, expires_at=now + timedelta(minutes=5),
    )  # fmt: skip
    assert Pump("test").run_one(message.pk)
    message.refresh_from_db()
    return message


def becomes(message: SmsMessage, state: SmsState, kannel: Kannel) -> None:
    """Wait for the report that settles it."""

    def is_settled() -> bool:
        message.refresh_from_db()
        return message.state == state

    try:
        process.wait_until(is_settled, deadline_s=60, what=f"{state} instead of {message.state}")
    except TimeoutError as exc:
        raise TimeoutError(f"{exc}\n{kannel.log()[-3000:]}") from exc


def taken(smsc: Smsc, count: int) -> list[str]:
    """The texts that the SMSC took, once it has so many of them."""
    process.wait_until(lambda: len(smsc.taken) >= count, deadline_s=60, what=f"{count} SMS at the SMSC")
    return [message.text for message in smsc.taken]


def arrived(smsc: Smsc, text: str) -> list[Submitted]:
    return [message for message in smsc.taken if message.text == text]


@pytest.mark.parametrize("body", ["#12#0#1#1#", "Экран не отвечает", "100% a&b=c+d %d %T"])
def test_sms_arrives_unchanged_and_its_report_settles_it(kannel, smsc, gateway, body):
    message = send(gateway, body)

    assert message.state == SmsState.SENT
    assert taken(smsc, 1) == [body]
    assert (smsc.taken[0].sender, smsc.taken[0].to) == (US.lstrip("+"), PHONE.lstrip("+"))
    smsc.report(smsc.taken[0])
    becomes(message, SmsState.DELIVERED, kannel)
    assert len(smsc.taken) == 1


@pytest.mark.parametrize("stat", ["UNDELIV", "EXPIRED", "REJECTD"])
def test_failed_report_settles_it_too(kannel, smsc, gateway, stat):
    message = send(gateway)

    taken(smsc, 1)
    smsc.report(smsc.taken[0], stat)

    becomes(message, SmsState.UNDELIVERED, kannel)


def test_refusal_of_the_smsc_is_reported_after_the_acceptance(kannel, smsc, gateway):
    smsc.refuses = True

    message = send(gateway)

    becomes(message, SmsState.UNDELIVERED, kannel)
    assert smsc.taken == []


def test_long_text_arrives_in_parts(kannel, smsc, gateway):
    message = send(gateway, "Экран не отвечает. " * 5)

    texts = taken(smsc, message.segments)

    assert (message.segments, message.state) == (2, SmsState.SENT)
    assert sum(len(text) for text in texts) >= len("Экран не отвечает. " * 5)


def test_what_waited_for_the_smsc_is_reported_late(kannel, smsc, gateway):
    smsc.switch_off()
    process.wait_until(lambda: "(online" not in kannel.status(), deadline_s=60, what="the lost SMSC")

    message = send(gateway)

    assert (message.state, smsc.taken) == (SmsState.SENT, [])  # 3: Queued for later delivery
    smsc.switch_on()
    taken(smsc, 1)
    smsc.report(smsc.taken[0])
    becomes(message, SmsState.DELIVERED, kannel)
    assert len(smsc.taken) == 1


def test_wrong_password_suspends_the_gateway(kannel, smsc, gateway):
    gateway.secret = "wrong"
    gateway.save()

    message = send(gateway)

    gateway.refresh_from_db()
    assert (message.state, gateway.breaker, smsc.taken) == (SmsState.FAILED, Gateway.Breaker.OPEN, [])


@pytest.mark.parametrize("text", ["OUT1 ON, T=21C", "Розетка включена"])
def test_incoming_sms_is_kept_and_not_answered(kannel, smsc, gateway, north, text):
    socket = make_socket(north, msisdn=PHONE)

    smsc.say(PHONE.lstrip("+"), US.lstrip("+"), text)

    process.wait_until(lambda: InboundSms.objects.exists(), deadline_s=60, what="the incoming SMS")
    process.wait_until(
        lambda: InboundSms.objects.exclude(device=None).exists(), deadline_s=60, what="its match"
    )
    row = InboundSms.objects.get()
    assert (row.sender, row.body, row.device, row.gateway) == (PHONE, text, socket, gateway)
    assert abs(row.sent_at - utcnow()) < timedelta(minutes=1)
    assert smsc.taken == []  # nothing went back to the phone


def test_bearerbox_that_stands_still_leaves_the_outcome_unknown_until_the_report(
    kannel, smsc, gateway, settings
):
    settings.OUTBOX_SEND_DEADLINE_S = 2.0
    kannel.bearerbox.send(signal.SIGSTOP)

    message = send(gateway)

    assert (message.state, message.attempts) == (SmsState.UNKNOWN, 1)
    kannel.bearerbox.send(signal.SIGCONT)
    assert taken(smsc, 1) == ["#01#"]
    smsc.report(smsc.taken[0])
    becomes(message, SmsState.DELIVERED, kannel)
    assert len(smsc.taken) == 1


def test_bearerbox_that_is_killed_never_makes_it_failed_and_a_restart_heals(
    kannel, smsc, gateway, settings, figure
):
    settings.OUTBOX_SEND_DEADLINE_S = 2.0
    kannel.bearerbox.kill_9()

    lost = send(gateway)

    assert lost.state in (SmsState.UNKNOWN, SmsState.QUEUED)  # smsbox hangs, or has gone as well
    assert lost.state == SmsState.UNKNOWN or lost.reason == "refused"
    kannel.stop_boxes()
    kannel.start()
    kannel.wait_until_bound()
    point(gateway, kannel)
    message = send(gateway, "after the restart")
    process.wait_until(lambda: arrived(smsc, "after the restart"), deadline_s=60, what="the next SMS")
    smsc.report(arrived(smsc, "after the restart")[0])
    becomes(message, SmsState.DELIVERED, kannel)
    assert len(arrived(smsc, "#01#")) <= 1
    figure(
        "kannel",
        f"bearerbox killed: {lost.state}, {len(arrived(smsc, '#01#'))} sent; restarted: {message.state}",
    )


def test_what_kannel_keeps_outlives_its_restart_and_leaves_once(kannel, smsc, gateway, figure):
    smsc.switch_off()
    process.wait_until(lambda: "(online" not in kannel.status(), deadline_s=60, what="the lost SMSC")
    message = send(gateway)

    kannel.stop_boxes()
    kannel.start()
    smsc.switch_on()

    assert taken(smsc, 1) == ["#01#"]
    smsc.report(smsc.taken[0])
    becomes(message, SmsState.DELIVERED, kannel)
    assert len(smsc.taken) == 1
    figure("kannel", f"kept over a restart: sent {len(smsc.taken)} time, then {message.state}")


def test_neither_password_nor_number_is_in_our_logs(kannel, smsc, gateway, caplog):
    with caplog.at_level("DEBUG"):
        message = send(gateway)
        taken(smsc, 1)
        smsc.report(smsc.taken[0])
        becomes(message, SmsState.DELIVERED, kannel)

    assert not any(part in caplog.text for part in (PASSWORD, HOOK_SECRET, PHONE.lstrip("+")))
