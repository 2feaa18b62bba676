"""Who asks, and how: straight through Django's handler, each write undone afterwards."""

import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.handlers.base import BaseHandler
from django.core.signals import got_request_exception
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory

from platforms import jwt, tokens
from platforms.console.confirmation import KEY as CONFIRMED_AT
from platforms.models import User
from remosa.lib.clock import utcnow
from tests.isolation.world import World

BACKEND = "platforms.authentication.UsernameOrEmailBackend"
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Caller:
    """One principal: what it sends along, where it is at home, and whose marks it must never see."""

    name: str
    home: World
    away: World
    headers: Mapping[str, str] = field(default_factory=dict)
    is_nobody: bool = False  # must never get anything at all
    sees_away: bool = False  # the superadmin
    sees_hidden: bool = True
    by_session: bool = False
    is_rich: bool = False  # also asks every query and form of the console
    is_thorough: bool = False  # also asks every filter and sends every body of the API


@dataclass(frozen=True)
class Answer:
    """What came back, as text."""

    status: int
    headers: str
    body: str
    error: str = ""

    def alike(self, asked: tuple[str, ...]) -> tuple[int, str, str]:
        """The answer without what differs between any two requests: numbers asked for, CSRF tokens."""
        return self.status, _blanked(_steady(self.headers), asked), _blanked(self.body, asked)


_FACTORY = RequestFactory()
_CSRF = re.compile(r"(csrfmiddlewaretoken\W+value=\W|csrfToken\W+)[A-Za-z0-9]{32,64}")
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?")
_STEADY_HEADERS = ("location", "allow", "content-type")


def _steady(headers: str) -> str:
    return "\n".join(line for line in headers.splitlines() if line.lower().startswith(_STEADY_HEADERS))


def _blanked(text: str, asked: tuple[str, ...]) -> str:
    text = _CLOCK.sub("NOW", _CSRF.sub(r"\1", text))
    for number in sorted(asked, key=len, reverse=True):
        text = (
            text.replace(number, "N")
            .replace(number.replace("-", "_2D"), "N")
            .replace(number.replace("-", ""), "N")
        )
    return text


class Web:
    """The whole product with its middleware, without a socket. ``errors`` are exceptions that became a 500."""

    def __init__(self) -> None:
        self._handler = BaseHandler()
        self._handler.load_middleware()
        self._error = ""
        got_request_exception.connect(self._note)

    def _note(self, **_facts: Any) -> None:
        self._error = "".join(traceback.format_exception(*sys.exc_info())[-6:])

    def ask(
        self, caller: Caller, verb: str, path: str, *, query: Mapping[str, Any] | None = None, body: str = "",
        content_type: str = "application/json", headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One request; whatever it writes is rolled back."""
        request = _FACTORY.generic(
            verb, f"/{path}", data=body, content_type=content_type, query_params=dict(query or {}),
            headers={**caller.headers, **(headers or {})},
        )  # fmt: skip
        request._dont_enforce_csrf_checks = True
        self._error = ""
        if verb in SAFE:
            return self._answer(self._handler.get_response(request))
        with transaction.atomic():
            answer = self._answer(self._handler.get_response(request))
            transaction.set_rollback(True)
        return answer

    def _answer(self, response: HttpResponse) -> Answer:
        content = b"".join(response.streaming_content) if response.streaming else response.content
        lines = [f"{name}: {value}" for name, value in response.items()]
        lines += [cookie.OutputString() for cookie in response.cookies.values()]
        return Answer(response.status_code, "\n".join(lines), content.decode("utf-8", "replace"), self._error)


def session_of(user: User) -> dict[str, str]:
    """The cookie of a signed-in person."""
    store = SessionStore()
    store[SESSION_KEY], store[BACKEND_SESSION_KEY] = str(user.pk), BACKEND
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store[CONFIRMED_AT] = (utcnow() + timedelta(minutes=29)).isoformat()  # the long form lasts
    store.save()
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={store.session_key}"}


def bearer(text: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {text}"}


def all_callers(south: World, north: World, root: User) -> list[Caller]:
    """Everybody; the dismissed person is dismissed here, after having signed in."""
    people = [
        Caller(f"{world.mark[2:]} {role}", world, other, session_of(world.people[role]), by_session=True,
               sees_hidden=role != "user", is_rich=world is south and role in ("admin", "user"),
               is_thorough=role == "admin" or (world is south and role == "user"))
        for world, other in ((south, north), (north, south))
        for role in ("admin", "manager", "user", "viewer")
    ]  # fmt: skip
    machines = [
        Caller(f"south token {scope}", south, north, bearer(text), is_thorough=scope == "command")
        for scope, text in south.tokens.items() if scope != "gone"
    ]  # fmt: skip
    admin_user, gone = south.people["admin"], south.people["gone"]
    _row, operator = tokens.issue(name="operator", scopes=["operator"], by=root)
    access = jwt.sign_in(admin_user)["access"]
    left = [
        Caller("dismissed by session", south, north, session_of(gone), is_nobody=True, by_session=True),
        Caller("dismissed by token", south, north, bearer(south.tokens["gone"]), is_nobody=True),
        Caller(
            "dismissed by JWT",
            south,
            north,
            bearer(jwt.sign_in(gone)["access"]),
            is_nobody=True,
        ),
    ]
    User.objects.filter(pk=gone.pk).update(is_active=False)
    return [
        Caller("anonymous", south, north, is_nobody=True),
        Caller("superadmin", south, north, session_of(root), sees_away=True, by_session=True),
        *people,
        Caller("south admin by JWT", south, north, bearer(access)),
        *machines,
        Caller("operator token", south, north, bearer(operator)),
        *left,
    ]
