"""Tenancy of rows, in one place: who may see which row. It fails closed."""

from collections.abc import Callable
from functools import cache
from typing import Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Q

from platforms.roles import Perm

Held = Callable[[str], frozenset[int]]  # the numbers of the platforms on which somebody holds a right


def platforms_of(user: Any, perm: str = Perm.VIEW) -> models.QuerySet:
    """The platforms on which ``user`` holds ``perm``; nobody's by default."""
    platform = apps.get_model("platforms", "Platform")
    if user is None or not user.is_authenticated or not user.is_active:
        return platform.objects.none()
    if user.is_superuser:
        return platform.objects.all()
    person, roles = (
        rows.filter(permission__codename=perm).values("content_object") for rows in _grants_of(user)
    )
    return platform.objects.filter(Q(pk__in=person) | Q(pk__in=roles), is_active=True)


def held_by(user: Any) -> Held:
    """The rights of ``user``, read in one statement at the first question; keep it no longer than a request."""
    if user is None or not user.is_authenticated or not user.is_active or user.is_superuser:
        return cache(lambda perm: frozenset(platforms_of(user, perm).values_list("pk", flat=True)))

    @cache
    def all_of_them() -> dict[str, set[int]]:
        person, roles = (
            rows.filter(content_object__is_active=True).values_list("permission__codename", "content_object")
            for rows in _grants_of(user)
        )
        found: dict[str, set[int]] = {}
        for perm, number in person.union(roles, all=True):
            found.setdefault(perm, set()).add(number)
        return found

    return lambda perm: frozenset(all_of_them().get(perm, ()))


def _grants_of(user: Any) -> tuple[models.QuerySet, models.QuerySet]:
    """guardian's own tables, the person's and their roles': get_objects_for_user says the same ten times slower."""
    person = apps.get_model("platforms", "PlatformUserObjectPermission").objects.filter(user=user.pk)
    roles = apps.get_model("platforms", "PlatformGroupObjectPermission").objects.filter(group__user=user.pk)
    return person, roles


def _walls(model: Any) -> tuple[str, tuple[str, ...]]:
    """The two declarations of a tenant model; an AttributeError here means that the model has none."""
    return model.PLATFORM_PATH, model.OWNER_PATHS


class PlatformQuerySet(models.QuerySet):
    """Rows that hang off a platform.

    The model declares two walls: ``PLATFORM_PATH`` (the lookup to its platform) and ``OWNER_PATHS``
    (lookups to the users who own or share its device, for people who do not see every device;
    ``()`` hides the model from them).
    """

    def visible_to(self, user: Any, perm: str = Perm.VIEW, *, held: Held | None = None) -> Self:
        """The rows that ``user`` may see, or those on which they hold ``perm``.

        ``held`` gives the platforms on which this very user holds a right, where the caller has read them
        already: with their numbers the database finds its way through its indexes.
        """
        if user is not None and user.is_authenticated and user.is_active and user.is_superuser:
            return self.all()
        if held is not None:
            return self._within(user, perm, held)
        path, owner_paths = _walls(self.model)
        whole = platforms_of(user, Perm.SEE_ALL)
        allowed = Q(**{f"{path}__in": whole})
        if user is not None and owner_paths:
            owned = Q()
            for owner_path in owner_paths:
                owned |= Q(**{owner_path: user.pk})
            mine = self.model._base_manager.filter(owned).values("pk")  # a subquery: no DISTINCT needed
            allowed |= Q(**{f"{path}__in": platforms_of(user)}) & Q(
                pk__in=mine
            )  # the path itself may be "pk"
        rows = self.filter(allowed)
        if perm != Perm.VIEW:
            rows = rows.filter(**{f"{path}__in": platforms_of(user, perm)})
        return rows

    def _within(self, user: Any, perm: str, held: Held) -> Self:
        path, owner_paths = _walls(self.model)
        whole = held(Perm.SEE_ALL)
        allowed = Q(**{f"{path}__in": whole})
        partly = held(Perm.VIEW) - whole
        if owner_paths and partly:
            owned = Q()
            for owner_path in owner_paths:
                owned |= Q(**{owner_path: user.pk})
            mine = self.model._base_manager.filter(owned).values("pk")
            allowed |= Q(**{f"{path}__in": partly}) & Q(pk__in=mine)
        rows = self.filter(allowed)
        return rows if perm == Perm.VIEW else rows.filter(**{f"{path}__in": held(perm)})

    def of(self, platform: Any) -> Self:
        """The rows of one platform; for code that runs for a platform, not for a person."""
        path, _owner_paths = _walls(self.model)
        return self.filter(**{path: platform})
