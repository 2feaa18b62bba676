"""Scheduled commands: the device is chosen, then the command, then its typed parameters and its times."""

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminTimeWidget,
)

from devices.admin.send import ConfirmForm, ParametersForm, going_dark, needs_confirmation
from devices.errors import CommandForbidden, CommandInvalid
from devices.models import CommandSchedule, CommandTemplate, Device
from devices.services import preview
from devices.services.schedules import schedule_command, unschedule
from platforms.admin_base import PlatformAdmin
from platforms.console.confirmation import confirmed_again
from platforms.console.display import DASH, link, moment
from platforms.roles import Perm
from remosa.lib.clock import utcnow

RESULTS = {
    "requested": _("sent on its way"),
    "skipped_late": _("skipped: REMOSA was late"),
    "skipped_nobody": _("skipped: the person or the platform is not active"),
}

ONE_STEP = {"show_save_and_add_another": False, "show_save_and_continue": False}
REPEATS = {  # day fields of a cron, in the platform's time zone
    "once": "", "daily": "* * *", "weekdays": "* * 1-5", "weekends": "* * 6,0", "cron": "",
}  # fmt: skip


class ScheduleForm(ParametersForm):
    """The typed parameters of one template, and when it is sent."""

    repeat = forms.ChoiceField(
        label=_("How often"), widget=UnfoldAdminSelectWidget,
        choices=[
            ("once", _("once")), ("daily", _("every day")), ("weekdays", _("Monday to Friday")),
            ("weekends", _("Saturday and Sunday")), ("cron", _("by cron")),
        ],
    )  # fmt: skip
    day = forms.DateField(
        label=_("Day"), required=False, widget=UnfoldAdminDateWidget, help_text=_("Only for “once”.")
    )
    at = forms.TimeField(label=_("Time"), required=False, widget=UnfoldAdminTimeWidget)
    cron = forms.CharField(
        label=_("cron"), max_length=100, required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("Minute, hour, day, month, day of the week: 0 8 * * 1-5."),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        wanted = {"once": ("day", "at"), "cron": ("cron",)}.get(cleaned.get("repeat", ""), ("at",))
        for name in wanted:
            if not cleaned.get(name) and name not in self.errors:
                self.add_error(name, _g("This field is needed here."))
        return cleaned

    def times(self, time_zone: str) -> dict[str, Any]:
        """``at`` or ``cron``, as the service wants them; the wall clock is that of ``time_zone``."""
        given = self.cleaned_data
        if given["repeat"] == "once":
            return {"at": datetime.combine(given["day"], given["at"], tzinfo=ZoneInfo(time_zone))}
        at: time | None = given["at"]
        if given["repeat"] == "cron" or at is None:
            return {"cron": given["cron"]}
        return {"cron": f"{at.minute} {at.hour} {REPEATS[given['repeat']]}"}


class SchedulePages:
    """Gives the device page its ``schedule/`` address."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.schedule_view))
        return [
            path("<path:object_id>/schedule/", view, name="devices_device_schedule"),
            *super().get_urls(),
        ]

    def schedule_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose (GET), fill in (GET ``template``), see (POST), keep (POST ``sending``)."""
        device = self.require_row(request, object_id)
        templates = {row.key: row for row in self.sendable(request, device)}
        key = request.POST.get("template") or request.GET.get("template")
        if not templates or (key and key not in templates):
            raise PermissionDenied
        if not key:
            return self._choose(request, device, list(templates.values()))
        if request.method == "POST" and "sending" in request.POST:
            return confirmed_again(self._schedule)(request, device, templates[key])
        return self._schedule(request, device, templates[key])

    def _schedule(self, request: HttpRequest, device: Device, template: CommandTemplate) -> HttpResponse:
        data = request.POST if request.method == "POST" else None
        form = ScheduleForm(data, template=template)
        confirm = ConfirmForm(data if data is not None and "sending" in data else None)
        sure = not needs_confirmation(template) or confirm.is_valid()
        shown: dict[str, Any] = {}
        if data is not None and form.is_valid():
            try:
                rendered, price = preview(device=device, template_key=template.key, params=form.params())
                if "sending" in data and sure:
                    return self._keep_schedule(request, device, template, form)
            except CommandForbidden as exc:
                form.add_error(None, str(exc))
            except CommandInvalid as exc:
                form.show_errors(exc)
            else:
                shown = {
                    "rendered": rendered, "price": price,
                    "confirm": confirm if needs_confirmation(template) else None,
                }  # fmt: skip
        dark = going_dark(device, template, request.user)
        minutes = form.cleaned_data.get("p_minutes") if form.is_bound and not form.errors else None
        return self._page(
            request, "console/schedule.html", device, status=400 if form.errors else 200, template=template,
            form=form, dark=dark, hidden=sum(1 for row in dark if not row.name), minutes=minutes,
            zone=device.platform.time_zone, **shown,
        )  # fmt: skip

    def _keep_schedule(
        self, request: HttpRequest, device: Device, template: CommandTemplate, form: ScheduleForm
    ) -> HttpResponse:
        schedule_command(
            device=device, template_key=template.key, params=form.params(), by=request.user, now=utcnow(),
            reason=form.cleaned_data["reason"], **form.times(device.platform.time_zone),
        )  # fmt: skip
        messages.success(request, _g("The command is scheduled."))
        return HttpResponseRedirect(reverse("admin:devices_commandschedule_changelist"))


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
    fields = ("device", "title", "parameters", "cron", "next_at", "reason", "last", "result")
    autocomplete_fields = ("device",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CommandSchedule]:
        rows = super().get_queryset(request)
        self._names = {(row.model_id, row.key): row.name for row in CommandTemplate.objects.all()}
        return rows

    def get_fields(self, request: HttpRequest, obj: CommandSchedule | None = None) -> Any:
        return ("device",) if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: CommandSchedule | None = None) -> list[str]:
        return [] if obj is None else list(self.fields)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Choose the device here; its commands and their parameters are chosen on its own page."""
        if request.method == "POST" and self.has_add_permission(request):
            form = self.get_form(request)(request.POST)
            if form.is_valid():
                device = form.cleaned_data["device"]
                return HttpResponseRedirect(reverse("admin:devices_device_schedule", args=[device.pk]))
        return super().add_view(request, form_url, {**(extra_context or {}), **ONE_STEP})

    @display(description=_("parameters"))
    def parameters(self, row: CommandSchedule) -> str:
        return ", ".join(f"{name} = {value}" for name, value in row.params.items()) or DASH

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
