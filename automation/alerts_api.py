"""REST resources of incoming alerts: the alerts, and who sends them."""

from typing import Any

from django.db import models, transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automation.models import Alert, AlertChange, AlertDelivery, AlertMapping, AlertSource, RejectedAlert
from automation.services.sources import configs_of, create_source, set_mappings
from devices.models import Device
from platforms.api import writing
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.serializers import LabelsField, PlainCharField, PlatformSerializer, VisibleRelatedField

MAX_MAPPINGS = 100


class AlertChangeSerializer(serializers.ModelSerializer):
    """A state that the alert reached."""

    class Meta:
        model = AlertChange
        fields = ["state", "at"]
        read_only_fields = fields


class AlertSerializer(PlatformSerializer):
    """One episode of one alert. ``signal`` says why its sender does not know; "" when it measured something."""

    redacted_fields = ("name", "summary", "labels", "annotations")
    labels = serializers.JSONField(read_only=True)
    annotations = serializers.JSONField(read_only=True)
    changes = AlertChangeSerializer(many=True, read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id", "platform", "source", "name", "summary", "state", "signal", "device", "unmapped", "fingerprint",
            "labels", "annotations", "link", "starts_at", "ends_at", "first_received_at", "received_at", "times",
            "changes",
        ]  # fmt: skip
        read_only_fields = fields


class AlertsView(Reads, PlatformViewSet):
    """Alerts that came in, with their history. ``unmapped`` other than "" and "not_needed": in quarantine."""

    model = Alert
    serializer_class = AlertSerializer
    prefetched = ("changes",)
    filterset_fields = {
        "platform": ["exact"], "source": ["exact"], "device": ["exact", "isnull"], "state": ["exact", "in"],
        "signal": ["exact"], "unmapped": ["exact", "in"], "fingerprint": ["exact"], "starts_at": ["gte", "lte"],
    }  # fmt: skip
    search_fields = ("name", "summary")
    ordering_fields = ("starts_at", "received_at")
    ordering = ("-starts_at", "-pk")


class MappingSerializer(serializers.ModelSerializer):
    """One rule, tried in the order of the list."""

    only = LabelsField(required=False)
    template = PlainCharField(required=False, allow_blank=True, max_length=200)
    device = VisibleRelatedField(queryset=Device.objects.all(), required=False, allow_null=True)

    class Meta:
        model = AlertMapping
        fields = ["by", "template", "only", "device"]


class MappingsField(serializers.ListField):
    """The mappings of a source in their order; written as a whole."""

    child = MappingSerializer()

    def to_representation(self, data: Any) -> list[Any]:
        shown: list[Any] = super().to_representation(data.all())
        return shown


class AlertSourceSerializer(PlatformSerializer):
    """Who may post alerts, to ``url``. Its secret is written and never read."""

    url = serializers.CharField(read_only=True)
    mappings = MappingsField(required=False, max_length=MAX_MAPPINGS)

    class Meta:
        model = AlertSource
        fields = [
            "id", "platform", "name", "kind", "auth", "username", "secret", "signature_header", "timestamp_header",
            "is_enabled", "url", "mappings", "refused_at", "refused_why", "created_at",
        ]  # fmt: skip
        read_only_fields = ["refused_at", "refused_why", "created_at"]
        extra_kwargs = {"secret": {"write_only": True, "min_length": 16, "max_length": 500}}


class ConfigSerializer(serializers.Serializer):
    """A file for the other end, with a placeholder for the secret."""

    where = serializers.CharField()
    text = serializers.CharField()


class AlertSourcesView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Grafana, Alertmanager or Prometheus that post alerts. ``mappings`` are replaced as a whole."""

    model = AlertSource
    serializer_class = AlertSourceSerializer
    related = ("platform",)
    prefetched = ("mappings",)
    filterset_fields = {"platform": ["exact"], "kind": ["exact"], "is_enabled": ["exact"]}
    search_fields = ("name",)
    ordering_fields = ("name", "created_at")
    ordering = ("platform", "name", "pk")
    goes_along = (Alert, AlertChange, AlertDelivery, AlertMapping, RejectedAlert)

    def create_row(self, values: dict[str, Any]) -> AlertSource:
        mappings = values.pop("mappings", None)
        with transaction.atomic():
            row = create_source(AlertSource(**values), by=self.request.user)
            if mappings is not None:
                set_mappings(row, mappings, by=self.request.user)
        return row

    def change_row(self, row: models.Model, values: dict[str, Any]) -> models.Model:
        mappings = values.pop("mappings", None)
        with transaction.atomic():
            writing.change(row, values, by=self.request.user, platform=self.platform_of(row))
            changed = AlertSource.objects.get(pk=row.pk)
            if mappings is not None:
                set_mappings(changed, mappings, by=self.request.user)
        return changed

    @extend_schema(responses={200: ConfigSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None)
    def config(self, request: Request, pk: str | None = None) -> Response:
        """What to paste at the other end; write the secret where ``<secret>`` stands."""
        return Response(ConfigSerializer(configs_of(self.get_object()), many=True).data)
