"""Kannel's wire: contract, captured answers, reports and incoming SMS. The real one: test_kannel_real."""

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.kannel import KannelGateway
from sms.ports import Accepted, DeliveryReport, InboundText
from tests.sms.callbacks import AT, HOOK, HOOK_SECRET, call, send_once
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kannel"
ANSWERS = json.loads((FIXTURES / "sendsms_responses.json").read_text(encoding="utf-8"))
DLR = json.loads((FIXTURES / "dlr_values.json").read_text(encoding="utf-8"))
CALLS = [
    block.split(" ")[1]
    for block in (FIXTURES / "callbacks.http.txt").read_text(encoding="utf-8").split("\n\n")
    if block.strip().startswith("GET")
]


def open_at(url: str, **config) -> KannelGateway:
    return KannelGateway(
        account(
            {"base_url": url, "username": "remosa", **config},
            sender="+79160000001",
            hook_url=HOOK,
            hook_secret=HOOK_SECRET,
        )
    )


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


class TestKannelGateway(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, **config)

    @pytest.fixture
    def server(self):
        with GatewayServer("ok", answer=b"0: Accepted for delivery", status=202) as server:
            yield server

    def sent(self, request):
        query = parse_qs(urlsplit(request.target).query)
        return query["to"][0], query["text"][0]


def the_report_address(**config) -> str:
    """The dlr-url that a send gives to Kannel, as Kannel calls it after a delivery."""
    _accepted, server = send_once(lambda url: open_at(url, **config), b"0: Accepted for delivery", status=202)
    return parse_qs(urlsplit(server.seen[0].target).query)["dlr-url"][0]


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["case"])
def test_captured_answer_is_understood(case):
    status = int(case["response_head"].split(" ")[1])

    result, server = send_once(open_at, case["body"].encode(), status=status)

    if status == 202:
        assert isinstance(result, Accepted)
    else:
        assert isinstance(result, GatewayError)
        assert (result.outcome, result.breaks) == ("rejected", case["case"] == "badauth")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, b"Not routable. Do not try again.", ("rejected", False)),
        (503, b"Temporal failure, try again later.", ("not_sent", False)),
        (400, b"Sender missing and no global set, rejected", ("rejected", True)),
        (202, b"5: Something new", ("unknown", False)),
        (202, b"", ("unknown", False)),
        (200, b"0: Accepted for delivery", ("unknown", False)),
    ],
)
def test_other_answers_prove_what_the_table_says(status, body, expected):
    error, _server = send_once(open_at, body, status=status)

    assert (error.outcome, error.breaks) == expected


def test_request_is_the_one_of_its_contract():
    _accepted, server = send_once(
        lambda url: open_at(url, smsc="mts"), b"0: Accepted for delivery", status=202, body="Привет"
    )

    request = server.seen[0]
    query = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
    assert (request.method, urlsplit(request.target).path) == ("GET", "/cgi-bin/sendsms")
    assert query.pop("dlr-url").startswith(f"{HOOK}/report/?id={REF}&sig=")
    assert query == {
        "username": "remosa", "password": SECRET, "from": "+79160000001", "to": TO, "text": "Привет",
        "charset": "UTF-8", "coding": "2", "validity": "5", "smsc": "mts", "dlr-mask": "19",
    }  # fmt: skip


def test_address_of_a_report_holds_no_secret_and_no_number():
    address = the_report_address()

    assert address.endswith("&type=%d&at=%T")
    assert not any(part in address for part in (SECRET, HOOK_SECRET, TO.lstrip("+")))


def test_without_a_callback_secret_no_reports_are_asked_for():
    gateway = KannelGateway(account({"base_url": "http://x", "username": "u"}, hook_url=HOOK))

    _accepted, server = send_once(
        lambda url: KannelGateway(account({"base_url": url, "username": "u"}, hook_url=HOOK)),
        b"0: Accepted for delivery",
        status=202,
    )

    assert "dlr" not in server.seen[0].target
    assert not gateway.is_genuine(call("report", method="GET", query="id=x&sig="))


@pytest.mark.parametrize("value", [key for key in DLR if key.isdigit()])
def test_every_value_of_a_report_is_read(value):
    gateway = open_at("http://kannel")
    came = urlsplit(the_report_address().replace("%d", value).replace("%T", "1795197139")).query
    report = call("report", method="GET", query=came)

    told = gateway.parse_report(gateway.unpack(report)[0])

    expected = {"1": True, "2": False, "16": False, "34": False}.get(value)
    assert gateway.is_genuine(report)
    assert told == DeliveryReport("", REF, expected, at=datetime.fromtimestamp(1795197139, UTC))


def test_report_for_another_message_is_not_believed():
    came = urlsplit(the_report_address()).query

    forged = came.replace(REF, REF.replace("1", "2"))

    assert not open_at("http://kannel").is_genuine(call("report", method="GET", query=forged))
    assert not open_at("http://kannel").is_genuine(call("report", method="GET", query=f"id={REF}&type=1"))


def test_captured_incoming_sms_is_read():
    query = urlsplit(next(path for path in CALLS if path.startswith("/mo"))).query
    gateway = open_at("http://kannel")

    text = gateway.parse_inbound(gateway.unpack(call("inbound", method="GET", query=query))[0])

    assert text == InboundText(
        "2f611f5a-7eb4-483c-84d3-3b9a7beb0935", TO, "Status+ON,+T%3D21C",
        datetime(2026, 11, 20, 17, 52, 17, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "charset", "coding", "text"),
    [
        ("Розетка вкл".encode("utf-16-be"), "UTF-16BE", "2", "Розетка вкл"),
        ("Розетка вкл".encode("utf-16-be"), "", "2", "Розетка вкл"),
        ("Розетка вкл".encode(), "UTF-8", "2", "Розетка вкл"),
        ("OUT1 ON £".encode("latin-1"), "ISO-8859-1", "0", "OUT1 ON £"),
        (b"OUT1 ON", "", "0", "OUT1 ON"),
        (b"\xff\xfe\xfd", "no-such-charset", "0", "\ufffd\ufffd\ufffd"),
    ],
)
def test_text_comes_in_the_character_set_it_names(raw, charset, coding, text):
    query = urlencode({"from": "79161234567", "text": raw, "charset": charset, "coding": coding})
    gateway = open_at("http://kannel")

    assert gateway.parse_inbound(gateway.unpack(call("inbound", method="GET", query=query))[0]).body == text


@pytest.mark.parametrize("query", ["", "from=%2B79161234567", "text=OK", "&" * 100, "type=1"])
def test_incomplete_callback_names_what_to_change(query):
    gateway = open_at("http://kannel")

    for parse, kind in ((gateway.parse_inbound, "inbound"), (gateway.parse_report, "report")):
        with pytest.raises(CallbackInvalid):
            parse(gateway.unpack(call(kind, method="GET", query=query))[0])


def test_incoming_sms_shows_the_secret_or_the_token_of_its_address():
    gateway = open_at("http://kannel")
    address = gateway.callback_address("inbound")

    assert gateway.is_genuine(call("inbound", method="GET", query=urlsplit(address).query))
    assert gateway.is_genuine(
        call("inbound", method="GET", headers={"Authorization": "Basic dTpjYW5hcnktaG9vay0wODE1"})
    )
    assert HOOK_SECRET not in address
    assert "&text=%b&charset=%C&coding=%c" in address
    for wrong in ("", "token=", "token=x"):
        assert not gateway.is_genuine(call("inbound", method="GET", query=wrong, at=AT))


def test_settings_that_are_missing_are_named():
    assert set(KannelGateway.check({})) == {"base_url", "username"}


def test_every_row_of_the_table_is_used():
    assert {row.outcome for row in codes.load("kannel").send.values()} == {
        "accepted", "rejected", "not_sent",
    }  # fmt: skip
    assert set(codes.load("kannel").status) == {key for key in DLR if key.isdigit()}
