"""How often somebody may call: each kind of call has a rate of its own (``settings.RATES``), so that a script that
reads too much cannot keep a person from acting. A token is a caller of its own."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from platforms.api.authentication import Machine
from platforms.models import ApiToken


class CallerThrottle(SimpleRateThrottle):
    """Counts the calls of ``scope`` by each signed-in caller."""

    def applies_to(self, request: Request, view: Any) -> bool:
        """Whether this call is of the kind that is counted here."""
        raise NotImplementedError

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not (request.user and request.user.is_authenticated and self.applies_to(request, view)):
            return None
        is_token = isinstance(request.auth, ApiToken)
        ident = f"token-{request.auth.pk}" if is_token else f"person-{request.user.pk}"
        return self.cache_format % {"scope": self.scope, "ident": ident}


class ReadingThrottle(CallerThrottle):
    scope = "read"

    def applies_to(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS and not isinstance(request.user, Machine)


class WritingThrottle(CallerThrottle):
    scope = "write"

    def applies_to(self, request: Request, view: Any) -> bool:
        return request.method not in SAFE_METHODS


class CommandThrottle(CallerThrottle):
    """What acts in the world: commands, cases, stops."""

    scope = "command"

    def applies_to(self, request: Request, view: Any) -> bool:
        return request.method not in SAFE_METHODS and getattr(view, "write_scope", None) == "command"


class EdgeThrottle(CallerThrottle):
    """Edge exporters, which read their list."""

    scope = "edge"

    def applies_to(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, Machine)
