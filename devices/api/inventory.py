"""Sites, devices and power links."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from devices.api.moves import Moves
from devices.api.photos import Photos
from devices.models import Device, DeviceModel, PowerLink, Site
from devices.services import create_device, link_power, remove_device, unlink_power
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.bulk import InBulk
from platforms.api.errors import Conflict, Invalid
from platforms.api.serializers import LabelsField, PlatformSerializer, WeekField, WholeNumberField
from platforms.models import Platform
from remosa.lib.clock import utcnow

# --- sites ---------------------------------------------------------------------------------------


class SiteSerializer(PlatformSerializer):
    """A place where devices stand."""

    phone_fields = ("contact_phone",)
    redacted_fields = ("notes",)
    broadcast_hours = WeekField(required=False)

    class Meta:
        model = Site
        fields = [
            "id", "platform", "name", "address", "time_zone", "outer_ip", "broadcast_hours", "contact_name",
            "contact_phone", "notes",
        ]  # fmt: skip


class SitesView(Photos, InBulk, Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Places where devices stand."""

    model = Site
    serializer_class = SiteSerializer
    filterset_fields = {"platform": ["exact"]}
    search_fields = ("name", "address")
    ordering_fields = ("name",)
    ordering = ("name", "pk")


# --- devices -------------------------------------------------------------------------------------


class DeviceSerializer(PlatformSerializer):
    """A device. What is observed (state, facts) is never written here."""

    create_only = ("platform", "kind")
    phone_fields = ("msisdn",)
    redacted_fields = ("facts", "notes", "sim_iccid", "sim_account")
    model = serializers.SlugRelatedField(
        slug_field="code", queryset=DeviceModel.objects.all(), required=False, allow_null=True
    )
    labels = LabelsField(required=False)

    class Meta:
        model = Device
        fields = [
            "id", "uid", "platform", "site", "kind", "name", "mac", "external_id", "msisdn", "model", "owner",
            "is_active", "state", "state_since", "observed_at", "state_source", "facts", "labels", "notes",
            "heard_at", "sim_operator", "sim_iccid", "sim_account", "sim_balance", "sim_balance_on", "sim_paid_until",
            "sim_monthly_status", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "uid", "owner", "is_active", "state", "state_since", "observed_at", "state_source", "facts", "heard_at",
            "created_at",
        ]  # fmt: skip


class DevicesView(Moves, Photos, InBulk, Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Players, sockets, sensors, agents. DELETE takes a device out of service; its history stays."""

    model = Device
    serializer_class = DeviceSerializer
    related = ("model",)
    filterset_fields = {
        "platform": ["exact"], "site": ["exact"], "kind": ["exact", "in"], "state": ["exact", "in"],
        "is_active": ["exact"], "mac": ["iexact"], "external_id": ["exact"],
    }  # fmt: skip
    search_fields = ("name", "mac", "external_id")
    ordering_fields = ("name", "state", "state_since", "observed_at", "created_at")
    ordering = ("name", "pk")

    def visible(self) -> QuerySet[Device]:
        return super().visible().with_observed_at()

    def create_row(self, values: dict[str, Any]) -> Device:
        platform = values.pop("platform")
        return create_device(
            platform=platform, by=self.request.user, device=Device(platform=platform, **values)
        )

    def change_row(self, row: Device, values: dict[str, Any]) -> Device:
        if not row.is_active:
            raise Conflict(_("This device is out of service. Create it anew."))
        return super().change_row(row, values)

    def delete_row(self, row: Device) -> None:
        remove_device(row, by=self.request.user)


# --- what powers what ----------------------------------------------------------------------------


class PowerLinkSerializer(PlatformSerializer):
    """``device`` is powered by output ``line`` of ``socket``."""

    line = WholeNumberField(min_value=1, max_value=64, default=1)

    class Meta:
        model = PowerLink
        fields = ["id", "device", "socket", "line", "valid_from", "valid_to"]
        read_only_fields = ["valid_from", "valid_to"]


class PowerLinksView(Reads, Creates, Deletes, PlatformViewSet):
    """What powers what. POST replaces the device's open link; DELETE closes it with today's date."""

    model = PowerLink
    serializer_class = PowerLinkSerializer
    related = ("device__platform", "socket")
    filterset_fields = {"device": ["exact"], "socket": ["exact"], "valid_to": ["isnull"]}
    ordering_fields = ("valid_from",)
    ordering = ("pk",)

    def platform_of(self, row: PowerLink) -> Platform:
        return row.device.platform

    def create_row(self, values: dict[str, Any]) -> PowerLink:
        device, socket = values["device"], values["socket"]
        self.require(device)
        if device.platform_id != socket.platform_id:
            sentence = _("Socket and device must be of one platform.")
            raise Invalid(sentence, {"socket": [sentence]})
        return link_power(device=device, socket=socket, line=values["line"], by=self.request.user)

    def delete_row(self, row: PowerLink) -> None:
        if row.valid_to is not None or not unlink_power(row.device, by=self.request.user, now=utcnow()):
            raise Conflict(_("This link is closed already."))
