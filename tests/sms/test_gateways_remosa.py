"""The existing REMOSA gateway and the simulator's: the contract, the exact wire, the inbox."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sms.errors import GatewayError
from sms.gateways.remosa import RemosaGateway, with_plus
from sms.gateways.simulator import SimulatorGateway
from sms.ports import InboundText
from tests.sms.gateway_contract import SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURE = Path(__file__).parent.parent / "fixtures" / "sms_gateway_legacy" / "cases.jsonl"
CASES = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
SENDS = [case for case in CASES if case["op"] == "send"]
INBOXES = [case for case in CASES if case["op"] == "inbox"]


class TestRemosaGateway(HttpGatewayContract):
    accepting = "bare"

    def open_at(self, url, **config):
        return RemosaGateway(account({"base_url": url, **config}))

    def sent(self, request):
        query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
        return query["number"][0], query["text"][0]

    def test_gateways_own_codes_for_not_queued_are_obeyed(self):
        with GatewayServer("503") as server, pytest.raises(GatewayError) as caught:
            self.open_at(server.url, not_queued=[503]).send(TO, "x", client_ref="r", deadline_s=3)

        assert caught.value.outcome == "not_sent"


class TestSimulatorGateway(TestRemosaGateway):
    def open_at(self, url, **config):
        return SimulatorGateway(account({"base_url": url, **config}))


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


def open_at(url: str, **config) -> RemosaGateway:
    return RemosaGateway(account({"base_url": url, **config}))


@pytest.mark.parametrize("case", SENDS, ids=lambda case: case["expect"])
def test_send_is_byte_for_byte_the_recorded_request(case):
    query = parse_qs(urlsplit(case["request"]["path"]).query)
    is_taken = case["response"]["status"] == 200
    # "retry later" of the recorded 500 is no proof that nothing left
    expected = nullcontext() if is_taken else pytest.raises(GatewayError, match="http_500")

    with GatewayServer("bare" if is_taken else "500") as server, expected:
        open_at(server.url).send(query["number"][0], query["text"][0], client_ref="r", deadline_s=3)

    request = server.seen[0]
    assert (request.method, request.target, request.body) == ("POST", case["request"]["path"], b"")
    assert request.headers["authorization"] == SECRET


@pytest.mark.parametrize("case", INBOXES, ids=lambda case: str(case["expect"]))
def test_inbox_is_read_as_recorded(case):
    answer = json.dumps(case["response"]["json"], ensure_ascii=False).encode()
    with GatewayServer("ok", answer=answer) as server:
        gateway = open_at(server.url)

        texts = gateway.parse_inbox(gateway.fetch_inbox(deadline_s=3))

    assert (server.seen[0].method, server.seen[0].target) == ("GET", "/sms")
    assert server.seen[0].headers["authorization"] == SECRET
    assert len(texts) == case["expect"]


def test_inbox_gives_senders_with_plus_and_times_in_utc():
    rows = INBOXES[1]["response"]["json"]

    texts = open_at("http://gateway", time_zone="Europe/Moscow").parse_inbox(json.dumps(rows).encode())

    assert texts == [
        InboundText("", "+79161234567", "Status: ON", datetime(2025, 7, 7, 9, 34, 56, tzinfo=UTC)),
        InboundText("", "+79160000002", "Статус: ВЫКЛ", None),
    ]


def test_what_is_no_message_is_kept_without_a_sender():
    rows = [{"from": "+79161234567"}, "text", None, {"from": "+79161234567", "message": "OK"}]

    texts = open_at("http://gateway").parse_inbox(json.dumps({"sms_messages": rows}).encode())

    assert [text.sender for text in texts] == ["", "", "", "+79161234567"]
    assert texts[1].body == '"text"'


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"[]", b"{}", b'{"sms_messages": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_inbox_is_a_value_error(raw):
    with pytest.raises(ValueError, match="the inbox"):
        open_at("http://gateway").parse_inbox(raw)


@pytest.mark.parametrize("mode", ["401", "500", "hang", "reset_before", "307"])
def test_inbox_that_cannot_be_read_is_a_gateway_error(mode):
    with GatewayServer(mode) as server, pytest.raises(GatewayError) as caught:
        open_at(server.url).fetch_inbox(deadline_s=0.5)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("79161234567", "+79161234567"),
        ("+79161234567", "+79161234567"),
        ("MegaFon", "MegaFon"),
        ("900", "900"),
    ],
)
def test_only_full_numbers_get_a_plus(sender, expected):
    assert with_plus(sender) == expected


def test_configuration_without_an_address_is_refused():
    assert list(RemosaGateway.check({})) == ["base_url"]


@pytest.mark.parametrize(
    "url", ["gateway.example", "ftp://x/", "http://", "http://key:secret@x/", "http://[::1"]
)
def test_address_that_is_none_is_refused(url):
    assert list(RemosaGateway.check({"base_url": url})) == ["base_url"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("not_queued", "429"),
        ("not_queued", [1]),
        ("not_queued", [True]),
        ("time_zone", "Moscow"),
        ("base_url", 5),
    ],
)
def test_setting_of_a_wrong_shape_is_named(name, value):
    assert name in RemosaGateway.check({"base_url": "https://gateway.example", name: value})
