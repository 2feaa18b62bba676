"""Outputs that must be on again, and what happened to devices. Nothing here is edited."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from devices.models import DeviceEvent, Restoration
from devices.sentences import EVENT_TONES, event_sentence, output_words
from devices.services.restorations import cancel, see_to_now
from devices.states import RESTORATION_LIVE, RestorationState
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed, ReasonForm, Refused
from platforms.console.display import ago, link, moment, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow

R = RestorationState
TONES = {
    R.ARMING: "blue", R.DARK: "amber", R.RESTORING: "blue", R.KEPT: "green", R.BROKEN: "red", R.CANCELLED: "grey",
}  # fmt: skip


@admin.register(Restoration)
class RestorationAdmin(PlatformAdmin):
    list_display = ("whole", "state_now", "asked", "way", "platform")
    list_filter = ("state", "platform", "way")
    list_select_related = ("device", "platform", "actor")
    search_fields = ("device__name", "reason")
    search_help_text = _("socket or reason")
    fields = (
        "platform", "socket", "output", "state_now", "way", "minutes", "asker", "reason", "created_at", "told_at",
        "outcome_words", "sms",
    )  # fmt: skip
    deeds = (
        Deed(
            "try_now", _("Try to switch on now"), Perm.CONTROL, icon="power",
            question=_("REMOSA sends ON at once, and goes on until it is certain that the output is on."),
            when=lambda row: row.state in (R.RESTORING, R.BROKEN) and row.way != Restoration.Way.WATCH,
        ),
        Deed(
            "leave_off", _("Leave it off"), Perm.CONTROL, icon="power_off", form=ReasonForm, danger=True,
            question=_("Nobody will be reminded that this output is off, and REMOSA will not switch it on."),
            when=lambda row: row.state in RESTORATION_LIVE and row.state != R.ARMING,
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Restoration]:
        return super().get_queryset(request).prefetch_related("commands__template__model")

    def get_readonly_fields(self, request: HttpRequest, obj: Restoration | None = None) -> list[str]:
        return list(self.fields)

    def leave_off(self, request: HttpRequest, row: Restoration, answers: dict[str, Any]) -> str:
        """Deed: the output may stay dark."""
        if not cancel(row, why=answers["reason"], by=request.user, now=utcnow()):
            raise Refused(_g("This has just ended by itself."))
        return _g("The output stays off. Nobody is reminded of it any more.")

    def try_now(self, request: HttpRequest, row: Restoration, answers: dict[str, Any]) -> str:
        """Deed: do not wait for the next try."""
        see_to_now(row, by=request.user, now=utcnow())
        return _g("ON is being sent.")

    @display(description=_("socket"), ordering="device__name")
    def socket(self, row: Restoration) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)

    @display(description=_("output"), ordering="device__name")
    def whole(self, row: Restoration) -> str:
        return f"{row.device}, {output_words(row.line)}"

    @display(description=_("output"), ordering="line")
    def output(self, row: Restoration) -> str:
        return output_words(row.line)

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Restoration) -> SafeString:
        return pill(row.get_state_display(), TONES[R(row.state)])

    @display(description=_("requested"), ordering="created_at")
    def asked(self, row: Restoration) -> SafeString | str:
        return ago(row.created_at, utcnow())

    @display(description=_("who"))
    def asker(self, row: Restoration) -> str:
        return str(row.actor) if row.actor else "REMOSA"

    @display(description=_("what became of it"))
    def outcome_words(self, row: Restoration) -> str:
        if not row.outcome or row.outcome == "seen_on":
            return ""
        return event_sentence(row.outcome, {"line": row.line})

    @display(description=_("commands"))
    def sms(self, row: Restoration) -> str:
        steps = sorted(row.commands.all(), key=lambda command: command.created_at)
        return " → ".join(f"{command.template.name}: {command.get_state_display()}" for command in steps)


@admin.register(DeviceEvent)
class DeviceEventAdmin(PlatformAdmin):
    list_display = ("what", "when", "of_device", "platform")
    list_filter = ("severity", "platform", "device__site")
    list_select_related = ("device", "platform")
    search_fields = ("device__name", "kind")
    search_help_text = _("device")
    date_hierarchy = "at"
    fields = ("platform", "of_device", "when", "what", "said")

    def get_readonly_fields(self, request: HttpRequest, obj: DeviceEvent | None = None) -> list[str]:
        return list(self.fields)

    @display(description=_("what"), ordering="kind")
    def what(self, row: DeviceEvent) -> SafeString:
        return pill(event_sentence(row.kind, row.data), EVENT_TONES.get(row.severity, "grey"))

    @display(description=_("time"), ordering="at")
    def when(self, row: DeviceEvent) -> SafeString | str:
        return moment(row.at)

    @display(description=_("device"), ordering="device__name")
    def of_device(self, row: DeviceEvent) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)

    @display(description=_("text"))
    def said(self, row: DeviceEvent) -> str:
        return str(row.data.get("text", ""))
