"""The short way of a scrape."""

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from exporters import views

EXPORTER = re.compile(r"/exporters/([0-9]{1,18})/metrics", re.ASCII)
PLATFORM = re.compile(r"/platforms/([0-9]{1,18})/metrics", re.ASCII)


class ScrapeMiddleware:
    """Answer ``/metrics`` at once: it has its own token, and no use for sessions, languages, forms or logins."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.endswith("/metrics"):
            return self.get_response(request)
        request.get_host()  # a host that is not ours is refused, as everywhere
        if found := EXPORTER.fullmatch(request.path_info):
            return views.exporter_metrics(request, exporter_id=int(found[1]))
        if found := PLATFORM.fullmatch(request.path_info):
            return views.platform_metrics(request, platform_id=int(found[1]))
        return self.get_response(request)
