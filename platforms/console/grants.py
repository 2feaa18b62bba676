"""What the person of one request may do, read once per request and kept no longer.

The tables are asked anew by the next request, so that a right that was taken away is gone at once.
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from platforms.models import Membership, Platform, User
from platforms.querysets import held_by
from platforms.roles import RANK, Perm


class Grants:
    """The rights of one person; every answer is False for a stranger."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.is_superadmin = bool(user.is_authenticated and user.is_active and user.is_superuser)
        self._held = held_by(user)
        self._visible: dict[tuple[str, Any, str], bool] = {}
        self._roles: dict[int, str] | None = None

    def platforms(self, perm: str = Perm.VIEW) -> frozenset[int]:
        """The numbers of the platforms on which the person holds ``perm``."""
        return self._held(perm)

    def anywhere(self, perm: str) -> bool:
        """Whether the person holds ``perm`` on any platform."""
        return self.is_superadmin or bool(self.platforms(perm))

    def holds(self, perm: str, platform_id: int | None) -> bool:
        """Whether the person holds ``perm`` on this platform; what has no platform is the superadmin's."""
        if self.is_superadmin:
            return True
        return platform_id is not None and platform_id in self.platforms(perm)

    def sees(self, row: Any, perm: str = Perm.VIEW) -> bool:
        """Whether the stored row lies within the person's walls, asked once per row and request."""
        if self.is_superadmin:
            return True
        key = (row._meta.label_lower, row.pk, perm)
        if key not in self._visible:
            rows = type(row)._default_manager.visible_to(self.user, perm, held=self.platforms)
            self._visible[key] = rows.filter(pk=row.pk).exists()
        return self._visible[key]

    def role_on(self, platform_id: int) -> str | None:
        """The role on one platform: a Role, ``"superadmin"``, or None."""
        if self.is_superadmin:
            return "superadmin"
        if self._roles is None:
            own = Membership.objects.filter(user=self.user.pk) if self.user.is_authenticated else None
            self._roles = dict(own.values_list("platform", "role")) if own is not None else {}
        return self._roles.get(platform_id)

    def rank_on(self, platform_id: int) -> int:
        """The rank of the role on one platform; -1 for a stranger."""
        role = self.role_on(platform_id)
        return RANK[role] if role is not None else -1

    def people(self) -> QuerySet[User]:
        """The people whom this person may choose: members of the own platforms and owners of their devices."""
        if self.is_superadmin:
            return User.objects.all()
        own = Platform.objects.filter(pk__in=self.platforms(Perm.VIEW)).values("pk")
        members = Membership.objects.filter(platform__in=own).values("user")
        owners = User.objects.filter(owned_devices__platform__in=own).values("pk")
        return User.objects.filter(pk__in=members) | User.objects.filter(pk__in=owners)


def grants_of(request: HttpRequest) -> Grants:
    """The grants of the request's person, made once per request."""
    found = getattr(request, "_console_grants", None)
    if found is None or found.user is not request.user:
        found = Grants(request.user)
        request._console_grants = found  # type: ignore[attr-defined]
    return found
