"""Which rows a caller may name or read: a person through ``visible_to``, a machine within its own platform."""

from functools import partial

from django.db import models
from rest_framework.request import Request

from platforms.api.authentication import Machine
from platforms.querysets import held_by
from platforms.roles import Perm


def visible_rows(model: type[models.Model], request: Request | None) -> models.QuerySet:
    """The rows of a tenant model that the caller may see; none without a caller."""
    if request is None:
        return model._default_manager.none()
    if isinstance(request.user, Machine):
        return model._default_manager.of(request.auth.platform_id)
    return model._default_manager.visible_to(request.user, held=partial(platforms_held, request))


def platforms_held(request: Request | None, perm: str) -> frozenset[int]:
    """The platforms on which the caller holds ``perm``; read once per request, for many rows. No machine holds any."""
    if request is None or isinstance(request.user, Machine):
        return frozenset()
    if "_held" not in request.__dict__:
        request.__dict__["_held"] = held_by(request.user)
    return request.__dict__["_held"](perm)


def reads_phones(request: Request | None, platform_id: int | None) -> bool:
    """Whether the caller reads phone numbers of this platform in full: where they may act, not only look."""
    is_superadmin = bool(request is not None and request.user and request.user.is_superuser)
    return is_superadmin or platform_id in platforms_held(request, Perm.CONTROL)
