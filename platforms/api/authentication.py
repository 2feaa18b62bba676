"""API tokens as a way to sign in: ``Bearer rms_…``, ``Token rms_…``, bare, or ``X-API-Key``."""

from typing import Any

from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from platforms import tokens
from platforms.models import ApiToken, User
from remosa.lib.clock import utcnow


class ApiTokenAuthentication(BaseAuthentication):
    """A person's own token acts with that person's rights, narrowed by its scopes.

    A machine's token (bound to a platform, without a person) is only good for the machine endpoints,
    which look it up themselves.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = get_authorization_header(request).decode("latin-1")
        text = request.headers.get("X-API-Key", "") or tokens.from_header(header)
        if not text.startswith("rms_"):
            return None
        now = utcnow()
        for scope in ("read", "command"):
            row = tokens.find(text, scope=scope, now=now)
            if row is not None and row.user is not None:
                return row.user, row
        raise exceptions.AuthenticationFailed("This token is wrong, expired, revoked or not for this use.")

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"
