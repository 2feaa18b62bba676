"""What Prometheus reads: metrics of an exporter or a platform, and where to find them.

A machine shows a token of scope ``scrape``. Without one it learns nothing but that (401); with one
it finds its own platform, and everything else is missing (404), whether it exists or not. No view
asks a CMS: a scrape costs the same whatever the CMS does.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from exporters.exposition import ExporterRow, negotiate
from exporters.models import Exporter
from exporters.prometheus_files import alert_rules, dashboard
from exporters.selectors import Parts, Scrape, scrape_of_exporter, scrape_of_platform, served
from exporters.serving import Bodies, accepts_gzip, end_of_second, exposition_of
from platforms import rates, tokens
from platforms.models import ApiToken
from remosa.lib.clock import utcnow

MOST_ID = 2**63 - 1  # of any database
_bodies = Bodies()
View = Callable[..., HttpResponse]


def plain(status: int, text: str, **headers: str) -> HttpResponse:
    """A short answer in plain text, the same bytes each time."""
    return HttpResponse(
        text + "\n",
        status=status,
        content_type="text/plain; charset=utf-8",
        headers={"Cache-Control": "no-store", **headers},
    )


def for_machines(scope: str) -> Callable[[View], View]:
    """Let GET and HEAD pass with a live token of ``scope``; the view gets it as ``token``."""

    def decorate(view: View) -> View:
        @csrf_exempt  # nothing here acts, and another method is told so (405) rather than suspected
        @wraps(view)
        def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if request.method not in ("GET", "HEAD"):
                return plain(405, "Use GET or HEAD.", Allow="GET, HEAD")
            token = tokens.find(tokens.from_request(request.headers), scope=scope, now=utcnow())
            if token is None:
                return _unproven(scope)
            if wait := rates.wait_s("scrape", token.platform_id or scope):
                return _too_often(wait)
            return view(request, token=token, **kwargs)

        return guarded

    return decorate


def _too_often(wait_s: int) -> HttpResponse:
    return plain(429, "Too many requests.", **{"Retry-After": str(wait_s)})


def _unproven(scope: str) -> HttpResponse:
    return plain(
        401, f"Send a token of scope “{scope}” as Authorization: Bearer rms_…",
        **{"WWW-Authenticate": 'Bearer realm="REMOSA"'},
    )  # fmt: skip


def _scraped(request: HttpRequest, ask: Callable[[str, datetime], Scrape | None]) -> Scrape | HttpResponse:
    """As ``for_machines("scrape")``, with as few steps as it takes: what the token opens, or why nothing does."""
    if request.method not in ("GET", "HEAD"):
        return plain(405, "Use GET or HEAD.", Allow="GET, HEAD")
    scrape = ask(tokens.from_request(request.headers), utcnow())
    if scrape is None:
        return _unproven("scrape")
    if wait := rates.wait_s("scrape", scrape.platform_id):
        return _too_often(wait)
    return scrape


@csrf_exempt
def exporter_metrics(request: HttpRequest, *, exporter_id: int) -> HttpResponse:
    """The metrics of one exporter."""
    wanted = exporter_id if exporter_id <= MOST_ID else 0
    scrape = _scraped(request, lambda token, now: scrape_of_exporter(token, wanted, now=now))
    if isinstance(scrape, HttpResponse):
        return scrape
    return _metrics(request, served(scrape.rows)) if scrape.rows else missing()


@csrf_exempt
def platform_metrics(request: HttpRequest, *, platform_id: int) -> HttpResponse:
    """The metrics of all enabled exporters of a platform."""
    scrape = _scraped(request, lambda token, now: scrape_of_platform(token, now=now))
    if isinstance(scrape, HttpResponse):
        return scrape
    own = scrape.platform_id
    return _metrics(request, served(scrape.rows)) if own and own == platform_id else missing()


@for_machines("scrape")
def platform_targets(request: HttpRequest, *, token: ApiToken, platform_id: int) -> HttpResponse:
    """Prometheus' http_sd: the platform as one target, or none while it has no exporter.

    No label names the platform: the series do, and a clash would rename theirs.
    """
    if token.platform_id != platform_id:
        return missing()
    has_exporter = Exporter.objects.filter(platform=platform_id, is_enabled=True).exists()
    found = [_target(platform_id)] if has_exporter else []
    return body_of(request, JsonResponse(found, safe=False, headers={"Cache-Control": "no-store"}))


@for_machines("scrape")
def platform_rules(request: HttpRequest, *, token: ApiToken, platform_id: int) -> HttpResponse:
    """Alert rules for Prometheus: CMS down, answers old, devices down."""
    if token.platform_id != platform_id:
        return missing()
    enabled = Exporter.objects.filter(platform=platform_id, is_enabled=True).only("interval_s", "timeout_s")
    slowest_s = max((one.max_age.total_seconds() for one in enabled), default=0.0)
    response = HttpResponse(
        alert_rules(platform_id, patience_s=slowest_s), content_type="application/yaml; charset=utf-8"
    )
    return body_of(request, response)


@for_machines("scrape")
def platform_dashboard(request: HttpRequest, *, token: ApiToken, platform_id: int) -> HttpResponse:
    """A dashboard to import into Grafana."""
    if token.platform_id != platform_id:
        return missing()
    return body_of(request, JsonResponse(dashboard(platform_id, token.platform.name)))


def missing() -> HttpResponse:
    """What a stranger's object and one that does not exist look like."""
    return plain(404, "Not found.")


def body_of(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response, for HEAD without its body but with its length."""
    response["Content-Length"] = str(len(response.content))
    if request.method == "HEAD":
        response.content = b""
    return response


def _metrics(request: HttpRequest, found: list[tuple[ExporterRow, Parts]]) -> HttpResponse:
    wanted = negotiate(request.headers.get("Accept", ""))
    compressed = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    now = end_of_second(utcnow())
    headers = {
        "Cache-Control": "no-cache",  # may be kept, and must be asked about each time
        "Vary": "Accept, Accept-Encoding",
        "ETag": etag_of(found, wanted.content_type, compressed=compressed, now=now),
    }
    if _is_known(request.headers.get("If-None-Match", ""), headers["ETag"]):
        return HttpResponseNotModified(headers=headers)
    body = _bodies.body(
        headers["ETag"],
        now,
        lambda: exposition_of(found, now=now, openmetrics=wanted.openmetrics, compressed=compressed),
    )
    response = HttpResponse(body, content_type=wanted.content_type, headers=headers)
    if compressed:
        response["Content-Encoding"] = "gzip"
    return body_of(request, response)


def etag_of(
    found: list[tuple[ExporterRow, Parts]], content_type: str, *, compressed: bool, now: datetime
) -> str:
    """A weak validator: the same as long as no round was stored (each has its version) and nothing became stale.

    Weak, because the ages in the body run on meanwhile: a client that keeps a body knows how long it has.
    """
    shown = [
        (row.exporter_id, row.version, row.up, row.refused_series, row.is_stale(now)) for row, _parts in found
    ]
    return f'W/"{hashlib.sha256(repr((content_type, compressed, shown)).encode()).hexdigest()[:32]}"'


def _is_known(header: str, etag: str) -> bool:
    """Whether If-None-Match names this version (RFC 9110 13.1.2, weak comparison)."""
    bare = etag.removeprefix("W/")
    return any(
        one.strip() == "*" or one.strip().removeprefix("W/") == bare for one in header[:4096].split(",")
    )


def _target(platform_id: int) -> dict[str, Any]:
    """Host and port of PUBLIC_URL, below whatever path it has."""
    public = urlsplit(settings.PUBLIC_URL)
    host = f"[{public.hostname}]" if ":" in (public.hostname or "") else public.hostname
    port = public.port or (443 if public.scheme == "https" else 80)
    path = f"{public.path.rstrip('/')}/platforms/{platform_id}/metrics"
    return {
        "targets": [f"{host}:{port}"],
        "labels": {"__metrics_path__": path, "__scheme__": public.scheme},
    }
