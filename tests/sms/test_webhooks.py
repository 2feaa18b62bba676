"""Callbacks of the gateways, from the outside: who may call, and what becomes of every kind of body."""

import json
import uuid

import pytest
from django.db import OperationalError

from devices.services import refusal_at_barrier
from devices.states import CommandState
from remosa.lib.clock import utcnow
from sms.models import InboundSms
from sms.states import SmsState
from tests.factories import make_gateway, make_socket
from tests.sms.fakes import make_command, make_notice
from tests.sms.test_gateways_generic_http import JSON

SECRET = "hook-secret-0123456789"


@pytest.fixture
def hook(north):
    return make_gateway(
        north, kind="http", config={"url": "https://gateway.example/", **JSON}, hook_secret=SECRET
    )


@pytest.fixture
def call(client, hook):
    def post(kind, body, *, secret=SECRET, content_type="application/json", hook_id=None, **headers):
        if not isinstance(body, str | bytes):
            body = json.dumps(body)
        if secret is not None:
            headers.setdefault("authorization", f"Bearer {secret}")
        path = f"/hooks/sms/{hook_id or hook.hook_id}/{kind}/"
        return client.post(path, body, content_type=content_type, headers=headers)

    return post


def sent_by(hook, platform):
    message = make_notice(platform, now=utcnow(), expires_at=None)
    type(message).objects.filter(pk=message.pk).update(state=SmsState.SENT, gateway=hook, gateway_ref="g-1")
    return message


def test_report_moves_the_message(call, hook, north):
    message = sent_by(hook, north)

    answer = call("report", {"id": "g-1", "status": "delivered"})

    assert (answer.status_code, answer.json()) == (200, {"results": ["applied"]})
    message.refresh_from_db()
    assert message.state == SmsState.DELIVERED


def test_report_as_a_form_and_by_our_id(call, hook, north):
    message = sent_by(hook, north)

    answer = call(
        "report",
        f"client_ref={message.pk}&status=failed",
        content_type="application/x-www-form-urlencoded",
    )

    assert answer.json() == {"results": ["applied"]}
    message.refresh_from_db()
    assert message.state == SmsState.UNDELIVERED


def test_report_that_is_too_early_is_asked_for_again(call, hook, north):
    message = sent_by(hook, north)
    rows = type(message).objects.filter(pk=message.pk)
    rows.update(state=SmsState.SENDING, gateway_ref="")
    early = call("report", {"id": "g-1", "status": "delivered"})
    rows.update(state=SmsState.SENT, gateway_ref="g-1")

    again = call("report", {"id": "g-1", "status": "delivered"})

    assert (early.status_code, early.headers["Retry-After"]) == (503, "10")
    assert again.json() == {"results": ["applied"]}


def test_several_reports_are_answered_one_by_one(call, hook, north):
    sent_by(hook, north)

    answer = call(
        "report",
        [
            {"id": "g-1", "status": "queued"},
            {"id": "g-1", "status": "delivered"},
            {"id": "g-1", "status": "delivered"},
            {"id": "g-2", "status": "delivered"},
        ],
    )

    assert answer.json() == {"results": ["ignored", "applied", "repeated", "unmatched"]}


def test_incoming_sms_answers_a_command(call, hook, north):
    socket = make_socket(north)
    command = make_command(north, device=socket, now=utcnow())
    refusal_at_barrier(command.pk, now=utcnow())  # it may leave now, so a reply may come

    answer = call("inbound", {"from": socket.msisdn, "message": "OUT1 OFF 1 MIN", "id": "1"})
    again = call("inbound", {"from": socket.msisdn, "message": "OUT1 OFF 1 MIN", "id": "1"})

    assert (answer.json(), again.json()) == ({"results": ["matched"]}, {"results": ["repeated"]})
    command.refresh_from_db()
    assert command.state == CommandState.REPLIED


def test_key_may_come_in_a_header_of_its_own(call):
    answer = call("report", {"id": "x", "status": "delivered"}, secret=None, x_api_key=SECRET)

    assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["report", "inbound"])
def test_unknown_number_and_wrong_secret_look_alike(call, kind):
    answers = [
        call(kind, {}, secret="wrong"),
        call(kind, {}, secret=""),
        call(kind, {}, secret=None),
        call(kind, {}, hook_id=uuid.uuid4()),
        call(kind, {}, secret="ключ"),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_gateway_without_a_secret_takes_no_callbacks(call, hook):
    hook.hook_secret = ""
    hook.save()

    assert call("report", {}, secret="").status_code == 401
    assert call("report", {}, secret=None).status_code == 401


def test_disabled_gateway_takes_no_callbacks(call, hook):
    hook.is_enabled = False
    hook.save()

    assert call("report", {"id": "x", "status": "delivered"}).status_code == 401


def test_gateway_of_another_platform_cannot_report(call, north, south):
    other = make_gateway(south, kind="http", config=JSON, hook_secret="other-secret")
    message = sent_by(make_gateway(north), north)

    answer = call(
        "report",
        {"client_ref": str(message.pk), "status": "delivered"},
        hook_id=other.hook_id,
        secret="other-secret",
    )

    assert answer.json() == {"results": ["unmatched"]}


@pytest.mark.parametrize("kind", ["report", "inbound"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"null", 400),
        (b"5", 400),
        (b'"text"', 400),
        (b"[1]", 400),
        (b"{}", 400),
        (b'{"id": NaN}', 400),
        (b'{"id": {"a": []}, "status": [], "from": {}, "message": {}}', 400),
        (b"[" * 50_000, 400),
        (b'{"a":' * 10_000, 400),
        (b"x" * 65_537, 413),
        (b"[" + b",".join([b"{}"] * 501) + b"]", 413),
        (b"[]", 200),
    ],
)
def test_body_that_cannot_be_read_is_the_callers_fault(call, kind, body, status):
    answer = call(kind, body)

    assert answer.status_code == status
    if status != 200:
        assert set(answer.json()["error"]) == {"code", "message", "fields"}
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"id": "a\x00b", "status": "delivered", "from": "+7\x00", "message": "\x00"},
        {"id": "x" * 9000, "status": "delivered", "from": "9" * 9000, "message": "x" * 9000},
        {"id": "\ud800", "status": "delivered", "from": "\ud800", "message": "\ud800", "to": "\ud800"},
        {
            "id": 10**400,
            "status": "delivered",
            "from": 10**400,
            "message": "x",
            "at": 10**400,
            "timestamp": -1,
        },
        {
            "id": "1",
            "status": "delivered",
            "from": "+79160000000",
            "message": "x",
            "timestamp": "9999-12-31T23:59:59-23:59",
        },
        {
            "id": "1",
            "status": "delivered",
            "from": "' OR 1=1 --",
            "message": "{{7*7}}<script>",
            "at": "0001-01-01",
        },
        {"client_ref": "not a uuid", "id": "1", "status": "delivered", "from": "a", "message": "b"},
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Moscow", "America/New_York"])
@pytest.mark.parametrize("kind", ["report", "inbound"])
def test_strange_values_are_taken_without_a_fault_of_ours(call, hook, kind, body, zone):
    hook.config["time_zone"] = zone
    hook.save()

    answer = call(kind, body)

    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_other_methods_are_refused(client, hook, method):
    answer = getattr(client, method)(f"/hooks/sms/{hook.hook_id}/report/")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_other_content_is_refused(call, content_type):
    assert call("report", b"x", content_type=content_type).status_code == 415


def test_kind_without_callbacks_says_so(client, north):
    gateway = make_gateway(north, kind="console", hook_secret=SECRET)

    answer = client.post(
        f"/hooks/sms/{gateway.hook_id}/inbound/",
        {"from": "+79160000000", "message": "x"},
        content_type="application/json",
        headers={"x-api-key": SECRET},
    )

    assert answer.status_code == 400


def test_database_that_does_not_answer_asks_to_come_again(call, monkeypatch):
    def down(**_):
        raise OperationalError("no connection")

    monkeypatch.setattr("sms.webhooks.apply_delivery_report", down)

    answer = call("report", {"id": "1", "status": "delivered"})

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")


def test_sms_is_in_the_database_before_the_answer(call):
    call("inbound", {"from": "+79160000000", "message": "привет"})

    assert InboundSms.objects.get().body == "привет"
