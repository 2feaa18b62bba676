"""The page behind a shared link of a case: read by anybody who has it, and found by nobody else."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from automation.answers import answer
from automation.services import shares
from platforms import rates
from platforms.console.display import clock_text
from platforms.middleware import client_address
from remosa.lib.clock import utcnow
from remosa.lib.redact import redact

HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@require_safe
def shared_case(request: HttpRequest, key: str) -> HttpResponse:
    """Why this device was switched, or why not, in the platform's own time."""
    now = utcnow()
    if wait := rates.wait_s("shared", client_address(request) or "-"):
        return HttpResponse(
            _("Too many requests. Try again later."), status=429, content_type="text/plain; charset=utf-8",
            headers=HEADERS | {"Retry-After": str(wait)},
        )  # fmt: skip
    case, page = (
        shares.find(key, now=now),
        {**admin.site.each_context(request), "title": _("Why was it switched?")},
    )
    if case is None:
        return TemplateResponse(
            request, "console/shared_case.html", page | {"over": True}, status=404, headers=HEADERS
        )
    with timezone.override(case.platform.time_zone):
        page |= {
            "name": redact(case.title), "sentences": answer(shares.told_of(case), clock=clock_text),
            "zone": case.platform.time_zone,
        }  # fmt: skip
        return TemplateResponse(request, "console/shared_case.html", page, headers=HEADERS).render()
