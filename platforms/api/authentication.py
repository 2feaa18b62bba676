"""API tokens as a way to sign in: ``Bearer rms_…``, ``Token rms_…``, bare, or ``X-API-Key``."""

from dataclasses import dataclass
from typing import Any, NoReturn

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import Token

from platforms import audit, jwt, tokens
from platforms.models import ApiToken, User
from platforms.models.tokens import Scope
from remosa.lib.clock import utcnow


@dataclass(frozen=True)
class Machine:
    """A program that acts for a platform, not for a person. It is nobody's member and sees nothing by itself."""

    pk: str
    is_authenticated = True
    is_active = True
    is_superuser = False
    is_staff = False


def token_text(request: Request) -> str:
    """The token in the request's headers; "" when there is none of ours."""
    text = tokens.from_request(request.headers)
    return text if text.startswith("rms_") else ""


def refuse() -> NoReturn:
    """The same answer for every token that is not good here."""
    raise exceptions.AuthenticationFailed(_("This token is wrong, expired, revoked or not for this use."))


class ApiTokenAuthentication(BaseAuthentication):
    """A person's own token acts with that person's rights, narrowed by its scopes.

    A machine's token (bound to a platform, without a person) is only good for the machine endpoints,
    which name the scope that they take (``machine_scope``).
    """

    machine_scope = ""

    def authenticate(self, request: Request) -> tuple[User | Machine, ApiToken] | None:
        text = token_text(request)
        if not text:
            return None
        now = utcnow()
        for scope in ("read", "command"):
            row = tokens.find(text, scope=scope, now=now)
            if row is not None and row.user is not None and row.platform_id is None:
                audit.acts_through(row)
                return row.user, row
        if self.machine_scope:
            row = tokens.find(text, scope=self.machine_scope, now=now)
            if row is not None and row.platform_id is not None and row.user_id is None:
                return Machine(pk=f"token-{row.pk}"), row
        refuse()

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class EdgeTokenAuthentication(ApiTokenAuthentication):
    """Also a platform's token of an edge exporter."""

    machine_scope = Scope.EDGE


class FamilyAuthentication(JWTAuthentication):
    """A JWT whose family and person are asked at each use: what was revoked a moment ago is refused now."""

    def get_validated_token(self, raw_token: bytes) -> Token:
        try:
            return super().get_validated_token(raw_token)
        except InvalidToken as exc:
            raise exceptions.AuthenticationFailed(_("This token is wrong, expired or revoked.")) from exc

    def get_user(self, validated_token: Token) -> User:
        user = jwt.person_of(validated_token)
        if user is None:
            raise exceptions.AuthenticationFailed(_("This token is wrong, expired or revoked."))
        return user


class FamilyScheme(OpenApiAuthenticationExtension):
    """How the schema names JWTs."""

    target_class = "platforms.api.authentication.FamilyAuthentication"
    name = "jwtAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiTokenScheme(OpenApiAuthenticationExtension):
    """How the schema names our tokens."""

    target_class = "platforms.api.authentication.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "rms_…"}


class EdgeTokenScheme(ApiTokenScheme):
    """A platform's token of an edge exporter."""

    target_class = "platforms.api.authentication.EdgeTokenAuthentication"
    name = "edgeToken"
