"""Filters, search and ordering by allow-lists; what a list does not know is an error, not ignored."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import django_filters
from django.db import models
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework import exceptions, filters
from rest_framework.request import Request

from platforms.api.scope import visible_rows

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
ALWAYS_KNOWN = frozenset({"page", "page_size", "format"})


class MomentFilter(django_filters.IsoDateTimeFilter):
    """A time that every database can compare."""

    def filter(self, rows: models.QuerySet, value: datetime | None) -> models.QuerySet:
        if value is not None and not EARLIEST <= value <= LATEST:
            raise exceptions.ValidationError({self._name: [_("This time is out of range.")]})
        return super().filter(rows, value)

    @property
    def _name(self) -> str:
        return f"{self.field_name}__{self.lookup_expr}"


class ScopedFilterSet(FilterSet):
    """Related objects in filters are the caller's own: a foreign number is as wrong as one that never was."""

    FILTER_DEFAULTS = {**FilterSet.FILTER_DEFAULTS, models.DateTimeField: {"filter_class": MomentFilter}}

    @classmethod
    def filter_for_lookup(cls, field: models.Field, lookup_type: str) -> tuple[Any, dict[str, Any]]:
        if isinstance(field, models.ForeignKey) and lookup_type == "exact":
            related = field.remote_field.model
            return django_filters.ModelChoiceFilter, {"queryset": partial(visible_rows, related)}
        return super().filter_for_lookup(field, lookup_type)


class ScopedFilterBackend(DjangoFilterBackend):
    """``filterset_fields`` of the view, on the scoped base."""

    filterset_base = ScopedFilterSet

    def filter_queryset(self, request: Request, queryset: models.QuerySet, view: Any) -> models.QuerySet:
        if not request.query_params:  # choices of related objects cost a query each
            return queryset
        return super().filter_queryset(request, queryset, view)


class KnownParameters(filters.BaseFilterBackend):
    """Refuse a query parameter or an ordering that this list does not have."""

    def filter_queryset(self, request: Request, queryset: models.QuerySet, view: Any) -> models.QuerySet:
        if not request.query_params:
            return queryset
        filters_of = self.filters_of(view, queryset)
        yes_no = {
            name for name, found in filters_of.items() if isinstance(found, django_filters.BooleanFilter)
        }
        known = ALWAYS_KNOWN | set(filters_of)
        known |= set(getattr(view, "extra_parameters", {}).get(getattr(view, "action", None), ()))
        known |= {"search"} if view.search_fields else set()
        known |= {"ordering"} if view.ordering_fields else set()
        if unknown := sorted(set(request.query_params) - known):
            sentence = _("Unknown parameter. Known: %(known)s.") % {"known": ", ".join(sorted(known))}
            raise exceptions.ValidationError({name: [sentence] for name in unknown})
        for name in yes_no & set(request.query_params):
            if request.query_params[name].lower() not in ("true", "false", ""):
                raise exceptions.ValidationError({name: [_("Write true or false.")]})
        for term in request.query_params.get("ordering", "").split(","):
            if term and term.strip().lstrip("-") not in view.ordering_fields:
                choices = ", ".join(view.ordering_fields)
                sentence = _("The list can be ordered by: %(choices)s.") % {"choices": choices}
                raise exceptions.ValidationError({"ordering": [sentence]})
        return queryset

    @staticmethod
    def filters_of(view: Any, queryset: models.QuerySet) -> dict[str, django_filters.Filter]:
        """The filters of ``view``, by parameter."""
        filterset = ScopedFilterBackend().get_filterset_class(view, queryset)
        return dict(filterset.base_filters) if filterset else {}
