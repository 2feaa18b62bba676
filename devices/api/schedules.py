"""Scheduled commands."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied

from devices.errors import CommandForbidden, CommandInvalid
from devices.models import CommandSchedule
from devices.services import may_send
from devices.services.commands import template_of
from devices.services.schedules import schedule_command, unschedule
from platforms.api.base import Creates, Deletes, PlatformViewSet, Reads
from platforms.api.errors import Invalid
from platforms.api.serializers import ObjectField, PlainCharField, PlatformSerializer
from platforms.roles import Perm
from remosa.lib.clock import utcnow


class CommandScheduleSerializer(PlatformSerializer):
    """A command once (``at``) or by ``cron``, in the platform's time zone."""

    redacted_fields = ("params",)
    template = PlainCharField(source="template_key", max_length=64)
    params = ObjectField(required=False, default=dict)
    cron = PlainCharField(max_length=100, required=False, allow_blank=True, default="")
    at = serializers.DateTimeField(required=False, allow_null=True, write_only=True, default=None)

    class Meta:
        model = CommandSchedule
        fields = [
            "id", "platform", "device", "template", "params", "cron", "at", "reason", "actor", "next_at", "last_at",
            "last_result", "created_at",
        ]  # fmt: skip
        read_only_fields = ["platform", "actor", "next_at", "last_at", "last_result", "created_at"]


class CommandSchedulesView(Reads, Creates, Deletes, PlatformViewSet):
    """Commands that are sent at their time; what is late is skipped. DELETE ends a schedule."""

    model = CommandSchedule
    serializer_class = CommandScheduleSerializer
    write_perm = Perm.CONTROL
    write_scope: ClassVar[str | None] = "command"
    related = ("device__platform",)
    filterset_fields = {"platform": ["exact"], "device": ["exact"]}
    ordering_fields = ("next_at",)
    ordering = ("next_at", "pk")

    def may_change(self, row: CommandSchedule) -> bool:
        try:
            return may_send(self.request.user, row.device, template_of(row.device, row.template_key))
        except CommandInvalid:  # the device has another model by now
            return super().may_change(row)

    def create_row(self, values: dict[str, Any]) -> CommandSchedule:
        self.require(values["device"])
        try:
            return schedule_command(
                device=values["device"], template_key=values["template_key"], params=values.get("params") or {},
                cron=values.get("cron", ""), at=values.get("at"), reason=values.get("reason", ""),
                by=self.request.user, now=utcnow(),
            )  # fmt: skip
        except CommandForbidden as exc:
            raise PermissionDenied(str(exc)) from exc
        except CommandInvalid as exc:
            raise Invalid(str(exc), {name: [str(text)] for name, text in exc.fields.items()}) from exc

    def delete_row(self, row: CommandSchedule) -> None:
        unschedule(row, by=self.request.user, now=utcnow())
