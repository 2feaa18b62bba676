"""The REST resource of the devices that the connected Prometheus knows."""

from functools import partial
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from django_filters import ModelChoiceFilter
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from automation.errors import PrometheusUnavailable
from automation.prometheus_devices import STATES, SeenDevice, narrowed, ordered, seen_devices
from exporters.metric_catalogue import metric_of
from exporters.models import Exporter, ExporterTarget
from platforms.api.base import PlatformViewSet
from platforms.api.errors import Conflict, Invalid
from platforms.api.filters import ScopedFilterSet
from platforms.api.scope import visible_rows
from platforms.models import Platform
from remosa.lib.clock import utcnow


class ValueSerializer(serializers.Serializer):
    """One current value; ``title`` and ``unit`` are for people."""

    metric = serializers.CharField()
    title = serializers.CharField()
    unit = serializers.CharField()
    value = serializers.FloatField()


class SeenDeviceSerializer(serializers.Serializer):
    """A device with its labels and values in Prometheus. ``absent``: there is no status series, which says nothing."""

    platform_id = serializers.IntegerField(source="target.exporter.platform_id")
    exporter_id = serializers.IntegerField(source="target.exporter_id")
    device = serializers.IntegerField(source="target.device_id")
    name = serializers.CharField(source="target.device.name")
    external_id = serializers.CharField(source="target.external_id")
    state = serializers.ChoiceField(choices=STATES)
    labels = serializers.DictField(child=serializers.CharField())
    values = serializers.SerializerMethodField()

    @extend_schema(responses=ValueSerializer(many=True))
    def get_values(self, device: SeenDevice) -> list[dict[str, Any]]:
        """Every series of the device but its info."""
        metrics = [(metric_of(name), value) for name, value in sorted(device.values.items())]
        return [
            {"metric": metric.name, "title": str(metric.title), "unit": str(metric.unit), "value": value}
            for metric, value in metrics
        ]


class SeenFilter(ScopedFilterSet):
    """By platform, by exporter."""

    platform = ModelChoiceFilter(field_name="exporter__platform", queryset=partial(visible_rows, Platform))
    exporter = ModelChoiceFilter(queryset=partial(visible_rows, Exporter))

    class Meta:
        model = ExporterTarget
        fields: ClassVar[list[str]] = []


class PrometheusDevicesView(PlatformViewSet):
    """Devices as the connected Prometheus knows them now."""

    model = ExporterTarget
    serializer_class = SeenDeviceSerializer
    filterset_class = SeenFilter
    ordering = ("exporter", "external_id", "pk")
    extra_parameters: ClassVar[dict[str, tuple[str, ...]]] = {"list": ("search", "state", "sort")}

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "search", OpenApiTypes.STR, description="words in the id, the name or the labels"
            ),
            OpenApiParameter("state", OpenApiTypes.STR, enum=STATES),
            OpenApiParameter(
                "sort",
                OpenApiTypes.STR,
                description="name, id, state or a metric; “-” turns it round",
            ),
        ],
        responses={200: SeenDeviceSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        """All of them, page by page. 409 while Prometheus does not answer: that is no empty list."""
        state = request.query_params.get("state", "")
        if state and state not in STATES:
            raise Invalid(_("There is no such state."), {"state": [", ".join(STATES)]})
        targets = self.filter_queryset(self.get_queryset())
        try:
            devices = seen_devices(targets, now=utcnow())
        except PrometheusUnavailable as exc:
            raise Conflict(str(exc)) from exc
        found = narrowed(devices, search=request.query_params.get("search", "")[:200], state=state)
        page = self.paginate_queryset(ordered(found, request.query_params.get("sort", "name")[:200]))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
