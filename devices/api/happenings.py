"""What happened to devices, and the outputs that must be on again. Read-only."""

from devices.models import DeviceEvent, Restoration
from platforms.api.base import PlatformViewSet, Reads
from platforms.api.serializers import ObjectField, PlatformSerializer


class DeviceEventSerializer(PlatformSerializer):
    """One happening: ``mains_lost``, ``alarm``, ``not_on_again`` ..."""

    redacted_fields = ("data",)
    data = ObjectField(read_only=True)

    class Meta:
        model = DeviceEvent
        fields = ["id", "platform", "device", "at", "kind", "severity", "data"]
        read_only_fields = fields


class DeviceEventsView(Reads, PlatformViewSet):
    """What devices said unasked, and what REMOSA noticed about them."""

    model = DeviceEvent
    serializer_class = DeviceEventSerializer
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "kind": ["exact"], "severity": ["exact", "in"],
        "at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("at",)
    ordering = ("-at", "-pk")


class RestorationSerializer(PlatformSerializer):
    """An output that went dark: what brings it back, and whether it is on again."""

    class Meta:
        model = Restoration
        fields = [
            "id", "platform", "device", "target", "line", "way", "minutes", "state", "state_changed_at", "outcome",
            "actor", "reason", "cause_id", "created_at", "told_at",
        ]  # fmt: skip
        read_only_fields = fields


class RestorationsView(Reads, PlatformViewSet):
    """Outputs that were switched off and must be on again, or were left off."""

    model = Restoration
    serializer_class = RestorationSerializer
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "state": ["exact", "in"], "created_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("created_at",)
    ordering = ("-created_at", "pk")
