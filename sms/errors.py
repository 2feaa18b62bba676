"""Errors of ``sms``."""

from collections.abc import Mapping
from typing import Literal

from remosa.lib.texts import storable

Outcome = Literal["not_sent", "rejected", "unknown"]


class SmsError(Exception):
    """Root of the errors of this app."""


class SmsInvalid(SmsError):
    """The SMS cannot be sent as it is; ``fields`` says what to change."""

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class DedupeConflict(SmsError):
    """The same key came with another number or text."""


class CallbackInvalid(SmsError):
    """A gateway's callback is not what its contract says; ``fields`` names what is missing or wrong."""

    def __init__(self, message: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class GatewayError(SmsError):
    """The message did not provably get through. ``outcome`` says what is known:

    ``not_sent``  nothing left; another try is safe
    ``rejected``  the gateway refused this message for good
    ``unknown``   it may have left; never send it again by itself

    ``reason`` is a word (``http_500``, ``deadline``), ``detail`` the gateway's own words with
    secrets and numbers masked. ``breaks`` means that the gateway will refuse every other message
    too (wrong key): leave it alone for a while. ``retry_after_s`` is its own wish, if it has one.
    """

    def __init__(
        self,
        reason: str,
        *,
        outcome: Outcome,
        detail: str = "",
        breaks: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        reason, detail = storable(reason), storable(detail)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.outcome, self.detail = reason, outcome, detail
        self.breaks, self.retry_after_s = breaks, retry_after_s
