"""Stops of automation: make one for a platform (or for everything), end one. Never edited, never deleted."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from platforms import switches
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed
from platforms.console.display import DASH, ago, link, moment, pill
from platforms.models import KillSwitch
from platforms.roles import Perm
from remosa.lib.clock import utcnow

Scope = KillSwitch.Scope


def is_engaged(switch: KillSwitch, *, now: datetime) -> bool:
    """Whether it stops something now."""
    return switch.released_at is None and (switch.expires_at is None or switch.expires_at > now)


class StopForm(forms.ModelForm):
    """Where, why, and perhaps until when. Single jobs and devices are stopped on their own pages."""

    class Meta:
        model = KillSwitch
        fields = ("scope", "platform", "reason", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scope" in self.fields:
            offered = [Scope.PLATFORM, *([Scope.GLOBAL] if self.may_stop_everything else [])]
            self.fields["scope"] = forms.ChoiceField(
                label=_("Scope"),
                widget=UnfoldAdminSelectWidget,
                choices=[(s.value, s.label) for s in offered],
            )

    may_stop_everything = False

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("scope") == Scope.PLATFORM and cleaned.get("platform") is None:
            self.add_error("platform", _("Choose the platform whose automation stops."))
        if cleaned.get("scope") == Scope.GLOBAL:
            cleaned["platform"] = None
        expires_at = cleaned.get("expires_at")
        if expires_at is not None and expires_at <= utcnow():
            self.add_error(
                "expires_at", _("This moment has passed. Leave it empty to stop until somebody resumes.")
            )
        return cleaned


@admin.register(KillSwitch)
class KillSwitchAdmin(PlatformAdmin):
    form = StopForm
    list_display = ("state", "scope", "platform", "what", "reason", "since", "until", "stopper", "end")
    list_filter = ("platform", "scope")
    list_select_related = ("platform", "engaged_by", "released_by")
    search_fields = ("reason",)
    add_perm = Perm.MANAGE_DEVICES
    fields = ("scope", "platform", "reason", "expires_at")
    deeds = (
        Deed(
            "release", _("Resume automation"), Perm.MANAGE_DEVICES, icon="play_arrow",
            question=_(
                "Automation will act again here. What happened meanwhile is learned first, nothing is caught up."
            ),
            when=lambda row: is_engaged(row, now=utcnow()),
        ),
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: KillSwitch | None = None) -> Any:
        if obj is None:
            return self.fields
        return (
            "state",
            "scope",
            "platform",
            "what",
            "reason",
            "since",
            "until",
            "stopper",
            "end",
            "resumer",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: KillSwitch | None = None) -> list[str]:
        return list(self.get_fields(request, obj)) if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.may_stop_everything = bool(request.user.is_superuser)
        return form

    def save_model(self, request: HttpRequest, obj: KillSwitch, form: forms.ModelForm, change: bool) -> None:
        """The service writes the row and its audit line; the row is handed back to the page."""
        made = switches.engage(
            scope=obj.scope, platform=obj.platform, reason=obj.reason, expires_at=obj.expires_at,
            by=request.user, now=utcnow(),
        )  # fmt: skip
        obj.pk, obj._state.adding = made.pk, False

    def release(self, request: HttpRequest, row: KillSwitch, answers: dict[str, Any]) -> str:
        """Deed: automation runs again."""
        if not switches.release(row, by=request.user, now=utcnow()):
            return _g("Somebody resumed it before.")
        return _g("Automation runs again.")

    @display(description=_("state"))
    def state(self, row: KillSwitch) -> SafeString:
        return pill(_g("stopped"), "red") if is_engaged(row, now=utcnow()) else pill(_g("over"), "grey")

    @display(description=_("what"))
    def what(self, row: KillSwitch) -> SafeString | str:
        pages: dict[str, str] = {
            Scope.JOB: "admin:automation_job_change",
            Scope.DEVICE: "admin:devices_device_change",
        }
        if row.scope not in pages or row.target_id is None:
            return DASH
        return link(
            reverse(pages[row.scope], args=[row.target_id]), f"{row.get_scope_display()} {row.target_id}"
        )

    @display(description=_("stopped by"))
    def stopper(self, row: KillSwitch) -> str:
        return str(row.engaged_by or DASH)

    @display(description=_("released by"))
    def resumer(self, row: KillSwitch) -> str:
        return str(row.released_by or DASH)

    @display(description=_("since"), ordering="engaged_at")
    def since(self, row: KillSwitch) -> SafeString | str:
        return ago(row.engaged_at, utcnow())

    @display(description=_("until"), ordering="expires_at")
    def until(self, row: KillSwitch) -> SafeString | str:
        return moment(row.expires_at) if row.expires_at else _g("somebody resumes it")

    @display(description=_("released at"), ordering="released_at")
    def end(self, row: KillSwitch) -> SafeString | str:
        return moment(row.released_at)
