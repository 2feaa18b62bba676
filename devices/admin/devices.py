"""Devices: players and sockets, their states with ages, what powers them, who shares them."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from devices.admin.bulk import BulkPages
from devices.admin.commissioning import CommissioningPage
from devices.admin.cycle import CyclePages
from devices.admin.moves import MoveDeeds, ResumeForm
from devices.admin.photos import PhotoPages
from devices.admin.saved_filters import SavedFilterPages
from devices.admin.schedules import SchedulePages
from devices.admin.send import SendPages
from devices.display import state_pill
from devices.facts import fact_lines
from devices.models import Device, DeviceShare, PowerLink
from devices.services import (
    NotRechecked,
    change_share,
    create_device,
    end_share,
    link_power,
    remove_device,
    return_to_automation,
    share_device,
    unlink_power,
)
from devices.services.sims import BEFORE_THE_END
from platforms import switches
from platforms.admin_base import PlatformAdmin, PlatformInline, grants_of
from platforms.console.deeds import Deed, ReasonForm, Refused
from platforms.console.display import DASH, ago, link, pill
from platforms.console.fields import LabelsField
from platforms.models import KillSwitch
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.redact import mask_msisdn

SIM_FIELDS = (
    "sim_operator", "sim_iccid", "sim_account", "sim_balance", "sim_balance_on", "sim_paid_until", "sim_monthly_status",
)  # fmt: skip
SIM_FIELDS_READ = ("sim_operator", "sim_paid_until", "sim_monthly_status")  # for those who read no numbers


class DeviceForm(forms.ModelForm):
    """A device, and the output that powers it."""

    power_socket = forms.ModelChoiceField(
        label=_("Powered by"), queryset=Device.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label=_("nobody has told REMOSA"),
    )  # fmt: skip
    power_line = forms.IntegerField(
        label=_("Output"), required=False, min_value=1, max_value=9, widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Number of the output; 1 where there is only one."),
    )  # fmt: skip

    class Meta:
        model = Device
        fields = ("platform",)
        field_classes = {"labels": LabelsField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        link_ = self.instance.power_links.filter(valid_to=None).first() if self.instance.pk else None
        if "power_socket" in self.fields:
            self.initial["power_socket"] = link_.socket_id if link_ else None
            self.initial["power_line"] = link_.line if link_ else None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        socket, line = cleaned.get("power_socket"), cleaned.get("power_line") or 1
        if socket is not None:
            draft = PowerLink(device=self.instance, socket=socket, line=line)
            try:
                draft.clean()
            except ValidationError as exc:
                names = {"line": "power_line", "socket": "power_socket"}
                for name, errors in exc.message_dict.items():
                    self.add_error(names.get(name), errors)
        return cleaned


class ShareFormSet(forms.BaseInlineFormSet):
    """Shares made, changed and ended on a device's page; the services write them."""

    by: Any = None

    def save(self, commit: bool = True) -> list[DeviceShare]:
        """Called by the page inside its transaction; a refusal of a service rolls everything back."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        for form in self.initial_forms:
            row = form.instance
            if form in self.deleted_forms:
                end_share(row, by=self.by)
                self.deleted_objects.append(row)
            elif form.has_changed():
                values = {name: form.cleaned_data[name] for name in form.changed_data}
                change_share(row, by=self.by, **values)
                self.changed_objects.append((row, form.changed_data))
        for form in self.extra_forms:
            if form.has_changed() and form not in self.deleted_forms:
                chosen = {name: form.cleaned_data[name] for name in ("user", "level", "notifications")}
                self.new_objects.append(share_device(device=self.instance, by=self.by, **chosen))
        return self.new_objects


class ShareInline(PlatformInline):
    """Who sees this device besides those who see all of the platform."""

    model = DeviceShare
    formset = ShareFormSet
    fields = ("user", "level", "notifications")
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    verbose_name_plural = _("Shared with")
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        made = super().get_formset(request, obj, **kwargs)
        made.by = request.user
        return made


@admin.register(Device)
class DeviceAdmin(
    CyclePages,
    MoveDeeds,
    CommissioningPage,
    BulkPages,
    PhotoPages,
    SavedFilterPages,
    SchedulePages,
    SendPages,
    PlatformAdmin,
):
    form = DeviceForm
    list_display = ("name", "state_now", "seen", "kind_name", "site", "platform", "power", "number")
    list_filter = ("kind", "state", "platform", "site", "model", "is_active")
    list_select_related = ("platform", "site", "model")
    search_fields = ("name", "mac", "external_id", "msisdn", "site__name")
    search_help_text = _("name, MAC, number, site, or a label: hall=A")
    ordering = ("name",)
    change_perm = Perm.MANAGE_DEVICES
    inlines = (ShareInline,)
    head_template = "console/device_head.html"
    deeds = (
        *MoveDeeds.move_deeds,
        *PhotoPages.photo_deeds,
        Deed(
            "stop_automation", _("No automation here"), Perm.MANAGE_DEVICES, icon="stop_circle", form=ReasonForm,
            question=_(
                "Nothing will be switched by itself for this device until somebody resumes it. People can still act."
            ),
            when=lambda row: row.is_active and device_stop(row) is None,
        ),
        Deed(
            "resume_automation", _("Automation again"), Perm.MANAGE_DEVICES, icon="play_arrow", form=ResumeForm,
            question=_(
                "Automation may act for this device again. After a move or a replacement it wants proof first: "
                "an answer of the socket since then, or your word that you have seen it work."
            ),
            when=lambda row: device_stop(row) is not None,
        ),
        Deed(
            "take_out", _("Take out of service"), Perm.MANAGE_DEVICES, icon="delete", danger=True, asks_again=True,
            question=_(
                "Its number and its place in the limit become free, its power links are closed. Its history stays."
            ),
            when=lambda row: row.is_active,
        ),
    )  # fmt: skip

    # --- lists -------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        live = PowerLink.objects.filter(valid_to=None).select_related("socket")
        fed = PowerLink.objects.filter(valid_to=None).only("pk", "socket_id", "line")
        return super().get_queryset(request).with_observed_at().prefetch_related(
            Prefetch("power_links", queryset=live, to_attr="live_links"),
            Prefetch("feeds", queryset=fed, to_attr="live_feeds"),
        )  # fmt: skip

    def get_list_display(self, request: HttpRequest) -> list[str]:
        shown = super().get_list_display(request)
        kind = request.GET.get("kind__exact")
        if kind:
            shown.remove("kind_name")
        if kind != Device.Kind.SOCKET:
            shown.remove("number")
        return shown

    def autocomplete_rows(
        self, request: HttpRequest, rows: QuerySet[Device], field: Field
    ) -> QuerySet[Device]:
        """A job names players, a power link a socket; nobody chooses what is out of service."""
        return rows.filter(is_active=True)

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Device) -> SafeString:
        return state_pill(row)

    @display(description=_("observed"), ordering=Device.OBSERVED_AT.desc(nulls_last=True))
    def seen(self, row: Device) -> SafeString | str:
        return ago(row.heard_at if row.kind == Device.Kind.SOCKET else row.observed_at, utcnow())

    @display(description=_("kind"), ordering="kind")
    def kind_name(self, row: Device) -> str:
        return row.get_kind_display() if row.model is None else f"{row.get_kind_display()} {row.model.code}"

    @display(description=_("power"))
    def power(self, row: Device) -> SafeString | str:
        if row.kind == Device.Kind.SOCKET:
            return _g("feeds %(n)d") % {"n": len(row.live_feeds)}  # type: ignore[attr-defined]
        links = row.live_links  # type: ignore[attr-defined]
        if not links:
            return pill(_g("no power link"), "amber") if row.kind == Device.Kind.PLAYER else DASH
        output = _g("output %(n)d") % {"n": links[0].line}
        text = f"{links[0].socket.name}, {output}"
        return link(reverse("admin:devices_device_change", args=[links[0].socket_id]), text)

    @display(description=_("SIM number"))
    def number(self, row: Device) -> str:
        return mask_msisdn(row.msisdn) if row.msisdn else DASH

    # --- the page ----------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Device | None = None) -> Any:
        identity = ["platform", "kind", "name", "site"]
        reach = ["mac", "external_id", "msisdn", "model"]
        if obj is not None and not grants_of(request).holds(Perm.CONTROL, obj.platform_id):
            reach[2] = "number"
        people = ["owner", "labels", "notes"]
        shown = [(None, {"fields": identity}), (_("Reached by"), {"fields": reach})]
        if self._may_edit(request, obj) and (obj is None or obj.kind != Device.Kind.SOCKET):
            shown.append((_("Power"), {"fields": ["power_socket", "power_line"]}))
        shown.append((_("People and notes"), {"fields": people}))
        if obj is not None and obj.kind == Device.Kind.SOCKET:
            shown.append(
                (_("SIM"), {"fields": list(SIM_FIELDS if reach[2] == "msisdn" else SIM_FIELDS_READ)})
            )
        if obj is not None:  # of a socket they stand at the head of the page
            facts = ["created_at"] if obj.kind == Device.Kind.SOCKET else ["facts_shown", "created_at"]
            shown.append((_("Facts"), {"fields": facts}))
        return shown

    def head_context(self, request: HttpRequest, row: Device) -> dict[str, Any]:
        may_commission = row.kind == Device.Kind.SOCKET and row.is_active and row.model is not None
        return {
            **self.photo_context(row),
            "sim": sim_signs(row, now=utcnow()),
            "socket_facts": fact_lines(row.facts, lines=row.model.lines if row.model else 1)
            if row.kind == Device.Kind.SOCKET
            else [],
            "may_send": bool(self.sendable(request, row)),
            "cycle_url": self._cycle_url(request, row),
            "may_commission": may_commission and self.holds(request, Perm.MANAGE_DEVICES, row),
        }

    def _cycle_url(self, request: HttpRequest, row: Device) -> str:
        """Where the person may power-cycle what powers this device; "" when they may not."""
        link_ = (
            row.power_links.filter(valid_to=None).select_related("socket__model", "socket__platform").first()
        )
        socket = link_.socket if link_ else None
        if link_ is None or socket is None or not grants_of(request).sees(socket):
            return ""
        if url := self.cycle_url(request, socket, link_.line, target=row):
            return url
        fitting = [
            t for t in self.sendable(request, socket) if t.power == "cycle" and t.line in (0, link_.line)
        ]
        fitting.sort(key=lambda t: (t.line != link_.line, len(t.params)))
        if not fitting:
            return ""
        url = reverse("admin:devices_device_send", args=[socket.pk])
        return f"{url}?{urlencode({'template': fitting[0].key, 'target': row.pk})}"

    def _may_edit(self, request: HttpRequest, obj: Device | None) -> bool:
        return (
            self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> list[str]:
        fixed = [*super().get_readonly_fields(request, obj), "number", "facts_shown", "created_at"]
        return [*fixed, "kind"] if obj is not None else fixed

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "power_socket" in form.base_fields:
            sockets = Device.objects.visible_to(request.user, Perm.MANAGE_DEVICES).filter(
                kind=Device.Kind.SOCKET, is_active=True
            )
            form.base_fields["power_socket"].queryset = sockets.of(obj.platform_id) if obj else sockets
        return form

    def get_inlines(self, request: HttpRequest, obj: Device | None = None) -> Any:
        return self.inlines if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Device, form: forms.ModelForm, change: bool) -> None:
        """A new device goes through the limit; a changed power link through its service."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            create_device(platform=obj.platform, by=request.user, device=obj)
        if {"power_socket", "power_line"} & set(form.changed_data):
            socket, line = form.cleaned_data.get("power_socket"), form.cleaned_data.get("power_line") or 1
            if socket is not None:
                link_power(device=obj, socket=socket, line=line, by=request.user)
            else:
                unlink_power(obj, by=request.user, now=utcnow())

    def store(self, request: HttpRequest, obj: Device, form: forms.ModelForm, change: bool) -> None:
        """The columns of the form alone: a state that was read before a round would pass for seen in it."""
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=[name for name in form.fields if name in columns])

    @display(description=_("Facts"))
    def facts_shown(self, row: Device) -> SafeString | str:
        rows = [(line.label, line.value) for line in fact_lines(row.facts)]
        return format_html_join("", "<div><span class='rm-dim'>{}:</span> {}</div>", rows) or DASH

    # --- deeds -------------------------------------------------------------------------------------

    def take_out(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: out of service; the history stays."""
        remove_device(row, by=request.user)
        return _g("The device is out of service.")

    def stop_automation(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: the kill switch of one device."""
        switches.engage(
            scope=KillSwitch.Scope.DEVICE, platform=row.platform, target_id=row.pk, reason=answers["reason"],
            by=request.user, now=utcnow(),
        )  # fmt: skip
        return _g("Automation leaves this device alone.")

    def resume_automation(self, request: HttpRequest, row: Device, answers: dict[str, Any]) -> str:
        """Deed: end every stop of this device."""
        try:
            return_to_automation(row, seen=bool(answers.get("seen")), by=request.user, now=utcnow())
        except NotRechecked as exc:
            raise Refused(str(exc)) from exc
        return _g("Automation may act for this device again.")


def sim_signs(row: Device, *, now: datetime) -> dict[str, str]:
    """Short warnings about the SIM of a socket: silent for days, payment that ends."""
    signs: dict[str, str] = {}
    last = row.heard_at or row.created_at
    days = (now - last).days
    if row.kind == Device.Kind.SOCKET and days >= settings.SOCKET_SILENT_DAYS:
        signs["silent"] = ngettext("silent for %(n)d day", "silent for %(n)d days", days) % {"n": days}
    if row.sim_paid_until is not None and row.sim_paid_until <= (now + BEFORE_THE_END).date():
        until = date_format(row.sim_paid_until, "SHORT_DATE_FORMAT")
        signs["unpaid"] = _g("SIM paid until %(until)s") % {"until": until}
    return signs


def device_stop(device: Device) -> KillSwitch | None:
    """The switch that stops automation for this very device, or None."""
    return (
        switches.engaged(now=utcnow())
        .filter(scope=KillSwitch.Scope.DEVICE, platform=device.platform_id, target_id=device.pk)
        .first()
    )
