"""The journal: one line per deed, in its own platform, without secrets, with the request that did it."""

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from rest_framework.test import APIClient

from automation.models import Case
from exporters.models import Exporter
from platforms import audit, tokens
from platforms.middleware import RequestIdMiddleware
from platforms.models import AuditEvent, Platform, User
from tests.factories import NOW, make_exporter, make_site


def record(**fields: Any) -> AuditEvent:
    line = audit.record(**{"actor": audit.SYSTEM, "verb": "thing.done", **fields})
    return AuditEvent.objects.get(pk=line.pk)


SECRETS = {
    "password": "hunter2hunter2", "api_key": "k-123456789", "secret": "s3cr3t-value", "token": "rms_abc123_zzzzzzzz",
    "Authorization": "Bearer abcdef.123456", "nested": {"deep": [{"client_secret": "deep-secret"}]},
    "note": "key=inline-secret and password: other-secret", "url": "https://bob:pa55word@host/x",
    "msisdn": "+79001234567", "text": "call +79007654321",
}  # fmt: skip
CANARIES = [
    "hunter2", "k-123456789", "s3cr3t", "zzzzzzzz", "abcdef.123456", "deep-secret", "inline-secret", "other-secret",
    "pa55word", "79001234567", "79007654321",
]  # fmt: skip


@pytest.mark.databases
@pytest.mark.parametrize("canary", CANARIES)
def test_secrets_and_numbers_are_masked_before_they_are_stored(north: Platform, canary: str) -> None:
    line = record(platform=north, before=SECRETS, after={"deep": SECRETS})

    assert canary not in str(line.before)
    assert canary not in str(line.after)


def test_what_is_no_secret_stays_readable(north: Platform) -> None:
    line = record(
        platform=north, after={"name": "Плеер 1", "count": 3, "flag": True, "none": None, "list": [1, "a"]}
    )

    assert line.after == {"name": "Плеер 1", "count": 3, "flag": True, "none": None, "list": [1, "a"]}


@pytest.mark.databases
def test_every_kind_of_value_can_be_stored(north: Platform) -> None:
    key = uuid.uuid4()

    line = record(
        platform=north,
        after={
            "at": NOW, "day": date(2026, 3, 1), "price": Decimal("2.50"), "id": key, "set": {1}, "tuple": (1, 2),
            "inf": float("inf"), "nan": float("nan"), "zero": "a\x00b", "object": north, "map": {1: {"x": key}},
        },
    )  # fmt: skip

    assert line.after == {
        "at": "2026-03-03T12:00:00+00:00", "day": "2026-03-01", "price": "2.50", "id": str(key), "set": [1],
        "tuple": [1, 2], "inf": "inf", "nan": "nan", "zero": "a\ufffdb", "object": "north",
        "map": {"1": {"x": str(key)}},
    }  # fmt: skip


@pytest.mark.databases
def test_long_words_are_cut_not_refused(north: Platform) -> None:
    line = record(
        actor=audit.Actor("person", "1", "n" * 500), platform=north, reason="r" * 1000, target=north
    )

    assert (len(line.actor_label), len(line.reason)) == (200, 300)


def test_a_line_names_its_target_and_cause(north: Platform) -> None:
    cause = uuid.uuid4()

    line = record(target=north, platform=north, cause_id=cause, at=NOW)

    assert (line.target_type, line.target_id, line.target_label) == (
        "platforms.platform",
        str(north.pk),
        "north",
    )
    assert (line.cause_id, line.at, line.platform) == (cause, NOW, north)


def test_a_line_of_one_platform_is_not_seen_on_another(
    north: Platform, south: Platform, alice: User, charlie: User
) -> None:
    mine, global_ = record(platform=north), record(platform=None)

    assert mine in AuditEvent.objects.visible_to(alice)
    assert mine not in AuditEvent.objects.visible_to(charlie)
    assert global_ not in AuditEvent.objects.visible_to(alice)


def test_encrypted_columns_only_say_whether_they_are_set(north: Platform) -> None:
    exporter = make_exporter(north, secret="cms-key-987654")
    empty = make_exporter(north)

    shown, shown_empty = audit.fields_of(exporter), audit.fields_of(empty)

    assert "cms-key-987654" not in str(shown)
    assert bool(shown["secret"]) is True
    assert bool(shown_empty["secret"]) is False
    assert shown["name"] == exporter.name
    assert set(shown) == {field.name for field in Exporter._meta.concrete_fields}


def test_a_persons_password_hash_never_reaches_the_journal(alice: User, north: Platform) -> None:
    alice.set_password("a long password")

    line = record(target=alice, platform=north, after=audit.fields_of(alice))

    assert alice.password not in str(line.after)


def test_only_what_changed_is_told() -> None:
    assert audit.changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == (
        {"b": 2, "c": None},
        {"b": 3, "c": 4},
    )


# --- the request behind a line -------------------------------------------------------------------


def through(request: HttpRequest, north: Platform) -> tuple[AuditEvent, HttpResponse]:
    lines = []

    def view(_request: HttpRequest) -> HttpResponse:
        lines.append(record(platform=north))
        return HttpResponse()

    response = RequestIdMiddleware(view)(request)
    return lines[0], response


def test_a_line_carries_the_request_and_the_address(north: Platform) -> None:
    request = RequestFactory().get("/", headers={"X-Request-ID": "abc-12345"}, REMOTE_ADDR="198.51.100.7")

    line, response = through(request, north)

    assert (line.request_id, line.address) == ("abc-12345", "198.51.100.7")
    assert response["X-Request-ID"] == "abc-12345"


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "with space", "a\nb12345678", "<script>alert", "ключ-12345"]
)
def test_a_strange_request_id_is_replaced(north: Platform, given: str) -> None:
    line, response = through(RequestFactory().get("/", HTTP_X_REQUEST_ID=given), north)

    assert line.request_id == response["X-Request-ID"] != given
    assert len(line.request_id) == 32


def test_outside_a_request_there_is_none_also_right_after_one(north: Platform) -> None:
    through(RequestFactory().get("/", headers={"X-Request-ID": "abc-12345"}), north)

    line = record(platform=north)

    assert (line.request_id, line.address) == ("", None)


def test_a_view_that_fails_leaves_no_request_behind(north: Platform) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        RequestIdMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "abc-12345"}))

    assert record(platform=north).request_id == ""


def test_times_are_aware_when_nobody_gives_one(north: Platform) -> None:
    before = datetime.now(UTC)

    line = record(platform=north)

    assert before <= line.at <= datetime.now(UTC)


def test_a_persons_program_is_named_by_its_token(north: Platform, alice: User) -> None:
    token, text = tokens.issue(name="cron", scopes=["read", "command"], by=alice, user=alice)
    site = make_site(north)
    case = Case.objects.create(
        platform=north, subject=f"site:{site.pk}", title="x", opened_at=NOW, state_changed_at=NOW
    )

    answer = APIClient().post(
        f"/api/v1/cases/{case.pk}/acknowledge/", headers={"Authorization": f"Bearer {text}"}
    )

    line = AuditEvent.objects.get(verb="case.acknowledged")
    assert answer.status_code == 200, answer.content
    assert (line.actor_kind, line.actor_id) == ("token", str(token.pk))
    assert line.actor_label == f"alice · {token}"
    assert record(actor=audit.person(alice), platform=north).actor_kind == "person"
