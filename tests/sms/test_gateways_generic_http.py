"""The configurable gateway: contract, structural filling, rules for answers, callbacks."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from sms.errors import CallbackInvalid, GatewayError
from sms.gateways.generic_http import GenericHttpGateway
from sms.gateways.templates import fill, fill_url, look_up
from sms.ports import DeliveryReport, InboundText
from tests.sms.gateway_contract import REF, SECRET, TO, HttpGatewayContract, account
from tests.sms.gateway_server import GatewayServer

JSON = {
    "headers": {"Authorization": "Bearer {secret}"},
    "json": {"messages": [{"to": "{to}", "text": "{text}", "ref": "{client_ref}", "flash": False}]},
    "id_path": "id",
}
FORM = {"form": {"phone": "{to}", "message": "{text}", "key": "{secret}"}, "id_path": "id"}
QUERY = {
    "method": "GET",
    "query": {"to": "{to}", "text": "{text}"},
    "headers": {"X-Key": "{secret}"},
    "id_regex": '"id": "([^"]{1,50})"',
}


def open_at(url: str, config: dict | None = None, **over) -> GenericHttpGateway:
    return GenericHttpGateway(account({"url": f"{url}/send", **(config or JSON), **over}))


class TestJsonBody(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, JSON, **config)

    def sent(self, request):
        message = request.json["messages"][0]
        return message["to"], message["text"]


class TestFormBody(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, FORM, **config)

    def sent(self, request):
        form = parse_qs(request.body.decode())
        return form["phone"][0], form["message"][0]


class TestQuery(HttpGatewayContract):
    def open_at(self, url, **config):
        return open_at(url, QUERY, **config)

    def sent(self, request):
        query = parse_qs(urlsplit(request.target).query)
        return query["to"][0], query["text"][0]


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]


def send(config: dict | None = None, *, mode: str = "ok", answer: bytes | None = None, **over):
    """(accepted or error, server) of one send."""
    with GatewayServer(mode, answer=answer) as server:
        try:
            return open_at(server.url, config, **over).send(TO, "text", client_ref=REF, deadline_s=3), server
        except GatewayError as error:
            return error, server


def test_our_id_key_and_literals_stand_where_the_template_puts_them():
    _accepted, server = send()

    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert server.seen[0].json == {"messages": [{"to": TO, "text": "text", "ref": REF, "flash": False}]}


def test_id_of_the_answer_is_kept():
    accepted, _server = send()

    assert accepted.ref == "id-1"


@pytest.mark.parametrize(
    ("answer", "path", "ref"),
    [
        (b'{"data": [{"id": 17}]}', "data.0.id", "17"),
        (b'[{"uuid": "a"}]', "0.uuid", "a"),
        (b'{"id": "' + b"9" * 300 + b'"}', "id", "9" * 100),
    ],
)
def test_id_is_found_along_its_path(answer, path, ref):
    accepted, _server = send(answer=answer, id_path=path)

    assert accepted.ref == ref


@pytest.mark.parametrize(
    "answer", [b'{"id": ""}', b'{"id": null}', b'{"id": true}', b"{}", b"[]", b'{"id": {}}']
)
def test_acceptance_without_an_id_is_unknown(answer):
    error, _server = send(answer=answer)

    assert (error.outcome, error.reason) == ("unknown", "no_id")


@pytest.mark.parametrize("answer", [b"OK", b"\x00\xff\xfe", b"", b'{"id": NaN}', b"[" * 60_000])
def test_acceptance_that_is_no_json_is_unknown(answer):
    error, _server = send(answer=answer)

    assert (error.outcome, error.reason) == ("unknown", "no_json")


def test_without_a_rule_for_the_id_the_status_decides():
    accepted, _server = send(id_path="", answer=b"whatever")

    assert accepted.ref == ""


def test_error_inside_an_acceptance_is_rejected():
    error, _server = send(answer=b'{"id": "1", "error": "no money"}', error_path="error")

    assert (error.outcome, error.reason) == ("rejected", "refused")
    assert "no money" in error.detail


def test_empty_error_is_no_error():
    accepted, _server = send(answer=b'{"id": "1", "error": null}', error_path="error")

    assert accepted.ref == "1"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"7", 7), (b"0", 0), (b"1e9", 3600), (b"-1", None), (b"nan", None), (b"tomorrow", None)],
)
def test_wish_of_the_gateway_to_wait_is_kept(value, seconds):
    with (
        GatewayServer("429", extra=b"Retry-After: " + value + b"\r\n") as server,
        pytest.raises(GatewayError) as caught,
    ):
        open_at(server.url).send(TO, "text", client_ref=REF, deadline_s=3)

    assert caught.value.retry_after_s == seconds


def test_what_is_filled_in_is_never_a_template_again():
    filled = fill(
        {"a": ["{to}", {"b": "{text}{unknown}"}]}, {"to": "{text}", "text": "{0.__class__} %s {to}"}
    )

    assert filled == {"a": ["{text}", {"b": "{0.__class__} %s {to}{unknown}"}]}


def test_what_is_filled_into_an_address_cannot_change_it():
    url = fill_url("https://gateway.example/{to}/send?x={text}", {"to": "+7/../a?b#c", "text": "a&b=c #"})

    assert url == "https://gateway.example/%2B7%2F..%2Fa%3Fb%23c/send?x=a%26b%3Dc%20%23"


@pytest.mark.parametrize("path", ["a", "0", "a.b.c", "a.9", "a.-1", "", "a."])
def test_path_that_leads_nowhere_finds_nothing(path):
    assert look_up({"x": [1]}, path) is None


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"json": {"to": "{to}", "text": "{txt}"}}, "json"),
        ({"json": {"to": "{to}"}}, "url"),
        ({"json": {"to": "{to}", "text": "{text}"}, "form": {"to": "{to}"}}, "json"),
        ({"json": {"to": "{to}", "text": "{text}"}, "headers": {"X": "{text}"}}, "headers"),
        ({"query": {"to": "{to}", "text": "{text}", "key": "{secret}"}}, "query"),
        ({"query": {"to": "{to}", "text": "{text}"}, "method": "DELETE"}, "method"),
        ({"query": {"to": "{to}", "text": "{text}"}, "id_regex": "("}, "id_regex"),
        ({"query": {"to": "{to}", "text": "{text}"}, "id_regex": "id"}, "id_regex"),
        ({"query": {"to": "{to}", "text": "{text}"}, "id_regex": "((a+)+)$"}, "id_regex"),
        ({"query": {"to": "{to}", "text": "{text}"}, "id_regex": "(a*b*c*d*)"}, "id_regex"),
        ({"query": {"to": "{to}", "text": "{text}"}, "id_regex": "(x)" + "x" * 300}, "id_regex"),
        ({"query": ["{to}", "{text}"]}, "query"),
    ],
)
def test_fault_of_a_configuration_is_found_where_it_is(config, field):
    assert field in GenericHttpGateway.check({"url": "https://gateway.example/", **config})


def test_example_of_a_pattern_is_found_good():
    config = {"url": "https://x.example/{to}", "query": {"text": "{text}"}, "id_regex": "^OK: (.+)$"}

    assert GenericHttpGateway.check(config) == {}


def reporting(**config) -> GenericHttpGateway:
    return open_at("http://gateway", JSON, **config)


@pytest.mark.parametrize(
    ("status", "delivered"), [("delivered", True), ("DELIVERED", True), ("failed", False), ("queued", None)]
)
def test_report_is_read_by_its_paths(status, delivered):
    told = {"id": 5, "status": status, "to": "79161234567", "at": "2026-03-03T12:00:00+03:00"}

    assert reporting().parse_report(told) == DeliveryReport(
        "5", "", delivered, datetime(2026, 3, 3, 9, 0, tzinfo=UTC), "+79161234567"
    )


@pytest.mark.parametrize(
    "told", [{}, {"id": "1"}, {"status": "delivered"}, {"id": {}, "status": "delivered"}]
)
def test_incomplete_report_names_what_is_missing(told):
    with pytest.raises(CallbackInvalid) as caught:
        reporting().parse_report(told)

    assert caught.value.fields


def test_incoming_sms_is_read_by_its_paths():
    told = {"data": {"from": "79161234567", "text": "OK"}, "id": "x"}
    gateway = reporting(inbound_from="data.from", inbound_text="data.text")

    assert gateway.parse_inbound(told) == InboundText("x", "+79161234567", "OK", None)


@pytest.mark.parametrize(
    "told", [{}, {"from": "+79161234567"}, {"message": "OK"}, {"from": "", "message": 5}]
)
def test_incomplete_sms_names_what_is_missing(told):
    with pytest.raises(CallbackInvalid) as caught:
        reporting().parse_inbound(told)

    assert caught.value.fields


def test_configuration_survives_json():
    assert GenericHttpGateway.check(json.loads(json.dumps({"url": "https://x.example/", **JSON}))) == {}


# --- rules for answers ------------------------------------------------------------------------------------
RULES = [
    {"path": "error_code", "equals": [6, "8"], "means": "refused"},
    {"path": "error_code", "equals": 2, "means": "wrong_key"},
    {"path": "error_code", "equals": 9, "means": "not_queued"},
    {"path": "errors[?fatal]", "means": "refused"},
    {"status": [500, 503], "text": "^(?:busy|queue full)", "means": "not_queued"},
    {"status": 200, "text": "maybe", "means": "unknown"},
    {"status": 208, "means": "accepted"},
]


@pytest.mark.parametrize(
    ("mode", "answer", "outcome", "reason"),
    [
        ("ok", b'{"error_code": 6}', "rejected", "rule_1_refused"),
        ("ok", b'{"error_code": "8"}', "rejected", "rule_1_refused"),
        ("ok", b'{"error_code": 2}', "rejected", "rule_2_wrong_key"),
        ("ok", b'{"error_code": 9}', "not_sent", "rule_3_not_queued"),
        ("ok", b'{"errors": [{"fatal": false}, {"fatal": true}]}', "rejected", "rule_4_refused"),
        ("503", b"busy, later", "not_sent", "rule_5_not_queued"),
        ("503", b"we are busy", "unknown", "http_503"),
        ("ok", b'{"id": "1", "note": "maybe"}', "unknown", "rule_6_unknown"),
        ("400", b"bad number", "rejected", "http_400"),
        ("ok", b'{"error_code": true}', "unknown", "no_id"),
    ],
)
def test_first_rule_that_fits_decides_and_statuses_after_them(mode, answer, outcome, reason):
    error, server = send(mode=mode, answer=answer, rules=RULES)

    assert (error.outcome, error.reason) == (outcome, reason)
    assert error.breaks is (reason == "rule_2_wrong_key")
    assert len(server.seen) == 1


def test_acceptance_by_a_rule_must_carry_the_id_all_the_same():
    with GatewayServer("ok", answer=b'{"id": "a-1"}', status=208) as server:
        accepted = open_at(server.url, rules=RULES).send(TO, "text", client_ref=REF, deadline_s=3)
    with GatewayServer("ok", answer=b"{}", status=208) as server, pytest.raises(GatewayError) as caught:
        open_at(server.url, rules=RULES).send(TO, "text", client_ref=REF, deadline_s=3)

    assert (accepted.ref, caught.value.outcome, caught.value.reason) == ("a-1", "unknown", "no_id")


@pytest.mark.parametrize("answer", [b"<html>", b"", b"[]", b"null", b"7", b"[" * 60_000])
def test_rules_by_path_do_not_fit_what_is_no_json(answer):
    error, _server = send(answer=answer, rules=[{"path": "length(@)", "means": "refused"}], id_path="id")

    assert error.outcome == "unknown"


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"status": 200}, "list"), ([1], "list"), ([{"status": 200}], "means"), ([{"means": "refused"}], "status"),
        ([{"status": 200, "means": "sent"}], "accepted"), ([{"status": "200", "means": "refused"}], "429"),
        ([{"status": True, "means": "refused"}], "429"), ([{"path": "a[", "means": "refused"}], "JMESPath"),
        ([{"path": 7, "means": "refused"}], "path"), ([{"text": "(", "means": "refused"}], "expression"),
        ([{"text": "(a)", "means": "refused"}], "brackets"), ([{"equals": 1, "status": 5, "means": "refused"}], "path"),
        ([{"text": "(?:a+)+$", "means": "refused"}], "ways"), ([{"text": "a", "mean": "x"}], "mean"),
        ([{"status": 200, "means": "refused"}] * 31, "30"),
    ],
)  # fmt: skip
def test_rules_that_cannot_work_are_named(rules, says):
    found = GenericHttpGateway.check({"url": "https://gateway.example/{to}/{text}", "rules": rules})

    assert says in found["rules"]


def test_good_rules_and_old_paths_pass():
    config = {"url": "https://gateway.example/{to}/{text}", "rules": RULES, "id_path": "data.0.id"}

    assert GenericHttpGateway.check(config) == {}
    assert "JMESPath" in GenericHttpGateway.check({**config, "id_path": "data..id"})["id_path"]
