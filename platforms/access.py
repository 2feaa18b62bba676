"""Who may: the one question that every view, form, task and bot asks before it acts.

No right to read looks like a missing object (404); a right to read without the right asked for is
refused openly (403).
"""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _

from platforms.models import Membership, Platform
from platforms.querysets import PlatformQuerySet, platforms_of
from platforms.roles import GRANTS, Perm

__all__ = ["PlatformQuerySet", "may", "platforms_of", "require", "role_of"]


def may(user: Any, perm: str, platform: Platform | int | None) -> bool:
    """Whether ``user`` holds ``perm`` on ``platform`` now; read anew from the tables each time."""
    if platform is None or user is None or not user.is_authenticated or not user.is_active:
        return False
    key = platform.pk if isinstance(platform, Platform) else platform
    return platforms_of(user, perm).filter(pk=key).exists()


def require(user: Any, perm: str, obj: Any) -> None:
    """Let pass who sees ``obj`` and holds ``perm`` on its platform; Http404 or PermissionDenied otherwise."""
    visible = type(obj)._default_manager.visible_to(user).filter(pk=obj.pk).exists()
    if not visible:
        raise Http404
    if perm != Perm.VIEW and not type(obj)._default_manager.visible_to(user, perm).filter(pk=obj.pk).exists():
        raise PermissionDenied(_("Your role on this platform does not allow this."))


def role_of(user: Any, platform: Platform) -> str | None:
    """The role of ``user`` on ``platform``: a Role, ``"superadmin"``, or None."""
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    if user.is_superuser:
        return "superadmin"
    membership = Membership.objects.filter(user=user, platform=platform).first()
    return membership.role if membership else None


def role_grants(role: str) -> frozenset[str]:
    """The permissions of a role; none for an unknown one."""
    return GRANTS.get(role, frozenset())
