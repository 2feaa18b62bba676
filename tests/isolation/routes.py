"""Every route of the project, from Django's own resolver, and what stands behind it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import URLPattern, get_resolver
from django.utils.regex_helper import normalize

from automation.models import AlertSource, Case
from exporters.models import Exporter
from platforms.models import ApiToken, Platform
from sms.models import Gateway

# Whose number a parameter (or that of one path) is, where neither the API's model nor the console's page says it.
PARAMETERS: dict[str, tuple[type[models.Model], str]] = {
    "exporter_id": (Exporter, "pk"),
    "platform_id": (Platform, "pk"),
    "admin/me/tokens/<pk>/renew/": (ApiToken, "pk"),
    "admin/me/tokens/<pk>/revoke/": (ApiToken, "pk"),
    "case_id": (Case, "pk"),
    "hook_id": (Gateway, "hook_id"),
    "source_id": (AlertSource, "pk"),
}

# Routes of their own kind, by hand: a new one fails the sweep until it stands here, with what it is.
OTHERS = {
    "": "leads to the console",
    "admin/": "home page",
    "admin/login/": "public: the form",
    "admin/logout/": "ends the caller's own session",
    "admin/password_change/": "the caller's own",
    "admin/password_change/done/": "the caller's own",
    "admin/autocomplete/": "asked for each key of each model, see `autocompletes`",
    "admin/jsi18n/": "public: words of the console's scripts",
    "admin/r/<content_type_id>/<object_id>/": "Django's way to an object's own page; asked for each object",
    "admin/search/": "the console's search over everything",
    "admin/language/": "the caller's own",
    "admin/prometheus-devices/": "rows through visible_to, and what Prometheus has of them",
    "admin/devices/device/filters/": "the caller's own kept filters",
    "admin/live/": "what the home page refreshes",
    "admin/clients/": "the caller's own platforms as rows",
    "admin/me/": "the caller's own settings",
    "admin/me/app/": "the caller's own authenticator app",
    "admin/me/app/remove/": "the caller's own authenticator app",
    "admin/me/codes/": "the caller's own recovery codes",
    "admin/me/sign-out/": "the caller's own sessions",
    "admin/me/tokens/": "the caller's own tokens",
    "admin/me/tokens/<pk>/renew/": "the caller's own tokens",
    "admin/me/tokens/<pk>/revoke/": "the caller's own tokens",
    "admin/confirm/": "the caller's own session",
    "admin/login/code/": "public: takes a code, of somebody whose password was right",
    "admin/password/": "public: takes an address, answers all alike",
    "admin/password/sent/": "public: a sentence",
    "admin/password/<uidb64>/<token>/": "public: whoever has the link, which no number leads to",
    "admin/invitation/<key>/": "public: whoever has the link, which no number leads to",
    "admin/<app_label>/": "an app's pages",
    "admin/<url>": "whatever else begins with /admin/",
    "i18n/setlang/": "the caller's own",
    "api/": "whatever else begins with /api/",
    "api/schema/": "the same for all who are signed in",
    "api/docs/": "the same for all who are signed in",
    "api/v1/": "the resources' names",
    "api/v1/auth/token/": "public: takes a password",
    "api/v1/auth/token/refresh/": "public: takes a refresh token",
    "api/v1/auth/token/revoke/": "public: takes a refresh token",
    "shared/cases/<key>/": "public: whoever has the signed link, which no number leads to",
    "exporters/<exporter_id>/metrics": "scrape token",
    "platforms/<platform_id>/metrics": "scrape token",
    "platforms/<platform_id>/sd": "scrape token",
    "platforms/<platform_id>/rules.yml": "scrape token",
    "platforms/<platform_id>/dashboard.json": "scrape token",
    "hooks/sms/<hook_id>/report/": "the gateway's own secret",
    "hooks/sms/<hook_id>/inbound/": "the gateway's own secret",
    "hooks/alerts/<source_id>/": "the alert source's own secret",
    "hooks/alerts/<source_id>/api/v2/alerts": "the alert source's own secret",
    "metrics": "operator token",
    "healthz": "public: no detail",
    "readyz": "public: no detail",
    "healthz/worker": "public: no detail",
}
PUBLIC = frozenset({  # 200 for anybody, with nothing of any platform in it
    "admin/login/", "admin/password/", "admin/password/sent/",
    "admin/jsi18n/", "admin/language/", "i18n/setlang/", "healthz", "readyz", "healthz/worker",
    "api/v1/auth/token/", "api/v1/auth/token/refresh/", "api/v1/auth/token/revoke/",
})  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One path of the product. ``model`` is what its one parameter numbers; None without such."""

    path: str  # api/v1/devices/<pk>/
    form: str  # api/v1/devices/%(pk)s/
    params: tuple[str, ...]
    name: str
    callback: Callable[..., Any]
    model: type[models.Model] | None
    column: str = "pk"

    @property
    def view(self) -> Any:
        """The API's view class; None for anything else."""
        return getattr(self.callback, "cls", None)

    @property
    def actions(self) -> dict[str, str]:
        """{verb: action} of a view set."""
        return getattr(self.callback, "actions", None) or {}

    @property
    def is_admin(self) -> bool:
        """Whether it is a page of the console."""
        return self.path.startswith("admin/")


def all_routes() -> list[Route]:
    """Every route, in the resolver's order."""
    return [_route(regex, pattern, names) for regex, pattern, names in _walk(get_resolver(), "", ())]


def without_row(routes: list[Route]) -> list[str]:
    """The routes that the sweep would not know how to ask."""
    return [route.path for route in routes if not _is_known(route)]


def _is_known(route: Route) -> bool:
    if route.path in OTHERS:
        return True
    is_page = route.is_admin and route.path.count("/") >= 3 and admin_model(route.path) is not None
    is_api = hasattr(route.view, "model") or getattr(route.view, "queryset", None) is not None
    return (is_page or is_api) and len(route.params) == (1 if route.model else 0)


def _walk(
    resolver: Any, prefix: str, names: tuple[str, ...]
) -> Iterator[tuple[str, URLPattern, tuple[str, ...]]]:
    for entry in resolver.url_patterns:
        regex = prefix + entry.pattern.regex.pattern.removeprefix("^")
        if isinstance(entry, URLPattern):
            yield regex, entry, names
        else:
            inner = (*names, entry.namespace) if entry.namespace else names
            yield from _walk(entry, regex, inner)


def _route(regex: str, pattern: URLPattern, names: tuple[str, ...]) -> Route:
    form, params = normalize(regex)[0]
    path = form
    for param in params:
        path = path.replace(f"%({param})s", f"<{param}>")
    model, column = _model_of(path, tuple(params), pattern.callback)
    name = ":".join((*names, pattern.name or ""))
    return Route(path, form, tuple(params), name, pattern.callback, model, column)


def _model_of(path: str, params: tuple[str, ...], callback: Any) -> tuple[type[models.Model] | None, str]:
    if len(params) != 1:
        return None, "pk"
    view = getattr(callback, "cls", None)
    if hasattr(view, "model"):
        return view.model, "pk"
    if hasattr(view, "queryset") and view.queryset is not None:
        return view.queryset.model, "pk"
    if path.startswith("admin/") and path not in OTHERS:
        return admin_model(path), "pk"
    return PARAMETERS.get(path) or PARAMETERS.get(params[0], (None, "pk"))


def admin_model(path: str) -> type[models.Model] | None:
    """The model of a page ``admin/<app>/<model>/…``."""
    parts = path.split("/")
    found = {(model._meta.app_label, model._meta.model_name): model for model in admin.site._registry}
    return found.get((parts[1], parts[2])) if len(parts) > 3 else None


def autocompletes() -> list[dict[str, str]]:
    """A query for each key of each model that the console could be asked to complete."""
    return [
        {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": key.name, "term": "zq"}
        for model in admin.site._registry
        for key in (*model._meta.concrete_fields, *model._meta.many_to_many)
        if key.is_relation
    ]  # fmt: skip
