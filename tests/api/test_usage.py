"""Limits, ledger and statement through the API."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from platforms import ledger, quotas, tokens
from platforms.ledger import Direction, Tariff
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db


def send(platform: Platform, units: int = 1) -> None:
    ledger.charge(
        platform=platform, direction=Direction.OUT, subject_id=uuid.uuid4(), units=units, at=utcnow(),
        tariff=Tariff(1, "modem", Decimal("1.75"), "RUB"),
    )  # fmt: skip
    quotas.spend(platform=platform, kind=quotas.SMS, units=units, at=utcnow())


def test_usage_says_what_is_left_to_whom(api: Call, north: Platform, alice: User) -> None:
    Platform.objects.filter(pk=north.pk).update(sms_limit=100)
    send(north, 30)

    found = api(alice).get(f"/api/v1/platforms/{north.pk}/usage/").data

    assert (found["sms_used"], found["sms_left"], found["sms_left_to_automation"]) == (30, 70, 50)
    assert sum(found["sms_by_day"].values()) == 30
    assert found["sms_forecast"] >= 30


def test_the_ledger_is_the_admins(
    api: Call, north: Platform, south: Platform, alice: User, bob: User, charlie: User, root: User
) -> None:
    send(north, 2), send(south, 5)

    counts = {
        user.username: api(user).get("/api/v1/ledger/").data["count"] for user in (alice, bob, charlie, root)
    }

    assert counts == {"alice": 1, "bob": 0, "charlie": 1, "root": 2}


def test_the_cost_is_the_operators(api: Call, north: Platform, alice: User, root: User) -> None:
    send(north, 2)

    mine, operators = (api(user).get("/api/v1/ledger/").data["results"][0] for user in (alice, root))

    assert (mine["price"], operators["cost"]) == ("3.5000", "3.5000")
    assert mine["cost"] is None
    assert mine["unit_cost"] is mine["cost_currency"] is None


def test_the_ledger_can_be_narrowed_and_ordered_only_by_its_lists(
    api: Call, north: Platform, alice: User
) -> None:
    send(north)
    client = api(alice)

    assert client.get("/api/v1/ledger/", {"direction": "in"}).data["count"] == 0
    assert client.get("/api/v1/ledger/", {"ordering": "-at", "direction": "out"}).data["count"] == 1
    for query in ({"ordering": "unit_cost"}, {"unit_cost": "1"}, {"platform__name": "x"}):
        assert client.get("/api/v1/ledger/", query).status_code == 400


def test_the_statement_is_for_admins(
    api: Call, north: Platform, alice: User, bob: User, charlie: User
) -> None:
    send(north)
    path = f"/api/v1/platforms/{north.pk}/statement/"

    answers = {user.username: api(user).get(path).status_code for user in (alice, bob, charlie)}

    assert answers == {"alice": 200, "bob": 403, "charlie": 404}
    assert "modem" in api(alice).get(path, {"as": "csv"}).content.decode()
    assert "cost" not in api(alice).get(path, {"as": "csv"}).content.decode()
    for query in ({"month": "x"}, {"month": "2026-13"}, {"as": "exe"}):
        assert api(alice).get(path, query).status_code == 400


def test_nothing_of_the_ledger_is_written(api: Call, north: Platform, root: User) -> None:
    client = api(root)

    assert client.post("/api/v1/ledger/", {}).status_code == 405
    assert client.delete("/api/v1/ledger/1/").status_code == 405


def test_writing_has_a_rate_of_its_own(
    api: Call, north: Platform, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platforms.api.throttles.WritingThrottle.get_rate", lambda self: "3/min")
    client = api(alice)

    made = [
        client.post("/api/v1/sites/", {"platform": north.pk, "name": f"s{number}"}).status_code
        for number in range(5)
    ]

    assert made == [201, 201, 201, 429, 429]
    assert client.get("/api/v1/sites/").status_code == 200


@pytest.mark.parametrize("scope", ["read", "command"])
def test_each_kind_of_call_has_a_rate_and_a_token_is_a_caller(
    api: Call, north: Platform, alice: User, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    kind = "Reading" if scope == "read" else "Command"
    monkeypatch.setattr(f"platforms.api.throttles.{kind}Throttle.get_rate", lambda self: "2/min")

    def call(client: APIClient) -> int:
        if scope == "read":
            return client.get("/api/v1/sites/").status_code
        body = {"scope": "platform", "platform": north.pk, "reason": "x"}
        return client.post("/api/v1/stops/", body).status_code

    person = api(alice)
    _row, text = tokens.issue(name="t", scopes=["read", "command"], by=alice, user=alice)
    program = APIClient(headers={"authorization": f"Bearer {text}"})
    fine = 200 if scope == "read" else 201

    assert [call(person) for _ in range(3)] == [fine, fine, 429]
    assert call(program) == fine, "a token is counted for itself"
    assert person.post("/api/v1/sites/", {"platform": north.pk, "name": "s"}).status_code == 201


def test_scrapes_have_a_rate_of_their_own(settings: Any, north: Platform, alice: User, client: Any) -> None:
    settings.RATES = {**settings.RATES, "scrape": "2/min"}
    _row, text = tokens.issue(name="prom", scopes=["scrape"], by=alice, platform=north)
    scrape = {"path": f"/platforms/{north.pk}/metrics", "headers": {"authorization": f"Bearer {text}"}}

    seen = [client.get(**scrape) for _ in range(3)]

    assert [answer.status_code for answer in seen] == [200, 200, 429]
    assert 1 <= int(seen[2].headers["Retry-After"]) <= 60
