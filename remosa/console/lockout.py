"""The answer to whoever guesses: the same for every account, whether it exists or not."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from platforms.api.errors import error_body


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Called by axes' middleware instead of the page."""
    headers = {"Retry-After": str(int(settings.AXES_COOLOFF_TIME.total_seconds()))}
    if request.path.startswith("/api/"):
        sentence = _("Too many wrong answers. Try again in a quarter of an hour.")
        return JsonResponse(error_body("too_many", sentence), status=429, headers=headers)
    answer = render(request, "429.html", status=429)
    for name, value in headers.items():
        answer[name] = value
    return answer
