"""The base of every resource with tenant data: it lists, opens, changes and offers only what the caller may.

What is foreign gets the answer of what is missing (404, or 400 inside a body); what may be read but
not changed is refused openly (403). Views check shapes and rights; services check meaning.
"""

from datetime import UTC
from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from rest_framework import mixins, serializers, viewsets
from rest_framework.filters import OrderingFilter, SearchFilter

from platforms.access import require
from platforms.api import idempotency, writing
from platforms.api.filters import KnownParameters, ScopedFilterBackend
from platforms.api.permissions import HoldsPerm, SignedIn
from platforms.api.scope import visible_rows
from platforms.models import Platform
from platforms.roles import Perm


class InUtc:
    """Times are read and shown in UTC, whatever the caller's own time zone is in the console."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with timezone.override(UTC):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]


class PlatformViewSet(InUtc, viewsets.GenericViewSet):
    """Rows of ``model`` through ``visible_to``. The only base for tenant data.

    ``write_perm`` is asked on the row's platform before anything changes; ``perms`` says otherwise for
    single actions. ``write_scope`` is the scope with which a person's token may write; None: never.
    """

    model: ClassVar[type[models.Model]]
    write_perm: ClassVar[str] = Perm.MANAGE_DEVICES
    perms: ClassVar[dict[str, str]] = {}
    write_scope: ClassVar[str | None] = None
    related: ClassVar[tuple[str, ...]] = ()  # select_related
    prefetched: ClassVar[tuple[str, ...]] = ()  # prefetch_related
    permission_classes = [SignedIn, HoldsPerm]
    filter_backends = [KnownParameters, ScopedFilterBackend, SearchFilter, OrderingFilter]
    search_fields: ClassVar[tuple[str, ...]] = ()
    ordering_fields: ClassVar[tuple[str, ...]] = ()
    ordering: ClassVar[tuple[str, ...]] = ("pk",)
    listing: ClassVar[tuple[str, ...]] = ("list",)  # the actions that answer with several rows
    own_keys: ClassVar[tuple[str, ...]] = ()  # POSTs that keep their Idempotency-Key on their own rows
    secret_answers: ClassVar[tuple[str, ...]] = ()  # POSTs whose answer is shown once and kept nowhere
    extra_parameters: ClassVar[dict[str, tuple[str, ...]]] = {}  # of an action, besides the list's own

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Who, whether and how often, as everywhere; then a POST with a key is answered once."""
        super().initial(request, *args, **kwargs)
        if idempotency.is_asked(self, request):
            self.post: Any = partial(idempotency.answer_once, self, self.post)

    def perm_needed(self) -> str:
        """The permission of the running action."""
        return self.perms.get(self.action, self.write_perm)

    def get_queryset(self) -> models.QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return self.model._default_manager.none()
        return self.visible().select_related(*self.related).prefetch_related(*self.prefetched)

    def filter_queryset(self, queryset: models.QuerySet) -> models.QuerySet:
        """Filters are for lists; a single row is found by its number alone."""
        return super().filter_queryset(queryset) if self.action in self.listing else queryset

    def visible(self) -> models.QuerySet:
        """The rows that the caller may read."""
        return visible_rows(self.model, self.request)

    def may_change(self, row: models.Model) -> bool:
        """Whether the caller may do the running action to a row that they see."""
        rows = type(row)._default_manager.visible_to(self.request.user, self.perm_needed())
        return rows.filter(pk=row.pk).exists()

    def require(self, row: models.Model) -> None:
        """The running action's permission on the platform of ``row``, which a body named."""
        require(self.request.user, self.perm_needed(), row)

    def platform_of(self, row: models.Model) -> Platform | None:
        """Where the audit writes about ``row``."""
        return row.platform


class Creates(mixins.CreateModelMixin):
    """POST: ``create_row`` may be a service; the answer shows the row as it was stored."""

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        values = dict(serializer.validated_data)
        if isinstance(values.get("platform"), Platform):
            self.require(values["platform"])
        serializer.instance = self.create_row(values)

    def create_row(self, values: dict[str, Any]) -> models.Model:
        columns, many = writing.split(self.model, values)
        row = self.model(**columns)
        writing.create(row, by=self.request.user, platform=self.platform_of(row), many=many)
        return row


class Changes(mixins.UpdateModelMixin):
    """PUT and PATCH: ``change_row`` may be a service."""

    def perform_update(self, serializer: serializers.BaseSerializer) -> None:
        serializer.instance = self.change_row(serializer.instance, dict(serializer.validated_data))

    def change_row(self, row: models.Model, values: dict[str, Any]) -> models.Model:
        return writing.change(row, values, by=self.request.user, platform=self.platform_of(row))


class Deletes(mixins.DestroyModelMixin):
    """DELETE: ``delete_row`` may be a service. ``goes_along``: kinds of rows that live and die with this one."""

    goes_along: ClassVar[tuple[type[models.Model], ...]] = ()

    def perform_destroy(self, row: models.Model) -> None:
        self.delete_row(row)

    def delete_row(self, row: models.Model) -> None:
        writing.delete(row, by=self.request.user, platform=self.platform_of(row), along=self.goes_along)


class Reads(mixins.ListModelMixin, mixins.RetrieveModelMixin):
    """GET of the list and of one row."""
