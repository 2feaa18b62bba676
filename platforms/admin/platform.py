"""The page of one client: its people, its limits and what is used of them, its automation."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from platforms import quotas, switches
from platforms.admin.people import RoleFormSet
from platforms.admin.switches import is_engaged
from platforms.admin_base import PlatformAdmin, PlatformInline
from platforms.console.deeds import Deed, ReasonForm
from platforms.console.display import bar, pill
from platforms.models import Membership, Platform
from platforms.roles import Perm
from platforms.services import create_platform
from remosa.lib.clock import utcnow


class MemberInline(PlatformInline):
    """Roles of the people of this platform. New people are added on the page “Members”."""

    model = Membership
    formset = RoleFormSet
    fields = ("person", "role", "created_at")
    readonly_fields = ("person", "created_at")
    change_perm = delete_perm = Perm.MANAGE_PLATFORM
    add_perm = None
    hide_title = True

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


def automation_stop(platform: Platform) -> Any:
    """The switch that stops this platform's automation as a whole now, or None."""
    return switches.stopping(platform_id=platform.pk, now=utcnow())


@admin.register(Platform)
class PlatformPage(PlatformAdmin):
    list_display = ("name", "automation", "devices_used", "sms_used", "time_zone", "is_active")
    search_fields = ("name",)
    ordering = ("name",)
    change_perm = Perm.MANAGE_PLATFORM
    inlines = (MemberInline,)
    head_template = "console/platform_head.html"
    fieldsets = (
        (None, {"fields": ("name", "time_zone", "is_active")}),
        (
            _("Limits"),
            {
                "fields": ("device_limit", "sms_limit", "sms_people_share_ratio", "series_limit"),
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
        return (
            fixed
            if request.user.is_superuser
            else [*fixed, "name", "is_active", "device_limit", "sms_limit", "series_limit"]
        )

    def get_inlines(self, request: HttpRequest, obj: Platform | None = None) -> Any:
        return self.inlines if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Platform, form: forms.ModelForm, change: bool) -> None:
        """A new platform comes with its role groups; the service makes both."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = create_platform(by=request.user, **form.cleaned_data)
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
        return {"usage": usage_of(row), "stop": automation_stop(row)}

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
