"""sms.ru: contract, every code of its table outside and inside, statuses, signed reports."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from remosa.lib.clock import utcnow
from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.sms_ru import SmsRuGateway
from sms.ports import Accepted, DeliveryReport, Sent
from sms.states import SmsState
from tests.factories import make_gateway
from tests.sms.callbacks import call, send_once
from tests.sms.fakes import make_notice
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURE = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "sms_providers" / "sms_ru.json").read_text(encoding="utf-8")
)
DIGITS = TO.lstrip("+")
ACCEPTED = {"100", "101", "102", "103", "110"}
NOT_SENT = {"220", "231"}
UNKNOWN = {"-1", "104", "105", "106", "107", "108", "500", "901", "902"}
BREAKS = {"200", "201", "204", "206", "210", "211", "300", "301", "302"}
SETTLES = {"103": True, "110": True} | dict.fromkeys(["104", "105", "106", "107", "108", "150"], False)


def answer(inner: dict, *, outer: int = 100, number: str = DIGITS) -> bytes:
    return json.dumps({"status": "OK", "status_code": outer, "sms": {number: inner}, "balance": 1.5}).encode()


OK = answer({"status": "OK", "status_code": 100, "sms_id": "000000-10000000"})


def open_at(url: str, **config) -> SmsRuGateway:
    return SmsRuGateway(account({"base_url": url, **config}))


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


class TestSmsRuGateway(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, **config)

    @pytest.fixture
    def server(self):
        with GatewayServer("ok", answer=OK) as server:
            yield server

    def sent(self, request):
        form = parse_qs(request.body.decode())
        return "+" + form["to"][0], form["msg"][0]


def proved(code: str) -> tuple[str, bool]:
    outcome = "rejected"
    for name, codes_of_it in (("accepted", ACCEPTED), ("not_sent", NOT_SENT), ("unknown", UNKNOWN)):
        if code in codes_of_it:
            outcome = name
    return outcome, code in BREAKS


def test_request_is_the_one_of_its_contract():
    accepted, server = send_once(lambda url: open_at(url, sender="REMOSA"), OK)

    request = server.seen[0]
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (request.method, request.target) == ("POST", "/sms/send")
    assert form == {
        "api_id": SECRET, "json": "1", "to": DIGITS, "msg": "#01#", "ttl": "5", "from": "REMOSA",
    }  # fmt: skip
    assert accepted == Accepted(ref="000000-10000000", parts=1)


@pytest.mark.parametrize("code", FIXTURE["codes"])
def test_every_inner_code_proves_what_the_table_says(code):
    inner = {"status": "ERROR", "status_code": int(code), "status_text": "text", "sms_id": "1"}

    result, server = send_once(open_at, answer(inner))

    outcome, breaks = proved(code)
    if outcome == "accepted":
        assert isinstance(result, Accepted)
    else:
        assert (result.outcome, result.breaks, result.reason) == (outcome, breaks, f"code_{code}")
    assert len(server.seen) == 1


@pytest.mark.parametrize("code", [code for code in FIXTURE["codes"] if code not in ACCEPTED])
def test_every_outer_code_proves_what_the_table_says(code):
    error, server = send_once(open_at, json.dumps({"status": "ERROR", "status_code": int(code)}).encode())

    assert (error.outcome, error.breaks) == proved(code)
    assert len(server.seen) == 1


def test_good_outside_and_bad_inside_is_a_refusal():
    sent = FIXTURE["ok"]["sms"]["74993221627"]

    error, _server = send_once(open_at, answer(sent))

    assert (error.outcome, error.reason) == ("rejected", "code_207")


@pytest.mark.parametrize(
    "raw",
    [b"{}", b"[]", b"null", b"100\n000000-1", b"<html>", answer({"status_code": 100}),
     answer({"status_code": 777}), json.dumps({"status_code": 100}).encode(),
     json.dumps({"status_code": 100, "sms": {"1": {"status_code": 100, "sms_id": "a"}, "2": {}}}).encode(),
     json.dumps({"status_code": 100, "sms": [1]}).encode(), json.dumps({"status_code": 999}).encode()],
)  # fmt: skip
def test_answer_that_is_in_no_table_is_unknown(raw):
    error, _server = send_once(open_at, raw)

    assert isinstance(error, GatewayError)
    assert (error.outcome, error.breaks) == ("unknown", False)


def test_number_may_be_written_otherwise_in_the_answer():
    accepted, _server = send_once(open_at, answer({"status_code": 100, "sms_id": "a"}, number="89161234567"))

    assert accepted.ref == "a"


@pytest.mark.parametrize("code", FIXTURE["codes"])
def test_every_status_is_read_when_asked_and_when_told(code):
    told = {"status_code": 100, "sms": {"a": {"status_code": int(code)}, "stranger": {"status_code": 103}}}
    with GatewayServer("ok", answer=json.dumps(told).encode()) as server:
        asked = open_at(server.url).query_status([Sent("a", REF, TO), Sent("", "x", TO)], deadline_s=3)
    pushed = open_at("http://x").parse_report({"id": "a", "code": code, "at": "1751880904"})

    expected = SETTLES.get(code)
    assert (server.seen[0].target, parse_qs(server.seen[0].body.decode())["sms_id"]) == ("/sms/status", ["a"])
    assert asked == [DeliveryReport("a", REF, expected)]
    assert pushed == DeliveryReport("a", "", expected, at=datetime.fromtimestamp(1751880904, UTC))


def test_nothing_to_ask_for_asks_nothing():
    assert open_at("http://127.0.0.1:9").query_status([Sent("", REF, TO)], deadline_s=1) == []


def form(records: list[str], *, key: str = SECRET, name: str = "data[{}]") -> str:
    pairs = [(name.format(number), record) for number, record in enumerate(records)]
    return urlencode([*pairs, ("hash", hashlib.sha256((key + "".join(records)).encode()).hexdigest())])


RECORDS = ["sms_status\na\n103\n1751880904", "callcheck_status\nb\n401\n1", "sms_status\nc\n104\n1751880905"]


@pytest.mark.parametrize("name", ["data[{}]", "data[]"])
def test_signed_records_are_unpacked(name):
    came = call("report", body=form(RECORDS, name=name))
    gateway = open_at("http://x")

    assert gateway.is_genuine(came)
    assert gateway.unpack(came) == [
        {"id": "a", "code": "103", "at": "1751880904"},
        {"id": "c", "code": "104", "at": "1751880905"},
    ]


@pytest.mark.parametrize(
    "body",
    [form(RECORDS, key="wrong"), form(RECORDS).replace("103", "104"), form(RECORDS)[:-3], "", "hash=", b"\xff",
     "&" * 500, form(RECORDS) + "&data%5B3%5D=sms_status%0Ax%0A103%0A1"],
)  # fmt: skip
def test_record_that_was_not_signed_is_not_believed(body):
    assert not open_at("http://x").is_genuine(call("report", body=body))


def test_gateway_without_a_key_believes_nobody():
    gateway = SmsRuGateway(type(account({}))(gateway_id=1))

    assert not gateway.is_genuine(call("report", body=form(RECORDS, key="")))


def test_record_without_an_id_is_the_callers_fault():
    with pytest.raises(CallbackInvalid):
        open_at("http://x").parse_report({"code": "103"})


def test_report_is_taken_and_answered_with_100(client, north):
    gateway = make_gateway(north, kind="sms_ru", secret=SECRET)
    message = make_notice(north, now=utcnow(), expires_at=None)
    type(message).objects.update(state=SmsState.SENT, gateway=gateway, gateway_ref="a")

    answered = client.post(
        f"/hooks/sms/{gateway.hook_id}/report/",
        form([f"sms_status\na\n103\n{int(utcnow().timestamp())}"]),
        content_type="application/x-www-form-urlencoded",
    )

    message.refresh_from_db()
    assert (answered.status_code, answered.content) == (200, b"100")
    assert message.state == SmsState.DELIVERED


def test_every_code_of_the_fixture_is_in_the_table():
    assert set(codes.load("sms_ru").send) == set(FIXTURE["codes"])
