"""One error shape: ``{"error": {"code", "message", "fields": {}}}``."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from platforms.errors import QuotaExceeded

CODES = {
    400: "invalid", 401: "not_signed_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "conflict", 413: "too_large", 415: "unsupported_media_type", 429: "too_many",
    503: "try_again_later",
}  # fmt: skip


class Conflict(exceptions.APIException):
    """409: the request is fine, the state of things is not."""

    status_code = 409
    default_code = "conflict"


class TooMuch(exceptions.APIException):
    """429: a limit of the platform is reached."""

    status_code = 429
    default_code = "quota"


def error_body(code: str, message: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def error_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into the one shape; None (a real 500) for bugs."""
    if isinstance(exc, DjangoValidationError):
        detail = exc.message_dict if hasattr(exc, "error_dict") else {"non_field_errors": exc.messages}
        exc = exceptions.ValidationError(detail)
    elif isinstance(exc, QuotaExceeded):
        exc = TooMuch(str(exc))
    elif isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(str(exc) or None)
    response = exception_handler(exc, context)
    if response is None:
        return None
    response.data = _shape(exc, response)
    return response


def _shape(exc: Exception, response: Response) -> dict[str, Any]:
    code = CODES.get(response.status_code, "error")
    detail = getattr(exc, "detail", "")
    if isinstance(exc, exceptions.ValidationError):
        fields = detail if isinstance(detail, dict) else {"non_field_errors": detail}
        return error_body(code, _first(fields), fields)
    own = getattr(exc, "default_code", None) if isinstance(exc, Conflict | TooMuch) else None
    return error_body(own or code, str(detail))


def _first(detail: Any) -> str:
    """The first sentence in a nested error."""
    while isinstance(detail, dict | list) and detail:
        detail = next(iter(detail.values())) if isinstance(detail, dict) else detail[0]
    return str(detail)
