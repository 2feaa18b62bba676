"""A POST that is sent again under its key has no second effect, on any resource."""

import pytest

from devices.models import Site
from platforms.models import ApiToken, KeyedCall, Membership, Platform, User
from platforms.tasks import forget_keys
from tests.api.conftest import Call
from tests.together import together

KEY = {"Idempotency-Key": "order-7"}
SITES = "/api/v1/sites/"


@pytest.mark.django_db
def test_the_second_request_gets_the_first_answer(api: Call, north: Platform, alice: User) -> None:
    body = {"platform": north.pk, "name": "Hall"}

    first = api(alice).post(SITES, body, headers=KEY)
    second = api(alice).post(SITES, body, headers=KEY)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Site.objects.count() == 1


@pytest.mark.django_db
def test_the_same_key_for_another_request_is_refused(api: Call, north: Platform, alice: User) -> None:
    api(alice).post(SITES, {"platform": north.pk, "name": "Hall"}, headers=KEY)

    answer = api(alice).post(SITES, {"platform": north.pk, "name": "Other"}, headers=KEY)

    assert answer.status_code == 409
    assert Site.objects.count() == 1


@pytest.mark.django_db
def test_keys_of_other_people_do_not_clash(
    api: Call, north: Platform, south: Platform, alice: User, charlie: User
) -> None:
    assert api(alice).post(SITES, {"platform": north.pk, "name": "H"}, headers=KEY).status_code == 201
    assert api(charlie).post(SITES, {"platform": south.pk, "name": "H"}, headers=KEY).status_code == 201


@pytest.mark.django_db
def test_a_refusal_keeps_no_key(api: Call, north: Platform, alice: User) -> None:
    refused = api(alice).post(SITES, {"platform": north.pk, "name": ""}, headers=KEY)
    mended = api(alice).post(SITES, {"platform": north.pk, "name": "Hall"}, headers=KEY)

    assert (refused.status_code, mended.status_code) == (400, 201)


@pytest.mark.django_db
def test_whoever_lost_the_right_is_not_told_the_old_answer(api: Call, north: Platform, alice: User) -> None:
    body = {"platform": north.pk, "name": "Hall"}
    api(alice).post(SITES, body, headers=KEY)
    Membership.objects.filter(user=alice).update(role="viewer")

    answer = api(alice).post(SITES, body, headers=KEY)

    assert answer.status_code in {403, 409}
    assert "Hall" not in answer.content.decode()


@pytest.mark.django_db
def test_the_text_of_a_token_is_kept_nowhere(api: Call, alice: User) -> None:
    body = {"name": "report", "scopes": ["read"]}

    first = api(alice).post("/api/v1/tokens/", body, headers=KEY)
    second = api(alice).post("/api/v1/tokens/", body, headers=KEY)

    assert (first.status_code, second.status_code) == (201, 409)
    assert ApiToken.objects.filter(name="report").count() == 1
    assert KeyedCall.objects.get().body is None


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "ключ", "a b", "x" * 101])
def test_a_key_of_another_form_is_refused(api: Call, north: Platform, alice: User, key: str) -> None:
    answer = api(alice).post(SITES, {"platform": north.pk, "name": "Hall"}, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert not Site.objects.exists()


@pytest.mark.django_db
def test_bulk_is_answered_once_too(api: Call, north: Platform, alice: User) -> None:
    body = {"rows": [{"platform": north.pk, "name": "A"}, {"platform": north.pk, "name": ""}]}

    first = api(alice).post(SITES + "bulk/", body, headers=KEY)
    second = api(alice).post(SITES + "bulk/", body, headers=KEY)

    assert (first.status_code, second.status_code) == (207, 207)
    assert second.json() == first.json()
    assert Site.objects.count() == 1


@pytest.mark.django_db
def test_keys_are_forgotten_after_some_days(
    api: Call, north: Platform, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    api(alice).post(SITES, {"platform": north.pk, "name": "Hall"}, headers=KEY)
    forget_keys()
    assert KeyedCall.objects.count() == 1

    later = KeyedCall.objects.get().created_at.replace(year=2030)
    monkeypatch.setattr("platforms.tasks.utcnow", lambda: later)
    forget_keys()

    assert not KeyedCall.objects.exists()


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_of_many_at_the_same_time_one_has_an_effect(api: Call, north: Platform, alice: User) -> None:
    body = {"platform": north.pk, "name": "Hall"}
    clients = [api(alice) for _ in range(6)]

    answers = together(6, lambda number: clients[number].post(SITES, body, headers=KEY))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Site.objects.count() == 1
