"""Stops of automation: everywhere, on a platform, for a job, for a device; and the way back."""

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from automation.models import Job
from devices.models import Device
from platforms import switches
from platforms.api.base import Creates, PlatformViewSet, Reads
from platforms.api.errors import Conflict
from platforms.api.serializers import PlatformSerializer, VisibleRelatedField
from platforms.models import KillSwitch
from platforms.roles import Perm
from remosa.lib.clock import utcnow

Scope = KillSwitch.Scope


class StopSerializer(PlatformSerializer):
    """A stop. ``scope`` says which of ``platform``, ``job`` and ``device`` is named; global names none."""

    scope = serializers.ChoiceField(choices=Scope.choices)
    job = VisibleRelatedField(queryset=Job.objects.all(), required=False, allow_null=True, write_only=True)
    device = VisibleRelatedField(
        queryset=Device.objects.all(), required=False, allow_null=True, write_only=True
    )

    class Meta:
        model = KillSwitch
        fields = [
            "id", "scope", "platform", "job", "device", "target_id", "reason", "engaged_at", "engaged_by", "expires_at",
            "released_at", "released_by",
        ]  # fmt: skip
        read_only_fields = ["target_id", "engaged_at", "engaged_by", "released_at", "released_by"]

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= utcnow():
            raise serializers.ValidationError(
                _("This moment has passed. Leave it empty to stop until somebody resumes.")
            )
        return value

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        scope, names = values["scope"], ("platform", "job", "device")
        named = {name for name in names if values.get(name) is not None}
        wanted = set() if scope == Scope.GLOBAL else {str(scope)}
        if missing := wanted - named:
            raise serializers.ValidationError({name: [_("Say what is to stop.")] for name in missing})
        target = values.get(str(scope)) if scope in (Scope.JOB, Scope.DEVICE) else None
        platform = target.platform if target is not None else values.get("platform")
        if named - wanted - {"platform"} or (scope == Scope.GLOBAL and named):
            raise serializers.ValidationError({"scope": [_("Name only what is to stop.")]})
        if values.get("platform") not in (None, platform):
            raise serializers.ValidationError({"platform": [_("This belongs to another platform.")]})
        return {
            "scope": scope, "platform": platform, "target_id": target.pk if target is not None else None,
            "reason": values["reason"], "expires_at": values.get("expires_at"),
        }  # fmt: skip


class StopsView(Reads, Creates, PlatformViewSet):
    """Stops of automation, running and past. What is queued is refused from the commit on; people can still act."""

    model = KillSwitch
    serializer_class = StopSerializer
    write_perm = Perm.MANAGE_DEVICES
    write_scope: ClassVar[str | None] = "command"
    related = ("platform", "engaged_by", "released_by")
    filterset_fields = {"platform": ["exact"], "scope": ["exact"], "released_at": ["isnull"]}
    search_fields = ("reason",)
    ordering_fields = ("engaged_at",)
    ordering = ("-engaged_at", "-pk")

    def create_row(self, values: dict[str, Any]) -> models.Model:
        if values["platform"] is None and not self.request.user.is_superuser:
            raise PermissionDenied(_("Only the superadmin stops everything."))
        return switches.engage(by=self.request.user, now=utcnow(), **values)

    @extend_schema(request=None, responses={200: StopSerializer})
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str | None = None) -> Response:
        """Automation may act again. What happened meanwhile is learned first, nothing is caught up."""
        row = self.get_object()
        now = utcnow()
        has_run_out = row.expires_at is not None and row.expires_at <= now
        if has_run_out or not switches.release(row, by=request.user, now=now):
            raise Conflict(_("This stop is over already."))
        row.refresh_from_db()
        return Response(self.get_serializer(row).data)
