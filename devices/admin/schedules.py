"""Scheduled commands."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from devices.errors import CommandForbidden, CommandInvalid
from devices.models import CommandSchedule, CommandTemplate
from devices.services.schedules import schedule_command, unschedule
from platforms.admin_base import PlatformAdmin
from platforms.console.display import DASH, link, moment
from platforms.roles import Perm
from remosa.lib.clock import utcnow

RESULTS = {
    "requested": _("sent on its way"),
    "skipped_late": _("skipped: REMOSA was late"),
    "skipped_nobody": _("skipped: the person or the platform is not active"),
}


@admin.register(CommandSchedule)
class CommandScheduleAdmin(PlatformAdmin):
    """A schedule is made and deleted; who wants another time makes another one."""

    add_perm = delete_perm = Perm.CONTROL
    refusals = (*PlatformAdmin.refusals, CommandInvalid, CommandForbidden)
    list_display = ("title", "to_device", "when", "cron", "last", "result", "platform")
    list_filter = ("platform",)
    list_select_related = ("device__model", "platform")
    search_fields = ("device__name", "template_key")
    search_help_text = _("device")
    fields = ("device", "template_key", "params", "cron", "next_at", "reason")
    autocomplete_fields = ("device",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CommandSchedule]:
        rows = super().get_queryset(request)
        self._names = {(row.model_id, row.key): row.name for row in CommandTemplate.objects.all()}
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: CommandSchedule | None = None) -> list[str]:
        return [] if obj is None else [*self.fields, "last", "result"]

    def save_model(
        self, request: HttpRequest, obj: CommandSchedule, form: forms.ModelForm, change: bool
    ) -> None:
        made = schedule_command(
            device=obj.device, template_key=obj.template_key, params=obj.params or {}, cron=obj.cron,
            at=None if obj.cron else obj.next_at, reason=obj.reason, by=request.user, now=utcnow(),
        )  # fmt: skip
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: CommandSchedule) -> None:
        unschedule(obj, by=request.user, now=utcnow())

    @display(description=_("command"))
    def title(self, row: CommandSchedule) -> str:
        return self._names.get((row.device.model_id, row.template_key), row.template_key)

    @display(description=_("to"), ordering="device__name")
    def to_device(self, row: CommandSchedule) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)

    @display(description=_("next time"), ordering="next_at")
    def when(self, row: CommandSchedule) -> SafeString | str:
        return moment(row.next_at) if row.next_at else _g("done")

    @display(description=_("last time"), ordering="last_at")
    def last(self, row: CommandSchedule) -> SafeString | str:
        return moment(row.last_at) if row.last_at else DASH

    @display(description=_("last result"))
    def result(self, row: CommandSchedule) -> Any:
        return RESULTS.get(row.last_result, row.last_result) or DASH
