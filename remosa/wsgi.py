"""WSGI entry point of the web process."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remosa.settings")
django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's answer; a complete one as a list, which granian sends at once instead of as a stream."""
    response = django_application(environ, start_response)
    if not isinstance(response, HttpResponse):
        return response
    response.close()
    return [response.content]
