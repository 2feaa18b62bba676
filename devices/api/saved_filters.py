"""The caller's own kept filters of the list of devices."""

from typing import Any

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from devices.models import SavedFilter
from devices.services.saved_filters import TooManyFilters, keep_filter, tidy
from platforms.api.base import InUtc
from platforms.api.errors import Invalid
from platforms.api.filters import KnownParameters
from platforms.api.permissions import SignedIn
from platforms.api.serializers import PlainCharField
from platforms.models import User
from remosa.lib.clock import utcnow


class IsPerson(BasePermission):
    """A person, by whatever they signed in with: a machine keeps nothing for itself."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User)


class SavedFilterSerializer(serializers.ModelSerializer):
    """``query`` is what the address of the list of devices has after the “?”; ``url`` is that list."""

    name = PlainCharField(max_length=60)
    query = PlainCharField(max_length=1000)
    url = serializers.SerializerMethodField()

    class Meta:
        model = SavedFilter
        fields = ["id", "name", "query", "url", "created_at"]
        read_only_fields = ["created_at"]

    @extend_schema_field(str)
    def get_url(self, row: SavedFilter) -> str:
        return f"{reverse('admin:devices_device_changelist')}?{row.query}"

    def validate_query(self, query: str) -> str:
        if not (kept := tidy(query)):
            raise serializers.ValidationError(_("This filters nothing."))
        return kept


class SavedFiltersView(
    InUtc,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet,
):
    """Filters that the caller keeps; nobody else sees them. The same name again takes the place of the old one."""

    queryset = SavedFilter.objects.order_by("name")
    serializer_class = SavedFilterSerializer
    permission_classes = [SignedIn, IsPerson]
    filter_backends = [KnownParameters]
    search_fields = ordering_fields = ()

    def get_queryset(self) -> models.QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return SavedFilter.objects.none()
        return super().get_queryset().filter(user=self.request.user)

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        given = serializer.validated_data
        try:
            serializer.instance = keep_filter(
                user=self.request.user, name=given["name"], query=given["query"], now=utcnow()
            )
        except TooManyFilters as exc:
            raise Invalid(str(exc), {"name": [str(exc)]}) from exc
