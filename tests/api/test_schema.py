"""The schema: complete, without a warning, and true of every route that answers."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import get_resolver

from platforms.models import User
from remosa import api_urls
from tests.api.conftest import Call


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema, made in a way that turns each warning into an error."""
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def routes() -> Iterator[str]:
    """Every path of the router, as the schema writes it."""
    for pattern in api_urls.router.urls:
        path = str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
        if path:
            yield "/api/v1/" + path.replace("(?P<pk>[^/.]+)", "{id}")


def test_the_schema_has_no_warning_and_every_route(schema: dict[str, Any]) -> None:
    missing = [path for path in routes() if path not in schema["paths"]]

    assert missing == []
    assert "/api/v1/exporter-macs/" in schema["paths"]
    assert get_resolver().resolve("/api/v1/ledger/")


def test_every_operation_has_a_name_of_its_own_and_a_word_about_it(schema: dict[str, Any]) -> None:
    operations = [
        (path, verb, found) for path, verbs in schema["paths"].items() for verb, found in verbs.items()
    ]
    names = [found["operationId"] for _path, _verb, found in operations]

    assert len(names) == len(set(names))
    assert [(path, verb) for path, verb, found in operations if not found.get("responses")] == []


def test_the_served_schema_is_the_same_for_all_who_are_signed_in(api: Call, alice: User, root: User) -> None:
    mine, operators = (
        api(user).get("/api/schema/", headers={"accept": "application/json"}) for user in (alice, root)
    )

    assert mine.status_code == operators.status_code == 200
    assert mine.content == operators.content
    assert api(None).get("/api/schema/").status_code == 401
