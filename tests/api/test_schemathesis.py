"""The schema against the API: random requests as each role; no 5xx, no answer that breaks what the schema says.

Short here: each operation is asked by an admin and by one other role in turn. `make soak` asks each of everybody,
many times.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from rest_framework.test import APIClient
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from platforms import tokens
from platforms.models import Platform, User
from remosa.wsgi import application
from tests.console.world import build
from tests.factories import make_user

OTHERS = ("manager", "user", "viewer", "token", "nobody", "root")
PASSWORD = "correct horse battery"
NOT_ASKED = ("/api/v1/auth/",)  # takes passwords, and locks out who guesses
REFUSALS = {400, 401, 403, 404, 405, 406, 409, 413, 415, 429}

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(3600)]


@pytest.fixture
def headers(
    north: Platform, alice: User, root: User, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, str]]:
    """How each role signs in, on a platform with a row of everything; no throttle, which would hide the rest."""
    cache.clear()
    monkeypatch.setattr("rest_framework.views.APIView.throttle_classes", [])
    build(north, alice, "zqnorth")
    people = {"root": root, "admin": alice}
    people |= {role: make_user(role, platform=north, role=role) for role in ("manager", "user", "viewer")}
    _row, text = tokens.issue(name="x", scopes=["read", "command"], by=alice, user=alice)
    found = {name: {"Authorization": f"Bearer {bearer(person)}"} for name, person in people.items()}
    for signal in (request_started, request_finished):  # the test's own transaction outlives each request
        signal.disconnect(close_old_connections)
    yield found | {"token": {"Authorization": f"Token {text}"}, "nobody": {}}
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def bearer(person: User) -> str:
    """A token that may do all that the person may, got as people's programs get theirs."""
    person.set_password(PASSWORD)
    person.save()
    form = {"username": person.username, "password": PASSWORD}
    answer = APIClient().post("/api/v1/auth/token/", form, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()["access"]


def judge(case: schemathesis.Case, own: dict[str, str], seen: Counter) -> list[str]:
    """Ask once; what is wrong with the answer."""
    answer = case.call(headers={**(case.headers or {}), **own})
    seen[answer.status_code // 100] += 1
    where = f"{case.method} {case.formatted_path} {case.query} -> {answer.status_code}"
    if answer.status_code >= 500:
        return [f"{where}: {answer.text[:300]}"]
    if answer.status_code in REFUSALS:
        return [] if is_error(answer) else [f"{where}: not the one error shape: {answer.text[:200]}"]
    try:
        case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
    except AssertionError as exc:
        return [f"{where}: {str(exc)[:500]}"]
    except BaseExceptionGroup as exc:
        return [f"{where}: {[str(one)[:300] for one in exc.exceptions]}"]
    return []


def is_error(answer: Any) -> bool:
    try:
        return set(json.loads(answer.text)["error"]) == {"code", "message", "fields"}
    except (ValueError, KeyError, TypeError):
        return False


def test_random_requests_get_answers_that_the_schema_knows(
    headers: dict[str, dict[str, str]], is_soak: bool, figure: Callable[[str, str], None]
) -> None:
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    schema.app = application
    operations = [result.ok() for result in schema.get_all_operations()]
    operations = [found for found in operations if not found.path.startswith(NOT_ASKED)]
    seen: Counter = Counter()
    wrong: list[str] = []

    def ask(operation: Any, role: str, number: int) -> None:
        """Some random requests to one operation as one role; what they changed is undone."""

        @seed(number)
        @settings(
            max_examples=60 if is_soak else 3, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def some(case: schemathesis.Case) -> None:
            with transaction.atomic():
                wrong.extend(f"{role}: {line}" for line in judge(case, headers[role], seen))
                transaction.set_rollback(True)

        some()

    for number, operation in enumerate(operations):
        for role in ("admin", *OTHERS) if is_soak else ("admin", OTHERS[number % len(OTHERS)]):
            ask(operation, role, number)

    asked = sum(seen.values())
    figure(
        "schemathesis",
        f"{asked} requests to {len(operations)} operations, {len(wrong)} violations, {seen[5]} 5xx",
    )
    assert asked >= 2 * len(operations)
    assert seen[2] > len(operations) / 4  # it was not only refused
    assert wrong == []
