"""Who sees or controls a single device besides those whose role covers it."""

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers

from devices.models import Device, DeviceShare
from devices.services import change_share, end_share, may_share, share_device
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.serializers import PlatformSerializer
from platforms.api.views import PeopleField
from platforms.models import Platform, User
from platforms.roles import Perm


class ShareSerializer(PlatformSerializer):
    """One person's grant on one device."""

    create_only = ("device", "user")
    user = PeopleField(queryset=User.objects.all())
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = DeviceShare
        fields = ["id", "device", "user", "username", "level", "notifications"]


class SharesView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Shares of single devices: ``admin`` may control, ``viewer`` may look, ``owner`` also changes shares.

    Whoever has a share may end it, and choose whether to get notices.
    """

    model = DeviceShare
    serializer_class = ShareSerializer
    write_perm = Perm.VIEW
    related = ("device__platform", "user")
    filterset_fields = {"device": ["exact"], "level": ["exact"]}
    ordering_fields = ("level",)
    ordering = ("pk",)

    def platform_of(self, row: DeviceShare) -> Platform:
        return row.device.platform

    def may_change(self, row: DeviceShare) -> bool:
        return row.user_id == self.request.user.pk or may_share(self.request.user, row.device)

    def create_row(self, values: dict[str, Any]) -> DeviceShare:
        self._require(values["device"])
        return share_device(by=self.request.user, **values)

    def change_row(self, row: DeviceShare, values: dict[str, Any]) -> DeviceShare:
        if values.get("level", row.level) != row.level:
            self._require(row.device)
        return change_share(row, by=self.request.user, **values)

    def delete_row(self, row: DeviceShare) -> None:
        end_share(row, by=self.request.user)

    def _require(self, device: Device) -> None:
        if not may_share(self.request.user, device):
            raise PermissionDenied
