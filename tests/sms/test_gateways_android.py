"""SMS Gateway for Android: contract, states, webhooks with their signature, parts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remosa.lib.clock import utcnow
from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.android import AndroidGateway
from sms.gateways.base import sign
from sms.models import InboundSms
from sms.ports import Accepted, DeliveryReport, InboundText, Sent
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.callbacks import call, send_once
from tests.sms.fakes import make_notice
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURES = Path(__file__).parent.parent / "fixtures" / "android_sms_gateway"
API = json.loads((FIXTURES / "api.json").read_text(encoding="utf-8"))
HOOKS = [json.loads(line) for line in (FIXTURES / "webhooks.jsonl").read_text(encoding="utf-8").splitlines()]
OK = json.dumps(API["response_202"]).encode()
KEY = HOOKS[0]["signing_key"]
SIGNED = datetime.fromtimestamp(1751880000, UTC)


def open_at(url: str, **config) -> AndroidGateway:
    return AndroidGateway(account({"base_url": url, "username": "north", **config}, hook_secret=KEY))


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


class TestAndroidGateway(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, **config)

    @pytest.fixture
    def server(self):
        with GatewayServer("ok", answer=OK, status=202) as server:
            yield server

    def sent(self, request):
        return request.json["phoneNumbers"][0], request.json["textMessage"]["text"]


def test_request_is_the_one_of_its_contract():
    accepted, server = send_once(lambda url: open_at(url, sim="1"), OK, status=202)

    request = server.seen[0]
    assert (request.method, request.target) == ("POST", "/3rdparty/v1/messages")
    assert request.headers["authorization"].startswith("Basic ")
    assert request.json == API["send"]["body"] | {"id": REF, "ttl": 300}
    assert accepted == Accepted(ref="zXDYfTmTVf3iMd16zzdBj", parts=1)


def test_phone_itself_has_a_shorter_path():
    _accepted, server = send_once(lambda url: open_at(url, path="/messages"), OK, status=202)

    assert server.seen[0].target == "/messages"


@pytest.mark.parametrize("state", API["states"])
def test_every_state_in_an_answer_proves_what_the_table_says(state):
    result, server = send_once(open_at, json.dumps({"id": "x", "state": state}).encode(), status=202)

    if state in ("Pending", "Processed", "Sent", "Delivered"):
        assert isinstance(result, Accepted)
    else:
        assert (result.outcome, result.reason) == ("unknown", f"code_{state}")
    assert len(server.seen) == 1


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"id": "x"}', b'{"state": "Pending"}', b"OK"])
def test_answer_that_is_no_acceptance_is_unknown(answer):
    error, _server = send_once(open_at, answer, status=202)

    assert isinstance(error, GatewayError)
    assert error.outcome == "unknown"


def test_id_that_it_has_already_is_unknown_not_refused():
    error, _server = send_once(open_at, b'{"message": "duplicate id"}', status=409)

    assert (error.outcome, error.reason) == ("unknown", "http_409")


@pytest.mark.parametrize("state", API["states"])
def test_every_state_is_read_when_asked(state):
    with GatewayServer("ok", answer=json.dumps({"id": "x", "state": state}).encode()) as server:
        asked = open_at(server.url).query_status([Sent("", REF, TO)], deadline_s=3)

    expected = {"Delivered": True, "Failed": False, "Cancelled": False}.get(state)
    assert (server.seen[0].method, server.seen[0].target) == ("GET", f"/3rdparty/v1/messages/{REF}")
    assert asked == [DeliveryReport("", REF, expected)]


def test_message_that_it_does_not_know_is_left_out():
    with GatewayServer("404") as server:
        assert open_at(server.url).query_status([Sent("x", REF, TO)], deadline_s=3) == []


def came(hook: dict, **over):
    return call("report", **{"body": hook["body_raw"], "headers": hook["headers"], "at": SIGNED, **over})


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["event"])
@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=5), timedelta(minutes=-5)])
def test_signed_webhook_is_believed_for_five_minutes(hook, late):
    assert open_at("http://x").is_genuine(came(hook, at=SIGNED + late))


@pytest.mark.parametrize(
    "over",
    [
        {"at": SIGNED + timedelta(minutes=5, seconds=1)},
        {"at": SIGNED - timedelta(minutes=5, seconds=1)},
        {"body": HOOKS[0]["body_raw"] + " "},
        {"body": b"\xff"},
        {"headers": {}},
        {"headers": {**HOOKS[0]["headers"], "X-Timestamp": "1751880001"}},
        {"headers": {**HOOKS[0]["headers"], "X-Timestamp": "9" * 400}},
        {"headers": {**HOOKS[0]["headers"], "X-Timestamp": "-1"}},
        {"headers": {**HOOKS[0]["headers"], "X-Signature": "0" * 64}},
        {"headers": {**HOOKS[0]["headers"], "X-Signature": "ключ"}},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
    ],
)
def test_webhook_that_is_old_or_changed_is_not_believed(over):
    assert not open_at("http://x").is_genuine(came(HOOKS[0], **over))


def test_without_a_signing_key_nobody_is_believed():
    gateway = AndroidGateway(account({"username": "x"}))
    body = HOOKS[0]["body_raw"].encode()
    headers = {"X-Timestamp": "1751880000", "X-Signature": sign("", body + b"1751880000")}

    assert not gateway.is_genuine(call("report", body=body, headers=headers, at=SIGNED))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("sms:sent", None),
        ("sms:delivered", True),
        ("sms:failed", False),
        ("system:ping", None),
    ],
)
def test_events_settle_what_they_say(event, expected):
    hook = next((hook for hook in HOOKS if hook["event"] == event), HOOKS[1])
    told = open_at("http://x").parse_report(json.loads(hook["body_raw"]) | {"event": event})

    assert (told.delivered, told.ref, told.to, told.of_part) == (expected, "msg-456", TO, True)


def test_incoming_sms_is_known_by_its_id_and_time():
    event = json.loads(HOOKS[0]["body_raw"])
    later = {**event, "payload": {**event["payload"], "receivedAt": "2025-07-07T12:40:00.000+03:00"}}
    gateway = open_at("http://x")

    first, second = gateway.parse_inbound(event), gateway.parse_inbound(later)

    assert first == InboundText(
        "abc123@2025-07-07T12:34:56.000+03:00", TO, "Status: ON", datetime(2025, 7, 7, 9, 34, 56, tzinfo=UTC)
    )
    assert first.ref != second.ref  # the same words once more are another SMS


@pytest.mark.parametrize(
    "told",
    [{}, {"payload": []}, {"event": "sms:received", "payload": {}}, json.loads(HOOKS[1]["body_raw"]),
     {"event": "sms:received", "payload": {"sender": TO}}],
)  # fmt: skip
def test_what_is_no_incoming_sms_says_what_to_change(told):
    with pytest.raises(CallbackInvalid) as caught:
        open_at("http://x").parse_inbound(told)

    assert caught.value.fields


@pytest.fixture
def hook(north):
    return make_gateway(north, kind="android", config={"username": "x"}, hook_secret=KEY)


def post(client, hook, kind, event):
    body, signed_at = json.dumps(event), str(int(utcnow().timestamp()))
    headers = {"X-Timestamp": signed_at, "X-Signature": sign(KEY, body + signed_at)}
    path = f"/hooks/sms/{hook.hook_id}/{kind}/"
    return client.post(path, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize(("body", "state"), [("short", SmsState.DELIVERED), ("long " * 60, SmsState.SENT)])
def test_one_delivered_part_settles_a_message_of_one_part_only(client, north, hook, body, state):
    message = make_notice(north, now=utcnow(), expires_at=None, body=body)
    type(message).objects.update(state=SmsState.SENT, gateway=hook, gateway_ref="msg-456")

    answer = post(client, hook, "report", json.loads(HOOKS[2]["body_raw"]))

    message.refresh_from_db()
    assert (answer.status_code, message.state) == (200, state)


def test_failed_part_settles_the_whole_message(client, north, hook):
    message = make_notice(north, now=utcnow(), expires_at=None, body="long " * 60)
    type(message).objects.update(state=SmsState.SENT, gateway=hook, gateway_ref="msg-456")

    post(client, hook, "report", json.loads(HOOKS[3]["body_raw"]))

    message.refresh_from_db()
    assert message.state == SmsState.UNDELIVERED


def test_webhook_that_is_repeated_is_one_sms(client, hook):
    event = json.loads(HOOKS[0]["body_raw"])

    answers = [post(client, hook, "inbound", event).json()["results"] for _ in range(3)]

    assert answers[1:] == [["repeated"], ["repeated"]]
    assert InboundSms.objects.count() == 1


def test_every_state_of_the_fixture_is_in_the_table():
    assert set(codes.load("android").send) == set(codes.load("android").status) == set(API["states"])
    assert SECRET not in repr(open_at("http://x").account)
