"""What the doors for other programs' deliveries share: a bounded body, and refusals in the one shape of errors."""

from collections.abc import Mapping

from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.utils.translation import gettext as _


class Refusal(Exception):
    """The answer to a delivery that is not taken. ``why`` is a word for our own people; the caller never sees it."""

    def __init__(
        self, status: int, code: str, message: str, *, why: str = "", fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(code)
        self.status, self.code, self.message, self.why = status, code, message, why
        self.fields, self.headers = dict(fields or {}), dict(headers or {})

    def answer(self) -> JsonResponse:
        """The one shape of errors."""
        body = {"error": {"code": self.code, "message": self.message, "fields": self.fields}}
        return JsonResponse(body, status=self.status, headers=self.headers)


def too_large(at_most: int) -> Refusal:
    """The answer to a body of more than ``at_most`` bytes, packed or unpacked."""
    return Refusal(413, "too_large", _("At most %(size)d bytes.") % {"size": at_most}, why="too_large")


def try_again_later(message: str, *, after_s: int, why: str = "") -> Refusal:
    """The answer for which a sender repeats its delivery."""
    return Refusal(503, "try_again_later", message, why=why, headers={"Retry-After": str(after_s)})


def read_body(request: HttpRequest, *, at_most: int) -> bytes:
    """The body of ``request``; Refusal when it is longer than ``at_most`` bytes or breaks off."""
    try:
        if int(request.META.get("CONTENT_LENGTH") or 0) > at_most:
            raise too_large(at_most)
        body = request.read(at_most + 1)
    except ValueError:
        raise Refusal(400, "invalid", _("Content-Length must be a number.")) from None
    except UnreadablePostError:
        raise Refusal(400, "invalid", _("The body ended too early.")) from None
    if len(body) > at_most:
        raise too_large(at_most)
    return body
