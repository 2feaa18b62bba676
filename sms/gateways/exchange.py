"""One HTTP exchange with a gateway, and what its status proves.

The classes are those of ``GatewayError``. Only two things prove that nothing was sent: no
connection was made, or the gateway's contract says that this status means "not queued". A refusal
is a 4xx; everything else that is not an acceptance (3xx, 5xx, 408, no answer, half an answer) may
hide a message that left.
"""

import base64
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from remosa.lib import http
from remosa.lib.http import HttpFailure, Response
from remosa.lib.redact import redact
from sms.errors import GatewayError, Outcome

DETAIL = 120  # characters of the gateway's own words that are kept
LONGEST_WAIT_S = 3600.0
REF_LENGTH = 100
WRONG_KEY = (401, 403)
LONG_NUMBER = re.compile(r"(?:\+|%2B)?\d{7,}")  # any of these may be a phone
AMBIGUOUS_REFUSALS = (408,)  # proxies answer it while the gateway works on


def exchange(method: str, url: str, *, deadline_s: float, **parts: Any) -> Response:
    """Send one request through the one door; whatever is not an answer becomes a GatewayError."""
    try:
        return http.request(method, url, deadline_s=deadline_s, **parts)
    except HttpFailure as exc:
        outcome: Outcome = "unknown" if exc.may_have_left else "not_sent"
        raise GatewayError(exc.reason, outcome=outcome) from None  # the cause may quote the address


def basic(user: str, password: str) -> dict[str, str]:
    """The header of Basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def read_json(response: Response, *, hide: Collection[str]) -> Any:
    """The JSON of an answer; unknown when it is none."""
    try:
        return response.json()
    except ValueError:
        raise GatewayError("no_json", outcome="unknown", detail=words(response, hide=hide)) from None


def ref_in(answer: Any, name: str, *, response: Response, hide: Collection[str]) -> str:
    """The id under ``name`` in an answer of acceptance; unknown when there is none."""
    found = answer.get(name) if isinstance(answer, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise GatewayError("no_id", outcome="unknown", detail=words(response, hide=hide))
    return str(found)[:REF_LENGTH]


def refuse(
    response: Response, *, accepted: Collection[int], not_queued: Collection[int], hide: Collection[str]
) -> None:
    """Raise the GatewayError that the status means; return when it is one of ``accepted``."""
    status = response.status
    if status in accepted:
        return
    reason, detail = f"http_{status}", words(response, hide=hide)
    if status in not_queued:
        wait = retry_after_s(response.headers)
        raise GatewayError(reason, outcome="not_sent", detail=detail, retry_after_s=wait)
    if status in WRONG_KEY:
        raise GatewayError(reason, outcome="rejected", detail=detail, breaks=True)
    if 400 <= status < 500 and status not in AMBIGUOUS_REFUSALS:
        raise GatewayError(reason, outcome="rejected", detail=detail)
    raise GatewayError(reason, outcome="unknown", detail=detail)


def words(response: Response, *, hide: Collection[str]) -> str:
    """The beginning of a gateway's answer, fit for people and logs; ``hide`` are texts it may echo."""
    text = response.text[: 10 * DETAIL]
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = text.replace(secret, "…")
    text = redact(LONG_NUMBER.sub("…", text))
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:DETAIL]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, when it is a sane number of them; dates are left to our own backoff."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT_S) if math.isfinite(seconds) and seconds >= 0 else None
