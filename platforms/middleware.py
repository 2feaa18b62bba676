"""Per request: an id for logs and audit, the short way of other programs, a person's own language and time zone."""

import ipaddress
import re
import uuid
import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils import timezone, translation

from platforms.audit import RequestFacts, current_request

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
BRACKETED = re.compile(r"\[([^\]]*)\](?::\d+)?")


def client_address(request: HttpRequest) -> str | None:
    """The address of the caller: behind N trusted proxies, the N-th entry from the right of X-Forwarded-For."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXIES and len(hops) >= settings.TRUSTED_PROXIES:
        return _plain_address(hops[-settings.TRUSTED_PROXIES])
    return _plain_address(request.META.get("REMOTE_ADDR", ""))


def _plain_address(text: str) -> str | None:
    """The IP address in ``1.2.3.4``, ``1.2.3.4:5678``, ``[::1]:5678`` or ``fe80::1%eth0``; None for anything else."""
    bracketed = BRACKETED.fullmatch(text)
    bare = bracketed[1] if bracketed else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        return str(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        return None


class RequestIdMiddleware:
    """Give each request an id, put it into the audit's context and into the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.id = request_id  # type: ignore[attr-defined]
        token = current_request.set(RequestFacts(request_id=request_id, address=client_address(request)))
        try:
            response = self.get_response(request)
        finally:
            current_request.reset(token)
        response["X-Request-ID"] = request_id
        return response


class HooksMiddleware:
    """Answer other programs' deliveries at once: they prove themselves by what they send, and have no use for
    sessions, forms, cookies or logins. Their language is what they ask for.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/hooks/"):
            return self.get_response(request)
        request.get_host()  # a host that is not ours is refused, as everywhere
        try:
            view, args, kwargs = resolve(request.path_info)
        except Resolver404:
            return self.get_response(request)
        with translation.override(translation.get_language_from_request(request)):
            return view(request, *args, **kwargs)


class PersonalSettingsMiddleware:
    """Speak the person's language and show their time zone, unless the request asks for a language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request)
        if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]
        with timezone.override(zoneinfo.ZoneInfo(user.time_zone)):
            return self.get_response(request)
