"""What a request may name and write: no foreign row in a body or a form, no column beyond the serializer's own,
no filter or ordering that the list does not offer. Generated from the view sets, the registry and the models.
"""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.db import models
from django.test import RequestFactory

from devices.models import DeviceShare
from platforms.api.filters import KnownParameters
from platforms.models import Membership, User
from platforms.roles import GRANTS, Role
from tests.isolation.bodies import Ref, body_of, filled, number_of
from tests.isolation.callers import Caller, Web, session_of
from tests.isolation.routes import Route, all_routes
from tests.isolation.sweep import _missing
from tests.isolation.world import World, build_two

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]
PATHS_PER_MODEL = 60


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> tuple[World, World]:
    monkeypatch.setattr("rest_framework.views.APIView.throttle_classes", [])
    return build_two()


def caller(south: World, north: World, role: str = "admin") -> Caller:
    return Caller(role, south, north, session_of(south.people[role]), by_session=True)


def resources() -> Iterator[tuple[Route, str, str]]:
    """(route, verb, action) of everything that the API writes."""
    for route in all_routes():
        if hasattr(route.view, "model"):
            for verb, action in list(route.actions.items()):  # a view adds HEAD to it
                if action in ("create", "update", "partial_update"):
                    yield route, verb.upper(), action


def path_of(route: Route, world: World) -> str:
    return route.form % ({route.params[0]: world.row(route.model).pk} if route.params else {})


# --- related rows --------------------------------------------------------------------------------


def test_each_relation_of_each_serializer_refuses_a_foreign_row(
    worlds: tuple[World, World], figure: Callable[[str, str], None]
) -> None:
    south, north = worlds
    me, web, asked, accepted, told = caller(south, north), Web(), 0, [], []

    for route, verb, action in resources():
        template = body_of(route.view.__name__, action) or {}
        for name in [name for name, value in template.items() if isinstance(value, Ref)]:
            answers = []
            for number in (number_of(template[name], north), _missing(template[name])):
                body = json.dumps(filled(template, south, {name: number}))
                answer = web.ask(me, verb, path_of(route, south), body=body, headers={"Idempotency-Key": "k"})
                answers.append((answer.status, answer.alike((str(number),))))
                asked += 1
            where = f"{verb} {route.path} {name}: {answers[0][0]}"
            fixed = name in route.view.serializer_class.create_only and action != "create"
            accepted += [where] if answers[0][0] < 400 and not fixed else []
            told += [where] if answers[0] != answers[1] else []

    figure(
        "relations",
        f"{asked} foreign and missing rows in bodies, {len(accepted) + len(told)} taken or told apart",
    )
    assert (accepted, told) == ([], [])
    assert asked > 40


def test_no_form_of_the_console_offers_a_foreign_row(
    worlds: tuple[World, World], figure: Callable[[str, str], None]
) -> None:
    south, north = worlds
    offered, asked = [], 0
    request = RequestFactory().get("/admin/")
    request.user = south.people["admin"]
    request.resolver_match = None

    for model, page in admin.site._registry.items():
        if not hasattr(model, "PLATFORM_PATH") or not page.has_view_or_change_permission(request):
            continue
        for row in (None, south.row(model)):
            form = page.get_form(request, row, change=row is not None)
            for name, found in form.base_fields.items():
                if not isinstance(found, forms.ModelChoiceField):
                    continue
                asked += 1
                related = found.queryset.model
                foreign = north.first.get(related)
                if foreign is not None and found.queryset.filter(pk=foreign.pk).exists():
                    offered.append(f"{model.__name__}.{name}")

    figure("choices", f"{asked} fields of forms, {len(offered)} offer a foreign row")
    assert offered == []
    assert asked > 15


# --- columns -------------------------------------------------------------------------------------


def _other(column: models.Field, old: Any, south: World, north: World) -> Any:
    """A value of the right kind that is not the present one."""
    if column.is_relation:
        return getattr(north.first.get(column.remote_field.model), "pk", 1)
    if isinstance(column, models.BooleanField):
        return not old
    if column.choices:
        return next((value for value, _label in column.flatchoices if value != old), old)
    if isinstance(old, uuid.UUID) or isinstance(column, models.UUIDField):
        return str(uuid.uuid4())
    if isinstance(column, models.DateTimeField):
        return "2020-01-01T00:00:00Z"
    if isinstance(column, models.JSONField):
        return {"zq": "mass"}
    if isinstance(column, models.IntegerField | models.FloatField | models.DecimalField):
        return 4242
    return "zqmass"


class Looking(Web):
    """Reads a row as a request has left it, before that is rolled back."""

    watched: models.Model
    seen: dict[str, Any]

    def _answer(self, response: Any) -> Any:
        row = self.watched
        fresh = type(row)._base_manager.filter(pk=row.pk).first()
        self.seen = _columns(fresh) if fresh is not None else {}
        return super()._answer(response)


def _columns(row: models.Model) -> dict[str, Any]:
    return {column.name: getattr(row, column.attname) for column in row._meta.concrete_fields}


def _may_write(route: Route, role: str) -> bool:
    """Whether the role writes rows of this kind at all; a user shares devices of their own."""
    return route.view.write_perm in GRANTS[role] or (role, route.model) == ("user", DeviceShare)


def test_no_column_beyond_the_role_is_written(
    worlds: tuple[World, World], figure: Callable[[str, str], None]
) -> None:
    south, north = worlds
    web, written, posted, changes = Looking(), [], dict.fromkeys(Role.values, 0), Counter()
    callers = {role: caller(south, north, role) for role in Role.values}

    for route, verb, action in resources():
        if action != "partial_update":
            continue
        row = type(south.row(route.model))._base_manager.get(pk=south.row(route.model).pk)
        serializer = route.view.serializer_class(row, context={"request": None})
        writable = {found.source for found in serializer.fields.values() if not found.read_only}
        writable |= {"updated_at", "changed_at", "state_changed_at", "version"}
        before = _columns(row)
        others = {
            column.name: _other(column, before[column.name], south, north)
            for column in row._meta.concrete_fields
        }
        for role, me in callers.items():
            may = _may_write(route, role)
            bodies = [{name: value} for name, value in others.items()] if may else [others]
            for body in bodies:
                posted[role] += len(body)
                web.watched = row
                answer = web.ask(me, "PATCH", path_of(route, south), body=json.dumps(body, default=str))
                changed = {name for name in before if web.seen.get(name) != before[name]}
                changes[role] += bool(changed)
                # the member is the admin, or is asked to become one: neither is for a manager to do
                mine = writable if may and (role, route.model) != ("manager", Membership) else set()
                where = f"{role} {verb} {route.path} {sorted(body)} -> {answer.status}"
                written += [f"{where} wrote {name}" for name in changed - mine]
                if not may and answer.status not in (
                    403,
                    404,
                ):  # who may not is not told what is wrong with it
                    written.append(where)

    each = posted[Role.ADMIN]
    figure("mass assignment", f"{each} columns posted as each of {', '.join(posted)}, {len(written)} written")
    assert written == []
    assert set(posted.values()) == {each}
    assert each > 80
    assert changes[Role.ADMIN] > changes[Role.MANAGER] > changes[Role.USER] > changes[Role.VIEWER] == 0


def test_a_person_never_becomes_more_by_their_own_page(worlds: tuple[World, World]) -> None:
    south, _north = worlds
    person = south.people["manager"]
    web, me = Looking(), caller(south, _north, "manager")
    web.watched = person
    form = {column.name: "1" for column in User._meta.concrete_fields} | {
        "language": "en", "time_zone": "Europe/Moscow", "email": "x@example.org", "phone": "%2B79007654321",
        "first_name": "zqmass",
    }  # fmt: skip
    before = _columns(User.objects.get(pk=person.pk))

    body = "&".join(f"{name}={value}" for name, value in form.items())
    web.ask(me, "POST", "admin/me/", body=body, content_type="application/x-www-form-urlencoded")

    changed = {name for name in before if web.seen[name] != before[name]}
    assert "first_name" in changed
    assert changed <= {"first_name", "last_name", "email", "phone", "wants_sms", "language", "time_zone"}


# --- filters and orderings -----------------------------------------------------------------------


def lookups(model: type[models.Model], depth: int = 2) -> Iterator[str]:
    """Paths of the model graph, as an attacker would write them into a query."""
    for found in model._meta.get_fields():
        name = found.name
        if found.is_relation and found.related_model is not None and depth:
            yield name
            yield from (f"{name}__{rest}" for rest in lookups(found.related_model, depth - 1))
        elif not found.is_relation:
            yield name
            yield f"{name}__startswith"


def test_filters_and_orderings_of_the_model_graph_are_refused(
    worlds: tuple[World, World], figure: Callable[[str, str], None]
) -> None:
    south, north = worlds
    me, web, refused, taken = caller(south, north), Web(), 0, []

    for route in all_routes():
        if "list" not in route.actions.values() or not hasattr(route.view, "model"):
            continue
        view = route.view()
        known = set(KnownParameters.filters_of(view, route.view.model._default_manager.none()))
        paths = sorted(set(lookups(route.view.model)))
        chosen = paths[:: max(1, len(paths) // PATHS_PER_MODEL)][:PATHS_PER_MODEL]
        for path in chosen:
            queries = [{path: "x"}] if path not in known else []
            queries += [{"ordering": path}] if path not in view.ordering_fields else []
            for query in queries:
                answer = web.ask(me, "GET", route.form, query=query)
                refused += answer.status == 400
                taken += [f"{route.path}?{query} -> {answer.status}"] if answer.status != 400 else []

    figure("lookups", f"{refused} filter and ordering paths refused, {len(taken)} taken")
    assert taken == []
    assert refused >= 500


def test_the_console_takes_no_lookup_but_its_filters(worlds: tuple[World, World]) -> None:
    south, _north = worlds
    request = RequestFactory().get("/admin/")
    request.user = south.people["admin"]
    request.resolver_match = None
    taken = []

    for model, page in admin.site._registry.items():
        offered = {
            item[0] if isinstance(item, list | tuple) else item for item in page.get_list_filter(request)
        }
        offered |= {page.date_hierarchy}
        for path in sorted(set(lookups(model)))[:400]:
            top = path.removesuffix("__startswith")
            if page.lookup_allowed(path, "x", request) and top.removesuffix("__id") not in offered:
                taken.append(f"{model.__name__}: {path}")

    assert [item for item in taken if "password" in item or "secret" in item or "digest" in item] == []
    assert taken == []
