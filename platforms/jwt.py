"""JWT sign-ins: short access tokens, and refresh tokens that are good once.

Each sign-in is a family (``TokenFamily``). A refresh token that was used before ends its family with
everything that came of it; so does a changed password, a dismissal, or ``revoke``. Both kinds of token are
checked against the tables at each use: nothing outlives its right by minutes.
"""

import hmac
import uuid
from datetime import datetime
from typing import Any

from django.db import transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from platforms import audit
from platforms.models import TokenFamily, User

FAMILY, PROOF = "family", "proof"
REUSED, SIGNED_OUT, DISMISSED = "reused", "signed_out", "dismissed"


class NotGood(Exception):
    """The token is wrong, expired, used before, or its family has ended."""


def sign_in(user: User) -> dict[str, str]:
    """A new family: its first ``refresh`` and ``access``. Those that nobody can use any more are forgotten."""
    first = RefreshToken()
    TokenFamily.objects.filter(user=user, expires_at__lt=first.current_time).delete()
    family = TokenFamily.objects.create(
        user=user, newest=first["jti"], expires_at=first.current_time + first.lifetime
    )
    return _pair(first, family)


def renew(text: str, *, now: datetime) -> dict[str, str]:
    """The next pair of the family; NotGood otherwise. Of two who come with one token, one gets an answer."""
    old = _refresh(text)
    following = RefreshToken()
    with transaction.atomic():
        family = _family_of(old)
        if family is None:
            raise NotGood
        mine = TokenFamily.objects.filter(pk=family.pk, newest=old["jti"], revoked_at=None)
        if mine.update(newest=following["jti"], expires_at=following.current_time + following.lifetime):
            return _pair(following, family)
        _end(family, why=REUSED, now=now)
    raise NotGood


def revoke(text: str, *, now: datetime) -> None:
    """Sign out: the family of this refresh token ends. A token that is good for nothing is no error."""
    try:
        family = _family_of(_refresh(text))
    except NotGood:
        return
    if family is not None:
        _end(family, why=SIGNED_OUT, now=now)


def revoke_all(user: User, *, why: str, now: datetime) -> int:
    """End every family of the person; how many were open."""
    return TokenFamily.objects.filter(user=user, revoked_at=None).update(revoked_at=now, revoked_why=why)


def person_of(access: Token) -> User | None:
    """Whom a valid access token speaks for; None when its family or the person's right has ended."""
    family = _family_of(access)
    return family.user if family is not None and family.revoked_at is None else None


def _refresh(text: str) -> RefreshToken:
    try:
        return RefreshToken(text)  # type: ignore[arg-type]
    except TokenError as exc:
        raise NotGood from exc


def _family_of(token: Token) -> TokenFamily | None:
    """The token's family, if its person is active and has not changed the password or signed out everywhere."""
    try:
        key = uuid.UUID(hex=str(token.get(FAMILY, "")))
    except ValueError:
        return None
    family = TokenFamily.objects.select_related("user").filter(pk=key).first()
    if family is None or not family.user.is_active:
        return None
    return family if hmac.compare_digest(str(token.get(PROOF, "")), _proof(family.user)) else None


def _end(family: TokenFamily, *, why: str, now: datetime) -> None:
    if TokenFamily.objects.filter(pk=family.pk, revoked_at=None).update(revoked_at=now, revoked_why=why):
        audit.record(
            actor=audit.person(family.user), verb=f"sign_in.{why}", target=family.user, at=now
        )  # a stolen token is news for whoever reads the journal


def _pair(refresh: RefreshToken, family: TokenFamily) -> dict[str, str]:
    access = AccessToken()
    for token in (refresh, access):
        token[FAMILY], token[PROOF] = family.pk.hex, _proof(family.user)
    return {"access": str(access), "refresh": str(refresh)}


def _proof(user: Any) -> str:
    return user.get_session_auth_hash()[:32]
