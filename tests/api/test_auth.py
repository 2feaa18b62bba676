"""Signing in by JWT and by session; the schema and its pages."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from devices.models import Site
from platforms import tokens
from platforms.models import Platform, User
from tests.api.conftest import BACKEND, Call
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def person(north: Platform) -> User:
    return make_user("dora", platform=north, role="viewer", password=PASSWORD)


@pytest.mark.parametrize("login", ["dora", "dora@example.org"])
def test_jwt_is_given_for_a_password_and_opens_the_api(api: Call, person: User, login: str) -> None:
    pair = api(None).post("/api/v1/auth/token/", {"username": login, "password": PASSWORD}).json()

    opened = api(None).get("/api/v1/platforms/", headers={"Authorization": f"Bearer {pair['access']}"})

    assert (opened.status_code, opened.json()["count"]) == (200, 1)


def test_refresh_rotates_and_the_old_one_is_dead(api: Call, person: User) -> None:
    client = api(None)
    pair = client.post("/api/v1/auth/token/", {"username": "dora", "password": PASSWORD}).json()

    fresh = client.post("/api/v1/auth/token/refresh/", {"refresh": pair["refresh"]})
    stale = client.post("/api/v1/auth/token/refresh/", {"refresh": pair["refresh"]})

    assert (fresh.status_code, stale.status_code) == (200, 401)
    assert stale.json()["error"]["code"] == "not_signed_in"


def test_jwt_dies_with_the_password_and_with_the_person(api: Call, person: User) -> None:
    pair = api(None).post("/api/v1/auth/token/", {"username": "dora", "password": PASSWORD}).json()
    headers = {"Authorization": f"Bearer {pair['access']}"}
    person.set_password("another horse battery")
    person.save()

    changed = api(None).get("/api/v1/platforms/", headers=headers)
    User.objects.filter(pk=person.pk).update(is_active=False)
    dismissed = api(None).get("/api/v1/platforms/", headers=headers)
    refreshed = api(None).post("/api/v1/auth/token/refresh/", {"refresh": pair["refresh"]})

    assert (changed.status_code, dismissed.status_code, refreshed.status_code) == (401, 401, 401)


def test_wrong_password_and_unknown_name_get_the_same_answer(api: Call, person: User) -> None:
    answers = [
        api(None).post("/api/v1/auth/token/", {"username": name, "password": "wrong horse battery"})
        for name in ("dora", "nobody")
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content


def test_guessing_a_password_is_locked_out_even_with_the_right_one(
    api: Call, person: User, settings: object
) -> None:
    settings.AXES_ENABLED = True
    settings.AXES_FAILURE_LIMIT = 3
    client = api(None)

    for _ in range(3):
        client.post("/api/v1/auth/token/", {"username": "dora", "password": "wrong"})
    locked = client.post("/api/v1/auth/token/", {"username": "dora", "password": PASSWORD})

    assert locked.status_code == 429
    assert "access" not in locked.json()


def test_session_needs_the_csrf_token_to_write(north: Platform, alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice, backend=BACKEND)
    body = json.dumps({"platform": north.pk, "name": "x"})

    refused = browser.post("/api/v1/sites/", body, content_type="application/json")

    assert refused.status_code == 403
    assert not Site.objects.exists()


def test_schema_is_complete_without_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))

    text = (tmp_path / "schema.yml").read_text(encoding="utf-8")
    assert "/api/v1/commands/preview/:" in text
    assert "Warning" not in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/v1/"])
def test_schema_and_pages_are_for_signed_in_people(api: Call, bob: User, path: str) -> None:
    assert api(None).get(path).status_code == 401
    assert api(bob).get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/devices/", "/api/v1/", "/api/nowhere/"])
def test_nobody_gets_no_browsable_page(api: Call, path: str) -> None:
    answer = api(None).get(path, headers={"Accept": "text/html"})

    assert answer["Content-Type"].startswith("application/json")
    assert set(answer.json()) == {"error"}


def test_person_browses_with_own_choices_only(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    cache.clear()

    page = api(alice).get("/api/v1/sites/", headers={"Accept": "text/html"})

    assert page["Content-Type"].startswith("text/html")
    assert ">north<" in page.content.decode()
    assert "south" not in page.content.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "Token {}"},
        {"Authorization": "{}"},
        {"X-API-Key": "{}"},
    ],
)
def test_a_token_is_taken_in_each_usual_header(api: Call, alice: User, headers: dict[str, str]) -> None:
    _row, text = tokens.issue(name="t", scopes=["read"], by=alice, user=alice)
    sent = {name: form.format(text) for name, form in headers.items()}

    answers = [api(None).get("/api/v1/platforms/", headers=sent).status_code]
    answers.append(api(None).post("/api/v1/sites/", {"name": "x"}, headers=sent).status_code)

    assert answers == [200, 403], "it reads, and writes nothing"


def test_a_renewed_token_takes_over_and_the_old_one_ends_a_day_later(
    api: Call, north: Platform, alice: User, charlie: User
) -> None:
    row, text = tokens.issue(name="t", scopes=["edge"], by=alice, platform=north)
    now = datetime.now(UTC)

    foreign = api(charlie).post(f"/api/v1/tokens/{row.pk}/rotate/")
    made = api(alice).post(f"/api/v1/tokens/{row.pk}/rotate/")
    fresh = made.json()["token"]

    assert (foreign.status_code, made.status_code) == (404, 201)
    assert [bool(tokens.find(each, scope="edge", now=now)) for each in (text, fresh)] == [True, True]
    in_two_days = now + timedelta(days=2)
    assert [bool(tokens.find(each, scope="edge", now=in_two_days)) for each in (text, fresh)] == [False, True]
    api(alice).delete(f"/api/v1/tokens/{row.pk}/")
    assert tokens.find(text, scope="edge", now=now) is None
    assert api(alice).post(f"/api/v1/tokens/{row.pk}/rotate/").status_code == 409
