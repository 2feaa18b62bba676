"""List filters that offer only what the person may see. Django's own offer every row of the related table."""

from typing import Any

from django.contrib.admin.options import ModelAdmin
from django.db.models import Field
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from platforms.console.grants import grants_of
from platforms.models import User
from platforms.querysets import PlatformQuerySet

__all__ = ["ChoicesDropdownFilter", "ScopedRelatedFilter"]

MOST_CHOICES = 500


class ScopedRelatedFilter(RelatedDropdownFilter):
    """A filter by a related object: the choices are the rows that the related page would list.

    A related model without a page of its own offers nothing (people are those of the own platforms).
    """

    def field_choices(
        self, field: Field, request: HttpRequest, model_admin: ModelAdmin
    ) -> list[tuple[Any, str]]:
        related = field.remote_field.model
        if related is User:
            rows = grants_of(request).people()
        else:
            page = model_admin.admin_site._registry.get(related)
            if page is None:
                return []
            held = grants_of(request).platforms
            rows = related._default_manager.all()
            if isinstance(rows, PlatformQuerySet):  # the same walls as the page's list, without its columns
                rows = rows.visible_to(request.user, page.view_perm, held=held)
            elif not page.has_view_permission(request):
                return []
        rows = rows.order_by(*related._meta.ordering or ["pk"])
        return [(row.pk, str(row)) for row in rows[:MOST_CHOICES]]

    def has_output(self) -> bool:
        """A filter with one choice filters nothing."""
        return len(self.lookup_choices) > 1
