"""Make, find and revoke tokens. A token is shown once; only its hash is kept."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from platforms import audit
from platforms.models import ApiToken, Platform
from remosa.lib.locks import unless_locked

LAST_USED_STEP = timedelta(minutes=1)  # "last used" is written at most this often
MACHINE = (  # the columns that `judged` wants
    "pk", "digest", "scopes", "platform_id", "platform__is_active", "user_id", "user__is_active", "revoked_at",
    "expires_at", "last_used_at",
)  # fmt: skip
SHAPE = re.compile(r"rms_([0-9a-f]{12})_[A-Za-z0-9_-]{16,100}", re.ASCII)


def digest_of(token: str) -> str:
    """SHA-256 of the whole token, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue(
    *,
    name: str,
    scopes: Iterable[str],
    by: Any,
    platform: Platform | None = None,
    user: Any = None,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A new token: its row, and the text that is shown this once."""
    lookup, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    text = f"rms_{lookup}_{secret}"
    with transaction.atomic():
        row = ApiToken.objects.create(
            name=name, platform=platform, user=user, scopes=sorted(set(scopes)), lookup=lookup,
            digest=digest_of(text), created_by=by, expires_at=expires_at,
        )  # fmt: skip
        actor = audit.person(by) if by is not None else audit.SYSTEM
        audit.record(
            actor=actor, verb="token.issued", target=row, platform=platform, after={"scopes": row.scopes}
        )
    return row, text


def find(text: str, *, scope: str, now: datetime) -> ApiToken | None:
    """The live token that ``text`` is, if it has ``scope``; None otherwise, whatever the cause."""
    lookup = lookup_of(text)
    if not lookup:
        return None
    row = (
        ApiToken.objects.select_related("platform", "user")
        .filter(lookup=lookup, revoked_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .first()
    )
    if row is None or not _proves(text, row.digest) or scope not in row.scopes:
        return None
    if (row.platform and not row.platform.is_active) or (row.user and not row.user.is_active):
        return None
    _note_use(row.pk, row.last_used_at, now)
    return row


def lookup_of(text: str) -> str:
    """By what the row of ``text`` is found; "" when it has not the form of a token."""
    shape = SHAPE.fullmatch(text)  # first of all: not every database takes every character
    return shape[1] if shape else ""


def judged(text: str, row: Sequence[Any], *, scope: str, now: datetime) -> int | None:
    """The platform that the live token ``text`` of ``scope`` speaks for, 0 for none; None when it is no such token.

    The same judgement as ``find``, of the ``MACHINE`` columns of the row that ``lookup_of`` found: for machines
    that ask many times a minute, beside whatever else they ask in the same statement.
    """
    pk, digest, scopes, platform, platform_lives, user, user_lives, revoked_at, expires_at, used_at = row
    if not _proves(text, digest) or scope not in scopes:
        return None
    if revoked_at is not None or (expires_at is not None and expires_at <= now):
        return None
    if (platform and not platform_lives) or (user and not user_lives):
        return None
    _note_use(pk, used_at, now)
    return platform or 0


def _proves(text: str, digest: str) -> bool:
    return hmac.compare_digest(digest, digest_of(text))


def _note_use(pk: int, last_used_at: datetime | None, now: datetime) -> None:
    """Whoever asks next may note it as well: a machine does not wait for somebody's long write to end."""
    if last_used_at is None or now - last_used_at > LAST_USED_STEP:
        with unless_locked():
            ApiToken.objects.filter(pk=pk).update(last_used_at=now)


def revoke(row: ApiToken, *, by: Any, now: datetime) -> bool:
    """End a token at once; False when it was ended before."""
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=now):
            return False
        audit.record(actor=audit.person(by), verb="token.revoked", target=row, platform=row.platform, at=now)
    return True


def rotate(
    row: ApiToken, *, by: Any, now: datetime, keep_for: timedelta = timedelta(days=1)
) -> tuple[ApiToken, str]:
    """A new text for the same use; the old one ends after ``keep_for``, so that no program is left standing.

    The new token lives as long from now as the old one was meant to.
    """
    life = row.expires_at - row.created_at if row.expires_at else None
    with transaction.atomic():
        fresh, text = issue(
            name=row.name, scopes=row.scopes, by=by, platform=row.platform, user=row.user,
            expires_at=now + life if life else None,
        )  # fmt: skip
        end = min(now + keep_for, row.expires_at or now + keep_for)
        ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(expires_at=end)
        audit.record(
            actor=audit.person(by), verb="token.rotated", target=row, platform=row.platform, at=now,
            after={"replaced_by": fresh.lookup, "expires_at": end},
        )  # fmt: skip
    return fresh, text


def revoke_all(user: Any, *, by: Any, now: datetime) -> int:
    """End every token of a person at once; how many."""
    rows = list(ApiToken.objects.filter(user=user.pk, revoked_at=None))
    return sum(revoke(row, by=by, now=now) for row in rows)


def from_header(value: str) -> str:
    """The token in an Authorization header: ``Bearer``, ``Token``, bare, or the password of ``Basic``; "" if none."""
    scheme, _space, rest = value.strip().partition(" ")
    if not rest:
        return scheme
    if scheme.lower() in ("bearer", "token"):
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII, not UTF-8
            return ""
    return ""


def from_request(headers: Mapping[str, str]) -> str:
    """The token that a machine presents: ``X-API-Key``, else the Authorization header; "" if none."""
    return headers.get("X-API-Key", "").strip() or from_header(headers.get("Authorization", ""))
