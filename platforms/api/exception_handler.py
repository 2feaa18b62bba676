"""Turn whatever a view raises into the one shape of ``platforms.api.errors``."""

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from platforms.api.errors import Conflict, Invalid, TooLarge, TooMuch, error_body
from platforms.api.permissions import ConfirmAgain
from platforms.errors import InvitationClosed, LastAdmin, QuotaExceeded, RoleTooHigh
from remosa.lib.lifecycle import IllegalMove

CODES = {
    400: "invalid", 401: "not_signed_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "conflict", 413: "too_large", 415: "unsupported_media_type", 429: "too_many",
    503: "try_again_later",
}  # fmt: skip


def error_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into the one shape; None (a real 500) for bugs."""
    exc = _as_api_error(exc)
    response = exception_handler(exc, context)
    if response is None:
        return None
    response.data = _shape(exc, response)
    return response


def _as_api_error(exc: Exception) -> Exception:
    """What Django, the database or a service raised, in the API's words."""
    if isinstance(exc, DjangoValidationError):
        detail: dict[str, Any] = (
            exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
        )
        if NON_FIELD_ERRORS in detail:
            detail["non_field_errors"] = detail.pop(NON_FIELD_ERRORS)
        return exceptions.ValidationError(detail)
    if isinstance(exc, QuotaExceeded):
        sentence = _("The limit of this platform is reached: %(wanted)s wanted, %(left)s left.")
        return TooMuch(sentence % {"wanted": exc.wanted, "left": exc.left})
    if isinstance(exc, RoleTooHigh):
        return exceptions.PermissionDenied(_("Nobody grants or takes a role above their own."))
    if isinstance(exc, LastAdmin):
        return Conflict(_("A platform keeps at least one admin. Name another one first."))
    if isinstance(exc, InvitationClosed):
        return Conflict(_("This invitation is over: it was used, withdrawn, or its time has passed."))
    if isinstance(exc, IllegalMove):
        return Conflict(str(exc))
    if isinstance(exc, ProtectedError | RestrictedError):
        return Conflict(_("Other objects still need this one."))
    if isinstance(exc, IntegrityError):
        return Conflict(_("Somebody changed this at the same moment. Read it again and repeat."))
    if isinstance(exc, Http404):
        return exceptions.NotFound()
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied(str(exc) or None)
    if isinstance(exc, RequestDataTooBig):
        return TooLarge(_("The body is too large."))
    if isinstance(exc, SuspiciousOperation):
        return Invalid(_("This request cannot be read."))
    return exc


def _shape(exc: Exception, response: Response) -> dict[str, Any]:
    code = CODES.get(response.status_code, "error")
    detail = getattr(exc, "detail", "")
    if isinstance(exc, exceptions.ValidationError):
        fields = detail if isinstance(detail, dict) else {"non_field_errors": detail}
        return error_body(code, _first(fields), fields)
    if isinstance(exc, Invalid):
        return error_body(code, str(detail), exc.fields)
    if isinstance(detail, dict):  # simplejwt
        return error_body(code, str(detail.get("detail", "")))
    own = exc.default_code if isinstance(exc, Conflict | TooMuch | ConfirmAgain) else None
    return error_body(own or code, str(detail))


def _first(detail: Any) -> str:
    """The first sentence in a nested error."""
    while isinstance(detail, dict | list) and detail:
        detail = next(iter(detail.values())) if isinstance(detail, dict) else detail[0]
    return str(detail)
