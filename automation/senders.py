"""Whether a delivery of alerts comes from the source that it names: a signature, a token, or a password."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

from automation.models import AlertSource
from platforms import tokens
from platforms.models.tokens import Scope

SKEW = timedelta(minutes=5)  # how old a signed time may be


def stamp_of(source: AlertSource, headers: Mapping[str, str], *, now: datetime) -> str:
    """What tells this delivery from the next one with the same body.

    A signed time is the sender's own; a signed body without one is the same for ever; what comes with a
    token or a password may be repeated by its sender, so the minute of its arrival counts.
    """
    if source.auth == AlertSource.Auth.HMAC_TIME:
        return headers.get(source.timestamp_header, "")
    return "" if source.auth == AlertSource.Auth.HMAC else f"{now:%Y-%m-%dT%H:%M}"


def doubt(source: AlertSource, headers: Mapping[str, str], raw: bytes, *, now: datetime) -> str:
    """A word for what speaks against the sender; "" when nothing does."""
    secret, header = str(source.secret), headers.get("Authorization", "")
    if source.auth == AlertSource.Auth.BEARER:
        shown = tokens.from_header(header) if not header.lower().startswith("basic ") else ""
        return "" if _same(shown, secret) or _is_token(shown, source, now=now) else _word(header)
    if source.auth == AlertSource.Auth.BASIC:
        return "" if _same(_basic(header), f"{source.username}:{secret}") else _word(header)
    timestamp = None
    if source.auth == AlertSource.Auth.HMAC_TIME:
        timestamp = headers.get(source.timestamp_header, "")
        if not timestamp:
            return "no_time"
    given = headers.get(source.signature_header, "").strip().lower().removeprefix("sha256=")
    if not given:
        return "no_signature"
    message = raw if timestamp is None else f"{timestamp}:".encode() + raw
    if not _same(given, hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()):
        return "wrong_signature"
    return "" if timestamp is None or _is_fresh(timestamp, now) else "old_time"


def _word(header: str) -> str:
    return "wrong_secret" if header else "no_secret"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _is_token(shown: str, source: AlertSource, *, now: datetime) -> bool:
    """A token of the platform with the right to bring alerts will do as well."""
    found = tokens.find(shown, scope=Scope.INTAKE, now=now)
    return found is not None and found.platform_id == source.platform_id


def _basic(header: str) -> str:
    scheme, _space, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode()
    except ValueError:
        return ""


def _is_fresh(timestamp: str, now: datetime) -> bool:
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    return abs(now.timestamp() - int(timestamp)) <= SKEW.total_seconds()
