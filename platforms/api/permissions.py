"""Permissions of the API. The default denies everything: each view says who may."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from platforms.api.scope import platforms_held
from platforms.console.confirmation import is_fresh
from platforms.models import ApiToken
from remosa.lib.clock import utcnow


class DenyAll(BasePermission):
    """The default of every view that does not choose."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return False


class ConfirmAgain(exceptions.PermissionDenied):
    """403: a browser's session that is some time old says who it is before it acts."""

    default_code = "confirm_again"


class SignedIn(BasePermission):
    """People, and tokens with a scope that fits: ``read`` for safe methods, the view's ``write_scope`` for others."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiToken):
            wanted = "read" if request.method in SAFE_METHODS else getattr(view, "write_scope", None)
            return wanted is not None and wanted in request.auth.scopes
        if not request.user or not request.user.is_authenticated:
            return False
        by_session = isinstance(request.successful_authenticator, SessionAuthentication)
        if by_session and request.method not in SAFE_METHODS and not is_fresh(request, now=utcnow()):
            raise ConfirmAgain(
                _("This session is some time old. Open /admin/confirm/, say who you are, and repeat.")
            )
        return True


class HoldsPerm(BasePermission):
    """Whoever changes something holds the view's permission for it: somewhere at all, then on this very object.

    The object was found through ``visible_to`` before, so a refusal here (403) tells nothing that the
    caller could not read anyway.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS or view.action is None:  # None: 405 is the better answer
            return True
        if getattr(request.user, "is_superuser", False):  # who makes the first platform is on none
            return True
        return bool(platforms_held(request, view.perm_needed()))

    def has_object_permission(self, request: Request, view: Any, row: Any) -> bool:
        if request.method in SAFE_METHODS:
            return True
        return view.may_change(row)
