"""Twilio: contract, every code of its table, signature, statuses in any order."""

import base64
import hashlib
import hmac
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from remosa.lib.clock import utcnow
from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.twilio import TwilioGateway
from sms.models import InboundSms
from sms.ports import Accepted, DeliveryReport, InboundText, Sent
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.callbacks import HOOK, call, send_once
from tests.sms.fakes import make_notice
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURE = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "sms_providers" / "twilio.json").read_text(encoding="utf-8")
)
OK = json.dumps(FIXTURE["response_201"]).encode()
SID = "AC00000000000000000000000000000000"
FROM = "+15005550006"
REJECTED = {"20003", "21211", "21408", "21610", "21614"}
FINAL = {"delivered": True, "read": True, "undelivered": False, "failed": False, "canceled": False}


def open_at(url: str, **config) -> TwilioGateway:
    return TwilioGateway(account({"base_url": url, "account_sid": SID, **config}, sender=FROM, hook_url=HOOK))


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


class TestTwilioGateway(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, **config)

    @pytest.fixture
    def server(self):
        with GatewayServer("ok", answer=OK, status=201) as server:
            yield server

    def sent(self, request):
        form = parse_qs(request.body.decode())
        return form["To"][0], form["Body"][0]


def test_request_is_the_one_of_its_contract():
    accepted, server = send_once(open_at, OK, status=201)

    request = server.seen[0]
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (request.method, request.target) == ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json")
    assert base64.b64decode(request.headers["authorization"].partition(" ")[2]).decode() == f"{SID}:{SECRET}"
    assert form == {
        "To": TO, "From": FROM, "Body": "#01#", "ValidityPeriod": "300",
        "StatusCallback": f"{HOOK}/report/?client_ref={REF}",
    }  # fmt: skip
    assert accepted == Accepted(ref=FIXTURE["response_201"]["sid"], parts=1)


def test_service_can_stand_for_the_sender():
    _accepted, server = send_once(lambda url: open_at(url, messaging_service_sid="MG1"), OK, status=201)

    form = parse_qs(server.seen[0].body.decode())
    assert (form["MessagingServiceSid"], "From" in form) == (["MG1"], False)


def test_without_a_sender_nothing_is_sent_and_nothing_else_gets_through():
    gateway = TwilioGateway(account({"account_sid": SID}))

    with pytest.raises(GatewayError) as caught:
        gateway.send(TO, "x", client_ref=REF, deadline_s=1)

    assert (caught.value.outcome, caught.value.breaks) == ("rejected", True)


@pytest.mark.parametrize("code", FIXTURE["codes"])
def test_every_code_proves_what_the_table_says(code):
    status = {"20003": 401, "20429": 429}.get(code, 400)
    answer = FIXTURE["error_400"] | {"code": int(code), "status": status}

    error, server = send_once(open_at, json.dumps(answer).encode(), status=status)

    expected = "rejected" if code in REJECTED else "not_sent" if code == "20429" else "unknown"
    assert isinstance(error, GatewayError)
    assert (error.outcome, error.breaks, error.reason) == (expected, code == "20003", f"code_{code}")
    assert len(server.seen) == 1


def test_too_many_requests_are_told_when_to_come_again():
    error, _server = send_once(open_at, b'{"code": 20429}', status=429, extra=b"Retry-After: 7\r\n")

    assert (error.outcome, error.retry_after_s) == ("not_sent", 7)


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (400, b'{"code": 99999}', "rejected"),  # a refusal that is not in the table created no message
        (400, b"<html>", "rejected"),
        (500, b'{"code": 20429}', "unknown"),
        (201, b"{}", "unknown"),
        (201, b'{"sid": null}', "unknown"),
        (200, b"OK", "unknown"),
    ],
)
def test_other_answers_are_judged_by_their_status(status, answer, expected):
    error, _server = send_once(open_at, answer, status=status)

    assert error.outcome == expected


@pytest.mark.parametrize("status", FIXTURE["statuses"])
def test_every_status_is_read_when_asked_and_when_told(status):
    told = {"sid": "SM1", "status": status, "date_updated": "Mon, 07 Jul 2025 09:34:56 +0000"}
    with GatewayServer("ok", answer=json.dumps(told).encode()) as server:
        asked = open_at(server.url).query_status([Sent("SM1", REF, TO), Sent("", "x", TO)], deadline_s=5)
    pushed = open_at("http://x").parse_report({"MessageSid": "SM1", "MessageStatus": status, "To": TO})

    assert [request.target for request in server.seen] == [f"/2010-04-01/Accounts/{SID}/Messages/SM1.json"]
    assert asked == [
        DeliveryReport("SM1", REF, FINAL.get(status), datetime(2025, 7, 7, 9, 34, 56, tzinfo=UTC))
    ]
    assert pushed == DeliveryReport("SM1", "", FINAL.get(status), to=TO)


def signature(address: str, form: dict[str, str], *, token: str = SECRET) -> str:
    text = address + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


REPORT = {
    "MessageSid": "SM1",
    "MessageStatus": "delivered",
    "To": TO,
    "From": FROM,
    "AccountSid": SID,
    "Empty": "",
}


def test_signature_covers_the_address_and_the_sorted_form():
    query = f"client_ref={REF}"
    headers = {"X-Twilio-Signature": signature(f"{HOOK}/report/?{query}", REPORT)}
    came = call("report", body=urlencode(REPORT), query=query, headers=headers)
    gateway = open_at("http://x")

    assert gateway.is_genuine(came)
    assert gateway.unpack(came) == [{**REPORT, "client_ref": REF}]
    assert gateway.parse_report(gateway.unpack(came)[0]).client_ref == REF


def test_signature_is_the_one_of_twilios_documentation():
    # https://www.twilio.com/docs/usage/security: token 12345, the address and five parameters
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
            "To": "+18005551212"}  # fmt: skip

    made = signature("https://mycompany.com/myapp.php?foo=1&bar=2", form, token="12345")

    assert made == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    "over",
    [
        {"kind": "inbound"},
        {"body": urlencode({**REPORT, "MessageStatus": "failed"})},
        {"body": urlencode({**REPORT, "Extra": "1"})},
        {"query": "client_ref=other"},
        {"headers": {}},
        {"headers": {"X-Twilio-Signature": signature(f"{HOOK}/report/", REPORT, token="wrong")}},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"body": b"\xff"},
    ],
)
def test_call_that_was_not_signed_so_is_not_believed(over):
    good = {"kind": "report", "body": urlencode(REPORT),
            "headers": {"X-Twilio-Signature": signature(f"{HOOK}/report/", REPORT)}}  # fmt: skip

    assert open_at("http://x").is_genuine(call(**good))
    assert not open_at("http://x").is_genuine(call(**{**good, **over}))


def test_incoming_messages_can_be_polled():
    rows = [
        {"sid": "SM1", "from": TO, "to": FROM, "body": "OUT1 ON", "direction": "inbound",
         "date_sent": "Mon, 07 Jul 2025 09:34:56 +0000"},
        {"sid": "SM2", "from": FROM, "to": TO, "body": "#01#", "direction": "outbound-api"}, 5,
    ]  # fmt: skip
    with GatewayServer("ok", answer=json.dumps({"messages": rows}).encode()) as server:
        gateway = open_at(server.url)
        texts = gateway.parse_inbox(gateway.fetch_inbox(deadline_s=3))

    assert texts == [InboundText("SM1", TO, "OUT1 ON", datetime(2025, 7, 7, 9, 34, 56, tzinfo=UTC))]
    assert (TwilioGateway.is_polled({}), TwilioGateway.is_polled({"inbound": "poll"})) == (False, True)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"messages": 1}', b"[" * 100_000])
def test_what_is_no_inbox_is_a_value_error(raw):
    with pytest.raises(ValueError, match="the inbox"):
        open_at("http://x").parse_inbox(raw)


@pytest.mark.parametrize(
    "told", [{}, {"MessageSid": "x"}, {"MessageStatus": "sent"}, {"From": TO}, {"Body": "x"}]
)
def test_incomplete_callback_names_what_is_missing(told):
    for parse in (open_at("http://x").parse_report, open_at("http://x").parse_inbound):
        with pytest.raises(CallbackInvalid) as caught:
            parse(told)
        assert caught.value.fields


@pytest.fixture
def hook(north, settings):
    settings.PUBLIC_URL = "https://remosa.example"
    return make_gateway(north, kind="twilio", config={"account_sid": SID}, secret=SECRET, sender_msisdn=FROM)


def post(client, hook, kind, form, *, query=""):
    path = f"/hooks/sms/{hook.hook_id}/{kind}/{query}"
    return client.post(
        path, urlencode(form), content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature(f"https://remosa.example{path}", form)},
    )  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(["queued", "sent", "delivered", "sending"])))
def test_late_statuses_never_take_a_delivery_back(client, north, hook, order):
    message = make_notice(north, now=utcnow(), expires_at=None)
    type(message).objects.update(state=SmsState.SENT, gateway=hook, gateway_ref="SM1")

    for status in order:
        post(client, hook, "report", REPORT | {"MessageStatus": status}, query=f"?client_ref={message.pk}")

    message.refresh_from_db()
    assert message.state == SmsState.DELIVERED


def test_failure_after_a_delivery_changes_nothing(client, north, hook):
    message = make_notice(north, now=utcnow(), expires_at=None)
    type(message).objects.update(state=SmsState.SENT, gateway=hook, gateway_ref="SM1")

    for status in ("delivered", "undelivered", "failed", "sent"):
        answer = post(client, hook, "report", REPORT | {"MessageStatus": status})

    message.refresh_from_db()
    assert (answer.status_code, message.state) == (200, SmsState.DELIVERED)


def test_incoming_sms_is_answered_with_silence(client, hook):
    answer = post(client, hook, "inbound", {"MessageSid": "SM9", "From": TO, "To": FROM, "Body": "OUT1 ON"})

    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (
        200, b"<Response/>", "text/xml",
    )  # fmt: skip
    assert InboundSms.objects.get().body == "OUT1 ON"


def test_every_code_and_status_of_the_fixture_is_in_the_table():
    assert set(codes.load("twilio").send) == set(FIXTURE["codes"])
    assert set(codes.load("twilio").status) == set(FIXTURE["statuses"])
