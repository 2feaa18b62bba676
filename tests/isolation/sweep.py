"""The sweep itself: every caller × route × verb × object, and what must be true of each answer."""

import json
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from rest_framework import serializers

from devices.models import Device
from platforms.api.filters import ScopedFilterBackend
from platforms.models import User
from tests.isolation.bodies import Ref, body_of, filled, form_of, number_of, with_choice
from tests.isolation.callers import SAFE, Answer, Caller, Web
from tests.isolation.routes import PUBLIC, Route, admin_model, autocompletes
from tests.isolation.world import KEY_MARK, MISSING_NUMBERS, World, tenant_models

VERBS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NORTH_NUMBER = re.compile(r"\b7770\d{5}\b")
MALFORMED = ("zz", "0x1", "1e9", "99999999999999999999999", "-1", "%00", "١")
FORM = "application/x-www-form-urlencoded"
START = "zqnor"  # how north's marks begin: finds them, and is none itself
HTML = {"Accept": "text/html"}


@dataclass(frozen=True)
class Ask:
    """One request. Two with the same ``pair`` (one foreign, one missing) must get the same answer."""

    route: Route
    verb: str
    kind: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pair: str = ""
    numbers: tuple[str, ...] = ()  # what was asked for: an echo of these is no leak

    def __str__(self) -> str:
        return f"{self.verb} /{self.path}?{urlencode(self.query)} [{self.kind}] {self.body[:200]}"


@dataclass
class Findings:
    """What the sweep saw."""

    asked: int = 0
    leaks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    own: Counter = field(default_factory=Counter)  # {(caller, route): pages of own rows that were shown}

    def report(self) -> str:
        """The first of each kind, for the test's failure."""
        return "\n".join([*self.leaks[:40], *self.faults[:40]])


class Judge:
    """Reads answers: marks of the other world, keys, 5xx, and pairs that differ."""

    def __init__(self, south: World, north: World) -> None:
        self._ids = {world.mark: _uuids(world) for world in (south, north)}
        self.findings = Findings()

    def look(self, caller: Caller, ask: Ask, answer: Answer) -> None:
        """Judge one answer on its own."""
        self.findings.asked += 1
        where = f"{caller.name}: {ask} -> {answer.status}"
        if answer.status >= 500 and not (ask.route.path.startswith("healthz") or ask.route.path == "readyz"):
            self.findings.faults.append(f"5xx {where}\n{answer.error}")
        for mark in self.marks_in(caller, ask, answer):
            self.findings.leaks.append(f"{mark} in {where}")
        if caller.is_nobody and answer.status == 200 and ask.route.path not in PUBLIC:
            self.findings.leaks.append(f"nobody is served: {where}")
        if answer.status == 200 and ask.kind in ("own", "plain"):
            self.findings.own[caller.name, ask.route.path] += 1

    def marks_in(self, caller: Caller, ask: Ask, answer: Answer) -> list[str]:
        """What of the other world can be read in this answer."""
        text = f"{answer.headers}\n{answer.body}"
        for number in ask.numbers:
            text = text.replace(number, "N")
        lowered = text.lower()
        found = [KEY_MARK] if KEY_MARK in lowered else []
        if caller.sees_away:
            return found
        strangers = [caller.home, caller.away] if caller.is_nobody else [caller.away]
        for world in strangers:
            found += [mark for mark in _marks(world) if mark in lowered]
            found += sorted(self._ids[world.mark] & set(UUID.findall(lowered)))[:1]
            if world.mark == "zqnorth" and (number := NORTH_NUMBER.search(text)):
                found.append(number[0])
        if not caller.sees_hidden and f"{caller.home.mark}hid" in lowered:
            found.append(f"{caller.home.mark}hid")
        return found

    def is_alike(self, foreign: tuple[Ask, Answer], missing: tuple[Ask, Answer]) -> bool:
        """Whether what is foreign looks like what is missing."""
        return self._difference(foreign, missing) is None

    def compare(self, caller: Caller, foreign: tuple[Ask, Answer], missing: tuple[Ask, Answer]) -> None:
        """Note a pair that differs."""
        if (difference := self._difference(foreign, missing)) is not None:
            self.findings.leaks.append(
                f"foreign is told from missing: {caller.name}: {foreign[0]}: {difference}"
            )

    @staticmethod
    def _difference(foreign: tuple[Ask, Answer], missing: tuple[Ask, Answer]) -> str | None:
        numbers = tuple({*foreign[0].numbers, *missing[0].numbers})
        one, other = foreign[1].alike(numbers), missing[1].alike(numbers)
        if one == other:
            return None
        lines = zip(_lines(one), _lines(other), strict=False)
        return next((f"{a!r} / {b!r}" for a, b in lines if a != b), "one answer is longer")


def _lines(answer: tuple[int, str, str]) -> list[str]:
    return [str(answer[0]), *answer[1].splitlines(), *answer[2].splitlines()]


def _marks(world: World) -> tuple[str, ...]:
    number = "7999777" if world.mark == "zqnorth" else "7999666"
    mac = "02:ab:cd:00:00" if world.mark == "zqnorth" else "02:12:34:00:00"
    return world.mark, number, mac


def _uuids(world: World) -> set[str]:
    """Every UUID of the world's rows."""
    found: set[str] = set()
    for model in tenant_models():
        columns = [
            column.attname for column in model._meta.concrete_fields if isinstance(column, models.UUIDField)
        ]
        if columns:
            rows = model._base_manager.filter(**{model.PLATFORM_PATH: world.platform.pk}).values_list(
                *columns
            )
            found |= {str(value) for row in rows for value in row if value}
    return found


@dataclass(frozen=True)
class Sample:
    """The short form: a part of the sweep that is the same in each run, for it hangs on names alone.

    One in ``of_api`` questions to the API, where one costs a millisecond or two, one in ``of_pages`` to
    the console, where it costs a page; and for ``guide`` the foreign and the missing object of each route.
    """

    of_api: int
    of_pages: int
    guide: str

    def holds(self, caller: Caller, ask: Ask) -> bool:
        """Whether this question belongs to the sample; the two of a pair do, or neither does."""
        if caller.name == self.guide and ask.pair == "GET plain":
            return True
        question = ask.pair or f"{ask.verb} {ask.kind} {sorted(ask.query.items())} {ask.body[:200]}"
        return self._chosen(f"{caller.name} {ask.route.path} {question}", ask.route)

    def holds_forms(self, caller: Caller, route: Route) -> bool:
        """Whether the form of this page is drawn and sent back."""
        return self._chosen(f"{caller.name} {route.path} forms", route)

    def _chosen(self, name: str, route: Route) -> bool:
        return zlib.crc32(name.encode()) % (self.of_pages if route.is_admin else self.of_api) == 0


def run(
    web: Web, judge: Judge, caller: Caller, routes: Iterable[Route], sample: Sample | None = None
) -> None:
    """Ask everything, or the sample; judge each answer and each pair.

    A difference within a pair counts when it is seen twice.
    """
    for route in routes:
        pairs: dict[str, dict[str, tuple[Ask, Answer]]] = {}
        for ask in asks_of(web, route, caller, sample):
            if sample is not None and not sample.holds(caller, ask):
                continue
            answer = send(web, caller, ask)
            judge.look(caller, ask, answer)
            if ask.pair:
                pairs.setdefault(ask.pair, {})[ask.kind] = ask, answer
        for found in pairs.values():
            if (
                len(found) == 2
                and not caller.sees_away
                and not judge.is_alike(found["foreign"], found["missing"])
            ):
                again = {kind: (ask, send(web, caller, ask)) for kind, (ask, _answer) in found.items()}
                judge.compare(caller, again["foreign"], again["missing"])


def send(web: Web, caller: Caller, ask: Ask) -> Answer:
    """One request of the sweep."""
    return web.ask(
        caller,
        ask.verb,
        ask.path,
        query=ask.query,
        body=ask.body,
        content_type=ask.content_type,
        headers=ask.headers,
    )


# --- what is asked -------------------------------------------------------------------------------


def numbers_for(route: Route, caller: Caller) -> Iterator[tuple[str, str]]:
    """(kind, number) of the objects that a route with a parameter is asked for."""
    model, column = route.model, route.column
    own, foreign = caller.home.first.get(model), caller.away.first.get(model)
    if own is None and not hasattr(model, "PLATFORM_PATH"):
        own = model._base_manager.order_by("pk").first()  # the catalogue, or the operator's own tables
    if own is not None:
        yield "own", str(getattr(own, column))
    if foreign is not None and foreign != own:
        yield "foreign", str(getattr(foreign, column))
    is_uuid = isinstance(
        model._meta.get_field(model._meta.pk.name if column == "pk" else column), models.UUIDField
    )
    yield "missing", str(uuid.UUID(int=0xDEAD)) if is_uuid else str(MISSING_NUMBERS + 1)
    if route.params[0] in ("pk", "object_id", "id"):
        for text in MALFORMED if caller.is_thorough and not route.is_admin else MALFORMED[:1]:
            yield "malformed", text


def asks_of(web: Web, route: Route, caller: Caller, sample: Sample | None = None) -> Iterator[Ask]:
    """Everything that ``caller`` asks of ``route``; the forms of a page only where the sample draws it."""
    yield from plain_asks(route, caller)
    if not route.is_admin and caller.is_thorough:
        yield from api_asks(route, caller)
    elif route.is_admin and caller.is_rich:
        yield from console_queries(route, caller)
        if sample is None or sample.holds_forms(caller, route):
            yield from console_forms(web, route, caller)


def count(routes: Iterable[Route], callers: Iterable[Caller]) -> int:
    """How many questions the long form asks at least: all but the forms, which are read off drawn pages."""
    number = 0
    for caller in callers:
        for route in routes:
            number += sum(1 for _ask in plain_asks(route, caller))
            if not route.is_admin and caller.is_thorough:
                number += sum(1 for _ask in api_asks(route, caller))
            elif route.is_admin and caller.is_rich:
                number += sum(1 for _ask in console_queries(route, caller))
    return number


def verbs_for(route: Route, caller: Caller, kind: str) -> tuple[str, ...]:
    """Every verb, where that costs little: a page of the console that is drawn costs fifty refusals.

    The console draws the same page for every verb but POST, and a token is nobody to it.
    """
    if not route.is_admin:
        return VERBS if caller.is_thorough or kind != "malformed" else ("GET", "DELETE")
    if caller.name == "anonymous":
        return VERBS
    if not caller.by_session:
        return ("GET", "POST") if kind in ("own", "plain") else ()
    is_main = route.path.endswith("/change/") or _is_list(route)
    if kind in ("own", "plain"):
        return ("GET",) if caller.is_rich or is_main else ()
    if caller.is_rich and is_main and kind != "malformed":
        return VERBS
    return ("GET", "POST") if caller.is_rich or is_main else ("GET",)


def plain_asks(route: Route, caller: Caller) -> Iterator[Ask]:
    """The route itself, for each kind of object, with an empty body."""
    targets = list(numbers_for(route, caller)) if route.model else [("plain", "")]
    for kind, number in targets:
        path = route.form % {route.params[0]: number} if route.params and route.model else _literal(route)
        content_type = FORM if route.is_admin else "application/json"
        numbers = (number,) if number else ()
        for verb in verbs_for(route, caller, kind):
            pair = f"{verb} plain" if kind in ("foreign", "missing") else ""
            body = "" if verb in SAFE or route.is_admin else "{}"
            yield Ask(
                route, verb, kind, path, body=body, content_type=content_type, pair=pair, numbers=numbers
            )


def _literal(route: Route) -> str:
    values = {param: {"app_label": "devices"}.get(param, "nowhere") for param in route.params}
    return route.form % values


def api_asks(route: Route, caller: Caller) -> Iterator[Ask]:
    """Filters, searches, pages and bodies of the API's resources."""
    for verb, action in list(route.actions.items()):
        if verb == "get":
            yield from _api_reads(route, caller, action)
        else:
            yield from _api_writes(route, caller, verb.upper(), action)


def _api_reads(route: Route, caller: Caller, action: str) -> Iterator[Ask]:
    path = _own_path(route, caller)
    if path is None:
        return
    yield Ask(route, "GET", "own", path, headers=HTML)
    if action != "list":
        return
    for name, found in _filters(route).items():
        related = _filter_model(found)
        if related is None:
            yield Ask(route, "GET", "filter", path, query={name: START})
            continue
        ref = Ref(related)
        for kind, number in (("foreign", number_of(ref, caller.away)), ("missing", _missing(ref))):
            yield Ask(
                route, "GET", kind, path, query={name: number}, pair=f"filter {name}", numbers=(str(number),)
            )
    for query in (
        {"search": "zq"}, {"page_size": "500"}, {"page": "2"}, {"ordering": "platform__name"}, {"ordering": "-pk"},
        {"platform__name__startswith": START}, {"owner__password__startswith": "p"}, {"format": "api"},
    ):  # fmt: skip
        yield Ask(route, "GET", "query", path, query=query)


def _filters(route: Route) -> dict[str, Any]:
    """{name: filter} of a list."""
    if not hasattr(route.view, "model"):
        return {}
    found = ScopedFilterBackend().get_filterset_class(route.view, route.view.model._default_manager.none())
    return dict(found.base_filters) if found else {}


def _filter_model(found: Any) -> type[models.Model] | None:
    """The model among whose rows a filter chooses; None for a plain value."""
    queryset = found.extra.get("queryset")
    if queryset is None:
        return None
    return queryset.args[0] if hasattr(queryset, "args") else queryset.model


def _api_writes(route: Route, caller: Caller, verb: str, action: str) -> Iterator[Ask]:
    template = body_of(route.view.__name__, action)
    path = _own_path(route, caller)
    if not template or path is None:
        return
    headers = {"Idempotency-Key": "sweep"}
    yield Ask(route, verb, "own", path, body=json.dumps(filled(template, caller.home)), headers=headers)
    for name, ref in template.items():
        if not isinstance(ref, Ref):
            continue
        for kind, number in (("foreign", number_of(ref, caller.away)), ("missing", _missing(ref))):
            body = json.dumps(filled(template, caller.home, {name: number}))
            yield Ask(route, verb, kind, path, body=body, headers=headers, pair=f"{verb} {name}",
                      numbers=(str(number),))  # fmt: skip
    if route.model:  # a whole body to a foreign object
        for kind, number in numbers_for(route, caller):
            if kind in ("foreign", "missing"):
                body = json.dumps(filled(template, caller.home))
                yield Ask(route, verb, kind, route.form % {route.params[0]: number}, body=body, headers=headers,
                          pair=f"{verb} body", numbers=(number,))  # fmt: skip


def _own_path(route: Route, caller: Caller) -> str | None:
    if not route.params:
        return route.form
    if route.model is None:
        return None
    own = next((number for kind, number in numbers_for(route, caller) if kind == "own"), None)
    return route.form % {route.params[0]: own} if own else None


def _missing(ref: Ref) -> Any:
    key = ref.model._meta.pk
    return (
        str(uuid.UUID(int=0xDEAD))
        if isinstance(key, models.UUIDField) and not ref.through
        else MISSING_NUMBERS + 1
    )


def unlisted_bodies(routes: Iterable[Route]) -> list[str]:
    """Actions of the API that read a body which the table does not have, or not with every related field."""
    wrong = []
    for route in routes:
        for action in route.actions.values():
            if action in ("list", "retrieve", "destroy", "targets") or not hasattr(route.view, "model"):
                continue
            template = body_of(route.view.__name__, action)
            if template is None:
                wrong.append(f"{route.view.__name__}.{action}")
            elif action in ("create", "update", "partial_update"):
                wrong += [
                    f"{route.view.__name__}.{action}: {name}" for name in _related(route) - set(template)
                ]
    return wrong


def _related(route: Route) -> set[str]:
    """Writable related fields of the view's serializer."""
    fields = route.view.serializer_class().fields.items()
    kinds = serializers.PrimaryKeyRelatedField | serializers.ManyRelatedField
    return {name for name, found in fields if isinstance(found, kinds) and not found.read_only}


# --- the console ---------------------------------------------------------------------------------


def console_queries(route: Route, caller: Caller) -> Iterator[Ask]:
    """Searches, filters, completions and ways to objects that are no pages of their own."""
    if route.path == "admin/autocomplete/":
        for query in autocompletes():
            yield Ask(route, "GET", "query", route.form, query=query)
    elif route.path == "admin/search/":
        for words in ("zq", START):
            yield Ask(route, "GET", "query", route.form, query={"s": words, "extended": "1"})
    elif route.path.startswith("admin/r/"):
        types = [ContentType.objects.get_for_model(model) for model in (Device, User)]
        for kind_of, model in zip(types, (Device, User), strict=True):
            for kind, number in (("foreign", caller.away.row(model).pk), ("missing", MISSING_NUMBERS + 1)):
                path = route.form % {"content_type_id": kind_of.pk, "object_id": number}
                yield Ask(route, "GET", kind, path, pair=f"r {kind_of.pk}", numbers=(str(number),))
    elif _is_list(route):
        yield from _list_queries(route, caller)


def _is_list(route: Route) -> bool:
    return route.name.startswith("admin:") and route.name.endswith("_changelist")


def _list_queries(route: Route, caller: Caller) -> Iterator[Ask]:
    page = _page(route)
    for query in ({"q": "zq"}, {"platform__name__startswith": START}, {"_popup": "1", "_to_field": "id"}):
        yield Ask(route, "GET", "query", route.form, query=query)
    for item in page.list_filter:
        name = item[0] if isinstance(item, list | tuple) else item
        key = _key(page.model, name) if isinstance(name, str) else None
        if key is None or caller.away.first.get(key) is None:
            continue
        for kind, number in (("foreign", caller.away.row(key).pk), ("missing", _missing(Ref(key)))):
            query = {f"{name}__id__exact": str(number)}
            yield Ask(
                route, "GET", kind, route.form, query=query, pair=f"filter {name}", numbers=(str(number),)
            )


def _page(route: Route) -> Any:
    return admin.site._registry[admin_model(route.path)]


def _key(model: type[models.Model], name: str) -> type[models.Model] | None:
    for part in name.split("__"):
        try:
            found = model._meta.get_field(part)
        except FieldDoesNotExist:
            return None
        if not found.is_relation:
            return None
        model = found.related_model
    return model


def console_forms(web: Web, route: Route, caller: Caller) -> Iterator[Ask]:
    """The forms of pages, sent back with a foreign and a missing number in each of their choices."""
    if route.path.endswith(("/delete/", "/history/")) or route.path in ("admin/login/", "admin/logout/"):
        return
    path = _own_path(route, caller)
    if path is None or (route.params and not route.model):
        return
    page = web.ask(caller, "GET", path)
    if page.status != 200:
        return
    values, choices = form_of(page.body)
    if not values:
        return
    yield Ask(route, "POST", "own", path, body=urlencode(values, doseq=True), content_type=FORM)
    for name in choices:
        related = _choice_model(route, name)
        if related is None or caller.away.first.get(related) is None:
            continue
        for kind, number in (
            ("foreign", str(caller.away.row(related).pk)),
            ("missing", str(_missing(Ref(related)))),
        ):
            body = urlencode(list(with_choice(values, name, number)))
            yield Ask(
                route,
                "POST",
                kind,
                path,
                body=body,
                content_type=FORM,
                pair=f"form {name}",
                numbers=(number,),
            )


def _choice_model(route: Route, name: str) -> type[models.Model] | None:
    """The model behind a choice of a page's form: a key of the page's model, or of one of its inlines."""
    if admin_model(route.path) is None:  # a page that belongs to no model
        return None
    page = _page(route)
    last = name.rsplit("-", 1)[-1]
    owners = [page.model, *(inline.model for inline in page.inlines)] if "-" in name else [page.model]
    for owner in owners:
        keys = {field.name: field for field in (*owner._meta.concrete_fields, *owner._meta.many_to_many)}
        if last in keys and keys[last].is_relation:
            return keys[last].related_model
    return None
