"""Errors of ``devices``."""

from collections.abc import Mapping


class DevicesError(Exception):
    """Root of the errors of this app."""


class IdempotencyConflict(DevicesError):
    """The same idempotency key came with another request."""


class CommandInvalid(DevicesError):
    """The command cannot be made; ``fields`` says which parameter to change and how."""

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class CommandForbidden(DevicesError):
    """The template asks for a higher role than the actor has."""


class TransportRefused(DevicesError):
    """The transport will not carry this command. ``reason`` is a word of its closed list (``quota``, ``no_number``)."""

    def __init__(self, reason: str, *, permanent: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.permanent = reason, permanent
