"""The page of one client: its people, its limits and what is used of them, its automation."""

import json
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html_join
from django.utils.module_loading import import_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from platforms import ledger, presets, quotas, statement_file, switches
from platforms.admin.people import RoleFormSet
from platforms.admin.switches import is_engaged
from platforms.admin_base import PlatformAdmin, PlatformInline, grants_of
from platforms.console.deeds import Deed, ReasonForm
from platforms.console.display import bar, pill
from platforms.models import ApiToken, Membership, Platform, Usage
from platforms.roles import Perm
from remosa.lib.clock import utcnow

SUPERADMIN_ONLY = (
    "name",
    "is_active",
    "device_limit",
    "sms_limit",
    "series_limit",
    "sms_price_out",
    "sms_price_in",
    "currency",
)


class MemberInline(PlatformInline):
    """Roles of the people of this platform. New people are added on the page “Members”."""

    model = Membership
    formset = RoleFormSet
    fields = ("person", "role", "created_at")
    readonly_fields = ("person", "created_at")
    change_perm = Perm.MANAGE_PLATFORM
    add_perm = None
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        made = super().get_formset(request, obj, **kwargs)
        made.by = request.user
        return made

    @display(description=_("person"))
    def person(self, row: Membership) -> str:
        return str(row.user)


def usage_of(platform: Platform) -> list[dict[str, Any]]:
    """What is used of each limit now, with the names for people."""
    now = utcnow()
    rows = []
    for kind, name, total in (
        (quotas.DEVICES, _g("devices"), platform.device_limit),
        (quotas.SMS, _g("SMS this month"), platform.sms_limit),
    ):
        left = quotas.remaining(platform, kind, at=now)
        rows.append({"name": name, "left": left, "bar": bar(total - left, total)})
    return rows


@dataclass(frozen=True)
class Month:
    """The SMS of the running month by day, where they lead, and what the chart shows of it."""

    period: str
    limit: int
    forecast: int
    chart: str
    sentence: str
    tone: str


def month_of(platform: Platform) -> Month:
    """What was sent on each day of this month, and what it comes to if the rest is like the last week."""
    now = utcnow()
    period, today = quotas.sms_period(platform, now), now.astimezone(ZoneInfo(platform.time_zone)).date()
    counts = ledger.by_day(platform, period)
    rows = Usage.objects.filter(platform=platform, kind=quotas.SMS, period=period)
    taken, sent = sum(row.used + row.reserved for row in rows), sum(count for _day, count in counts)
    promised = max(0, taken - sent)
    end = ledger.forecast(counts, today=today, promised=promised)
    ahead = sum(1 for day, _count in counts if day > today)
    each = round((end - sent - promised) / ahead, 1) if ahead else 0
    chart = {
        "labels": [day.day for day, _count in counts],
        "datasets": [
            {
                "label": _g("SMS parts"), "data": [count if day <= today else None for day, count in counts],
                "backgroundColor": "var(--color-primary-600)", "displayYAxis": True,
            },
            {
                "label": _g("forecast"), "data": [each if day > today else None for day, _count in counts],
                "backgroundColor": "var(--color-base-400)",
            },
        ],
    }  # fmt: skip
    figures = {"end": end, "limit": platform.sms_limit}
    if end > platform.sms_limit:
        sentence, tone = (
            _g("About %(end)d by the end of the month: more than the limit of %(limit)d."),
            "amber",
        )
    else:
        sentence, tone = _g("About %(end)d by the end of the month, of %(limit)d."), "green"
    return Month(period, platform.sms_limit, end, json.dumps(chart), sentence % figures, tone)


def live_tokens(platform: Platform) -> list[ApiToken]:
    """The tokens that work now, those that were used last on top."""
    rows = ApiToken.objects.filter(platform=platform, revoked_at=None)
    rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=utcnow()))
    return list(rows.order_by(F("last_used_at").desc(nulls_last=True), "-created_at")[:8])


def automation_stop(platform: Platform) -> Any:
    """The switch that stops this platform's automation as a whole now, or None."""
    return switches.stopping(platform_id=platform.pk, now=utcnow())


class NewPlatformForm(forms.ModelForm):
    """A new client: its limits, the preset that was chosen before, and whom to invite first."""

    preset = forms.ChoiceField(required=False, widget=forms.HiddenInput)
    admin_email = forms.EmailField(
        label=_("e-mail of the first admin"), required=False, widget=UnfoldAdminEmailInputWidget,
        help_text=_("Gets an invitation with a link that works once. Empty: you invite somebody later."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["preset"].choices = [(code, str(preset)) for code, preset in presets.shipped().items()]


@admin.register(Platform)
class PlatformPage(PlatformAdmin):
    list_display = ("name", "automation", "devices_used", "sms_used", "time_zone", "is_active")
    search_fields = ("name",)
    ordering = ("name",)
    change_perm = Perm.MANAGE_PLATFORM
    inlines = (MemberInline,)
    asks_again = True
    head_template = "console/platform_head.html"
    fieldsets = (
        (None, {"fields": ("name", "time_zone", "is_active")}),
        (
            _("Limits"),
            {
                "fields": (
                    "device_limit",
                    "sms_limit",
                    "sms_people_share_ratio",
                    "sms_price_out",
                    "sms_price_in",
                    "currency",
                    "series_limit",
                ),
                "description": _(
                    "The operator of REMOSA sets the limits; the share kept for people is yours to set."
                ),
            },
        ),
    )
    deeds = (
        Deed(
            "stop_automation", _("Stop automation"), Perm.MANAGE_DEVICES, icon="stop_circle", danger=True,
            form=ReasonForm, when=lambda row: automation_stop(row) is None,
            question=_(
                "Nothing will be switched by itself on this platform until somebody resumes it. People can still act."
            ),
        ),
        Deed(
            "resume_automation", _("Resume automation"), Perm.MANAGE_DEVICES, icon="play_arrow",
            when=lambda row: getattr(automation_stop(row), "scope", "") == "platform",
            question=_(
                "Automation will act again here. What happened meanwhile is learned first, nothing is caught up."
            ),
        ),
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser and request.user.is_active)

    def get_readonly_fields(self, request: HttpRequest, obj: Platform | None = None) -> list[str]:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if request.user.is_superuser else [*fixed, *SUPERADMIN_ONLY]

    # --- a new client ------------------------------------------------------------------------------

    def preset_of(self, request: HttpRequest) -> presets.Preset | None:
        """The preset chosen for the new client."""
        return presets.shipped().get(request.POST.get("preset") or request.GET.get("preset", ""))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the preset, then the form with what it says."""
        if request.method == "GET" and "preset" not in request.GET and self.has_add_permission(request):
            offered = [
                {
                    "code": preset.code, "name": str(preset), "about": presets.in_words(preset.about),
                    "limits": presets.limits_in_words(preset), "brings": preset.brings(),
                }
                for preset in presets.shipped().values()
            ]  # fmt: skip
            context = {
                **self.admin_site.each_context(request), "title": _g("Add a platform"), "opts": self.opts,
                "presets": offered,
            }  # fmt: skip
            return TemplateResponse(request, "console/choose_preset.html", context)
        return super().add_view(request, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewPlatformForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        if obj is not None:
            return shown
        preset = self.preset_of(request)
        brings = [(text,) for text in preset.brings()] if preset else []
        start: dict[str, Any] = {"fields": ("admin_email", "preset")}
        if brings:
            start["description"] = format_html_join("", "<div>{}</div>", brings)
        title = _g("Starts with: %(preset)s") % {"preset": preset} if preset else _g("To start with")
        return (shown[0], (title, start), *shown[1:])

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        given = super().get_changeform_initial_data(request)
        preset = self.preset_of(request)
        return {**given, **preset.platform} if preset else given | {"preset": ""}

    def get_inlines(self, request: HttpRequest, obj: Platform | None = None) -> Any:
        return self.inlines if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Platform, form: forms.ModelForm, change: bool) -> None:
        """A new platform comes with its role groups and its preset; the service makes all of it."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = presets.create_client(by=request.user, now=utcnow(), **form.cleaned_data)
        obj.pk, obj._state.adding = made.pk, False

    def stop_automation(self, request: HttpRequest, row: Platform, answers: dict[str, Any]) -> str:
        """Deed: the kill switch of this platform."""
        switches.engage(
            scope="platform", platform=row, reason=answers["reason"], by=request.user, now=utcnow()
        )
        return _g("Automation is stopped here.")

    def resume_automation(self, request: HttpRequest, row: Platform, answers: dict[str, Any]) -> str:
        """Deed: end every stop of the platform as a whole."""
        now = utcnow()
        for switch in switches.engaged(now=now).filter(scope="platform", platform=row):
            switches.release(switch, by=request.user, now=now)
        return _g("Automation runs again.")

    def head_context(self, request: HttpRequest, row: Platform) -> dict[str, Any]:
        """Limits for everybody; the month, tokens and health for those who see the whole platform or manage it."""
        shown: dict[str, Any] = {"usage": usage_of(row), "stop": automation_stop(row)}
        grants = grants_of(request)
        if grants.holds(Perm.SEE_ALL, row.pk):
            shown |= {"month": month_of(row), "panels": self.panels(request, row)}
        if grants.holds(Perm.MANAGE_PLATFORM, row.pk):
            shown |= {"tokens": live_tokens(row), "months": ledger.months_of(row)[:24], "manages": True}
        return shown

    def panels(self, request: HttpRequest, row: Platform) -> list[dict[str, Any]]:
        """What the apps above say of this platform (port ``PLATFORM_PANELS``): a template and its context each."""
        return [import_string(path)(request, row) for path in settings.PLATFORM_PANELS]

    def get_urls(self) -> list[URLPattern]:
        statement = path(
            "<path:object_id>/statement/", self.admin_site.admin_view(self.statement_view),
            name="platforms_platform_statement",
        )  # fmt: skip
        return [statement, *super().get_urls()]

    def statement_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A month's statement as XLSX or CSV; what the gateways take is for the operator's eyes."""
        row = self.require_row(request, object_id)
        if not self.holds(request, Perm.MANAGE_PLATFORM, row):
            raise PermissionDenied
        period = request.GET.get("month", "") or quotas.sms_period(row, utcnow())
        try:
            return statement_file.answer(
                row, period, request.GET.get("as", "xlsx"), with_cost=request.user.is_superuser
            )
        except ValueError:
            messages.error(request, _g("There is no such statement. Choose a month, as CSV or XLSX."))
            return HttpResponseRedirect(self.page_of(row))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("usage", "kill_switches")

    @display(description=_("automation"))
    def automation(self, row: Platform) -> SafeString:
        now = utcnow()
        stopped = any(s.scope == "platform" and is_engaged(s, now=now) for s in row.kill_switches.all())
        return pill(_g("stopped"), "red") if stopped else pill(_g("running"), "green")

    @display(description=_("devices"))
    def devices_used(self, row: Platform) -> str:
        return f"{self._taken(row, quotas.DEVICES, quotas.ALWAYS)} / {row.device_limit}"

    @display(description=_("SMS this month"))
    def sms_used(self, row: Platform) -> str:
        return f"{self._taken(row, quotas.SMS, quotas.sms_period(row, utcnow()))} / {row.sms_limit}"

    def _taken(self, row: Platform, kind: str, period: str) -> int:
        return sum(u.used + u.reserved for u in row.usage.all() if u.kind == kind and u.period == period)
