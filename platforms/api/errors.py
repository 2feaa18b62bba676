"""What an API view raises, and the one shape of an error: ``{"error": {"code", "message", "fields": {}}}``.

The framework's views are not imported here: reading their settings imports the parsers, which raise these.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import exceptions


class Invalid(exceptions.APIException):
    """400 with a sentence of its own, and what to change by field."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class Conflict(exceptions.APIException):
    """409: the request is fine, the state of things is not."""

    status_code = 409
    default_code = "conflict"


class TooLarge(exceptions.APIException):
    """413: the body is longer than it may be."""

    status_code = 413
    default_code = "too_large"


class TooMuch(exceptions.APIException):
    """429: a limit of the platform is reached."""

    status_code = 429
    default_code = "quota"


def error_body(code: str, message: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}
