"""docs/roles.md says what platforms/roles.py does; the verbs of the API do what both say."""

import re
from typing import Any

import pytest
from django.conf import settings
from django.utils import translation

from platforms.models import Platform, User
from platforms.roles import GRANTS, RANK, Perm, Role, grants_table, may_grant, ranks_table
from tests.api.conftest import Call
from tests.factories import make_gateway, make_socket, make_user

PAGE = settings.BASE_DIR / "docs" / "roles.md"


def part(name: str) -> str:
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)\n?<!-- {name}: end -->", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("name", "table"), [("roles", grants_table), ("grants", ranks_table)])
def test_the_page_has_the_table_of_the_code(name: str, table: Any) -> None:
    with translation.override("en"):
        assert part(name) == table(), f"write this between the marks:\n{table()}"


@pytest.mark.parametrize("own", [*Role.values, "superadmin"])
@pytest.mark.parametrize("granted", Role.values)
def test_nobody_grants_above_their_own_role(own: str, granted: str) -> None:
    if may_grant(own, granted):
        assert RANK[granted] <= RANK[own]


WRITES: dict[str, tuple[Perm, dict[str, Any]]] = {  # what a POST needs, and the rest of its body
    "sites": (Perm.MANAGE_DEVICES, {}),
    "devices": (Perm.MANAGE_DEVICES, {}),
    "exporters": (Perm.MANAGE_DEVICES, {"kind": "cubic", "base_url": "https://cms.example.org"}),
    "jobs": (Perm.MANAGE_DEVICES, {}),
    "gateways": (Perm.MANAGE_PLATFORM, {"kind": "console"}),
    "commands": (Perm.CONTROL, {"template": "status"}),
    "invitations": (Perm.MANAGE_MEMBERS, {"email": "new@example.org", "role": "viewer"}),
    "tokens": (Perm.MANAGE_PLATFORM, {"scopes": ["edge"]}),
}


@pytest.mark.django_db
@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("path", WRITES)
def test_a_role_writes_what_the_table_grants(api: Call, north: Platform, path: str, role: str) -> None:
    person: User = make_user("person", platform=north, role=role)
    make_gateway(north)
    perm, rest = WRITES[path]
    body = {"platform": north.pk, "name": "new", **rest}
    if path == "commands":
        body["device"] = make_socket(north, owner=person).pk

    answer = api(person).post(f"/api/v1/{path}/", body, headers={"Idempotency-Key": "k"})

    assert answer.status_code == (201 if perm in GRANTS[role] else 403), answer.content
