"""Whose address and whose language a request has."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone, translation

from platforms import audit
from platforms.middleware import PersonalSettingsMiddleware, RequestIdMiddleware, client_address
from platforms.models import AuditEvent, Platform, User


def address(remote: str = "192.0.2.1", forwarded: str | None = None) -> str | None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, None, "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),  # nobody is trusted: the header is what the caller wrote
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the caller's own entry is not believed
        (1, "6.6.6.6,7.7.7.7,203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "10.0.0.1", "192.0.2.1"),  # shorter than the chain: it did not come through the proxies
        (1, "", "192.0.2.1"),
        (1, " , ,", "192.0.2.1"),
        (1, "203.0.113.9:51234", "203.0.113.9"),
        (1, "[2001:db8::1]:51234", "2001:db8::1"),
        (1, "2001:DB8:0::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "unknown", None),
        (1, "6.6.6.6, _hidden", None),
        (1, "<script>", None),
        (1, "1.2.3.4'; drop table", None),
        (1, "999.1.1.1", None),
    ],
)
def test_the_address_is_the_one_that_the_last_trusted_proxy_saw(
    settings: Any, proxies: int, forwarded: str | None, expected: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies

    assert address(forwarded=forwarded) == expected


@pytest.mark.parametrize("remote", ["", "unix:", "/run/socket"])
def test_a_local_socket_has_no_address(remote: str) -> None:
    assert address(remote=remote) is None


@pytest.mark.databases
@pytest.mark.parametrize(
    "forwarded", ["fe80::1%eth0", "[::1]:80", "unknown", "1.2.3.4:5", "::ffff:1.2.3.4", "é"]
)
def test_whatever_a_proxy_writes_can_be_stored(settings: Any, north: Platform, forwarded: str) -> None:
    settings.TRUSTED_PROXIES = 1

    def view(_request: HttpRequest) -> HttpResponse:
        audit.record(actor=audit.SYSTEM, verb="thing.done", platform=north)
        return HttpResponse()

    RequestIdMiddleware(view)(RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded))

    assert AuditEvent.objects.filter(verb="thing.done").count() == 1


def seen_by(user: Any, **cookies: str) -> tuple[str, str]:
    """(language, time zone) inside a request of ``user``."""
    seen = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append((translation.get_language(), timezone.get_current_timezone_name()))
        return HttpResponse()

    request = RequestFactory().get("/")
    request.user = user
    request.COOKIES.update(cookies)
    with translation.override("ru"):
        PersonalSettingsMiddleware(view)(request)
    return seen[0]


def test_people_see_their_own_language_and_time(alice: User) -> None:
    alice.language, alice.time_zone = "en", "Asia/Tokyo"

    assert seen_by(alice) == ("en", "Asia/Tokyo")
    assert timezone.get_current_timezone_name() == "UTC", "and the next request starts anew"


def test_a_language_chosen_by_cookie_wins(alice: User) -> None:
    alice.language = "en"

    assert seen_by(alice, django_language="ru")[0] == "ru"


def test_nobody_sees_the_default(db: None) -> None:
    assert seen_by(AnonymousUser()) == ("ru", "UTC")


HOOK = f"/hooks/alerts/{uuid.UUID(int=7)}/"  # of no source


@pytest.mark.django_db
def test_a_delivery_of_another_program_is_answered_without_session_or_cookie(client: Client) -> None:
    client.cookies["sessionid"] = "made-up"

    response = client.post(HOOK, b"{}", content_type="application/json")

    assert response.status_code == 401
    assert not response.cookies
    assert "X-Request-ID" in response
    assert "Content-Security-Policy" not in response


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "sentence"), [("en", "Unknown source"), ("ru", "Неизвестный источник")])
def test_a_delivery_is_answered_in_its_language_and_leaves_that_of_others_alone(
    client: Client, language: str, sentence: str
) -> None:
    with translation.override("de"):
        response = client.post(
            HOOK, b"{}", content_type="application/json", headers={"Accept-Language": language}
        )

        assert sentence in response.json()["error"]["message"]
        assert translation.get_language() == "de"


def test_a_delivery_to_a_host_that_is_not_ours_is_refused(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["remosa.example"]

    assert (
        client.post(HOOK, b"{}", content_type="application/json", HTTP_HOST="evil.example").status_code == 400
    )
