"""SMSC.ru: contract, every code of its tables, statuses, answers by push and poll."""

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.smsc_ru import SmscRuGateway, number_of
from sms.ports import Accepted, DeliveryReport, InboundText, Sent
from sms.services import callback_addresses
from tests.factories import make_gateway
from tests.sms.callbacks import HOOK, HOOK_SECRET, call, send_once
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURE = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "sms_providers" / "smsc_ru.json").read_text(encoding="utf-8")
)
OK = json.dumps(FIXTURE["ok"]).encode()
PROVES = {  # outcome, whether nothing else gets through either
    "1": ("rejected", False), "2": ("rejected", True), "3": ("rejected", True), "4": ("rejected", True),
    "5": ("rejected", False), "6": ("rejected", False), "7": ("rejected", False), "8": ("rejected", False),
    "9": ("not_sent", False),
}  # fmt: skip
SETTLES = {"1": True, "2": True, "4": True, "-3": None, "-1": None, "0": None}  # anything else: not delivered


def open_at(url: str, **config) -> SmscRuGateway:
    return SmscRuGateway(
        account(
            {"base_url": url, "login": "north", **config},
            hook_url=HOOK,
            hook_secret=HOOK_SECRET,
            time_zone="Europe/Moscow",
        )
    )


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


class TestSmscRuGateway(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, **config)

    @pytest.fixture
    def server(self):
        with GatewayServer("ok", answer=OK) as server:
            yield server

    def sent(self, request):
        form = parse_qs(request.body.decode())
        return form["phones"][0], form["mes"][0]


def test_request_is_the_one_of_its_contract():
    accepted, server = send_once(lambda url: open_at(url, sender="REMOSA"), OK)

    request = server.seen[0]
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert (request.method, request.target) == ("POST", "/sys/send.php")
    assert form == {
        "login": "north", "psw": SECRET, "fmt": "3", "charset": "utf-8", "phones": TO, "mes": "#01#",
        "id": number_of(REF), "valid": "00:05", "sender": "REMOSA",
    }  # fmt: skip
    assert accepted == Accepted(ref="1234", parts=1)


@pytest.mark.parametrize("code", FIXTURE["error_codes"])
def test_every_error_code_proves_what_the_table_says(code):
    answer = {"error": "text", "error_code": int(code), "id": 1234}

    error, server = send_once(open_at, json.dumps(answer).encode())

    assert isinstance(error, GatewayError)
    assert (error.outcome, error.breaks) == PROVES[code]
    assert error.reason == f"code_{code}"
    assert len(server.seen) == 1


def test_duplicate_within_a_minute_waits_for_that_minute():
    error, _server = send_once(open_at, json.dumps(FIXTURE["error"]).encode())

    assert (error.outcome, error.retry_after_s) == ("not_sent", 60)


@pytest.mark.parametrize(
    "answer",
    [b'{"error": "new", "error_code": 77}', b'{"error": "x"}', b"{}", b"[]", b"null", b"OK", b'{"id": ""}',
     b'{"id": true}', b'{"error_code": [9]}'],
)  # fmt: skip
def test_answer_that_is_in_no_table_is_unknown(answer):
    error, _server = send_once(open_at, answer)

    assert (error.outcome, error.breaks) == ("unknown", False)


def test_our_id_becomes_one_of_theirs_always_the_same():
    numbers = {number_of(f"{REF}{turn}") for turn in range(1000)}

    assert len(numbers) == 1000
    assert number_of(REF) == number_of(REF)
    assert all(1 <= int(number) <= 2147483647 for number in numbers)


@pytest.mark.parametrize("status", FIXTURE["statuses"])
def test_every_status_is_read_when_asked_and_when_told(status):
    told = FIXTURE["status_ok"] | {"status": int(status)}
    with GatewayServer("ok", answer=json.dumps(told).encode()) as server:
        asked = open_at(server.url).query_status([Sent("1234", REF, TO)], deadline_s=5)
    pushed = open_at("http://x").parse_report({"id": "1234", "phone": "79161234567", "status": status})

    expected = SETTLES.get(status, False)
    form = parse_qs(server.seen[0].body.decode())
    assert asked == [DeliveryReport("", REF, expected, at=datetime.fromtimestamp(1751880904, UTC))]
    assert (server.seen[0].target, form["id"], form["phone"]) == ("/sys/status.php", ["1234"], [TO])
    assert pushed == DeliveryReport("1234", "", expected, to=TO)


def test_message_whose_answer_was_lost_is_asked_for_by_our_number():
    with GatewayServer("ok", answer=b'{"error": "not found", "error_code": 3}') as server:
        reports = open_at(server.url).query_status([Sent("", REF, TO)], deadline_s=5)

    assert parse_qs(server.seen[0].body.decode())["id"] == [number_of(REF)]
    assert reports == []


@pytest.mark.parametrize("answer", [b'{"error": "x", "error_code": 2}', b"<html>"])
def test_question_that_is_refused_is_an_error(answer):
    with GatewayServer("ok", answer=answer) as server, pytest.raises(GatewayError) as caught:
        open_at(server.url).query_status([Sent("1", REF, TO)], deadline_s=5)

    assert SECRET not in str(caught.value)


def test_answers_are_polled_only_when_wanted():
    assert not SmscRuGateway.is_polled({"login": "x"})
    assert SmscRuGateway.is_polled({"login": "x", "inbound": "poll"})


def test_answers_of_the_last_hour_are_read():
    rows = [{"id": 7, "received": "x", "phone": "79161234567", "message": "OUT1 ON", "to_phone": "7916",
             "sent": "07.07.2025 12:35:04"}, 5]  # fmt: skip
    with GatewayServer("ok", answer=json.dumps(rows).encode()) as server:
        gateway = open_at(server.url)
        texts = gateway.parse_inbox(gateway.fetch_inbox(deadline_s=3))

    form = parse_qs(server.seen[0].body.decode())
    assert (server.seen[0].target, form["get_answers"], form["hour"]) == ("/sys/get.php", ["1"], ["1"])
    assert texts == [
        InboundText("7", TO, "OUT1 ON", datetime(2025, 7, 7, 9, 35, 4, tzinfo=UTC)),
        InboundText("", "", "5"),
    ]


def test_no_new_answers_are_an_empty_inbox():
    with GatewayServer("ok", answer=b'{"error": "no messages", "error_code": 3}') as server:
        gateway = open_at(server.url)
        assert gateway.parse_inbox(gateway.fetch_inbox(deadline_s=3)) == []


@pytest.mark.parametrize("raw", [b"", b"{}", b"5", b"<html>", b"[" * 100_000])
def test_what_is_no_inbox_is_a_value_error(raw):
    with pytest.raises(ValueError, match="the inbox"):
        open_at("http://x").parse_inbox(raw)


def test_incoming_sms_that_is_pushed_is_read():
    told = {
        "phone": "79161234567",
        "mes": "OUT1 ON",
        "sms_id": "9",
        "sent": "07.07.2025 12:35:04",
        "to": "7916",
    }

    assert open_at("http://x").parse_inbound(told) == InboundText(
        "9", TO, "OUT1 ON", datetime(2025, 7, 7, 9, 35, 4, tzinfo=UTC)
    )


@pytest.mark.parametrize("told", [{}, {"phone": "79161234567"}, {"mes": "x"}, {"id": "1"}, {"status": "1"}])
def test_incomplete_callback_names_what_is_missing(told):
    for parse in (open_at("http://x").parse_report, open_at("http://x").parse_inbound):
        with pytest.raises(CallbackInvalid) as caught:
            parse(told)
        assert caught.value.fields


def test_callback_is_believed_by_the_token_of_its_address():
    gateway = open_at("http://x")
    query = urlsplit(gateway.callback_address("report")).query

    assert gateway.is_genuine(call("report", query=query))
    assert not gateway.is_genuine(call("inbound", query=query))
    assert not gateway.is_genuine(call("report", query="token=" + "0" * 64))
    assert not SmscRuGateway(account({"login": "x"}, hook_url=HOOK)).is_genuine(call("report", query=query))


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("smsc_ru", {"login": "x"}, {"report", "inbound"}),
        ("kannel", {"base_url": "http://x", "username": "x"}, {"inbound"}),  # reports carry their address
        ("twilio", {"account_sid": "AC1"}, {"inbound"}),
        ("sms_ru", {}, {"report"}),
        ("android", {"username": "x"}, {"report", "inbound"}),
        ("console", {}, set()),
    ],
)
def test_addresses_to_enter_at_the_provider_are_given_out(db, settings, kind, config, expected):
    settings.PUBLIC_URL = "https://remosa.example"
    row = make_gateway(kind=kind, config=config, hook_secret=HOOK_SECRET)

    addresses = callback_addresses(row)

    assert set(addresses) == expected
    for address in addresses.values():
        assert address.startswith(f"https://remosa.example/hooks/sms/{row.hook_id}/")
        assert HOOK_SECRET not in address


def test_every_code_of_the_fixture_is_in_the_table():
    table = codes.load("smsc_ru")

    assert set(table.send) == set(FIXTURE["error_codes"]) == set(PROVES)
    assert set(table.status) == set(FIXTURE["statuses"])
