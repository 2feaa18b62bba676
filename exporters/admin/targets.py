"""What exporters poll, device by device, and how the rounds went."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from devices.states import DeviceState
from exporters.admin.forms import CorrectForm
from exporters.models import ExporterTarget, PollRound
from exporters.services import correct_target, remove_targets
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.deeds import Deed
from platforms.console.display import ago, link, moment, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow

TONES = {DeviceState.ONLINE: "green", DeviceState.OFFLINE: "red", DeviceState.UNKNOWN: "grey"}


@admin.register(ExporterTarget)
class ExporterTargetAdmin(PlatformAdmin):
    list_display = ("external_id", "state_now", "seen", "reason", "to_device", "exporter")
    list_filter = ("exporter", "status", "reason", "device__site")
    list_select_related = ("exporter__platform", "device")
    search_fields = ("external_id", "device__name")
    fields = readonly_fields = (
        "exporter",
        "external_id",
        "to_device",
        "state_now",
        "seen",
        "reason",
        "facts",
        "created_at",
    )
    actions = ("stop_polling",)
    deeds = (
        Deed("correct", _("Correct the id"), Perm.MANAGE_DEVICES, icon="edit", form=CorrectForm),
        Deed(
            "remove", _("Stop polling it"), Perm.MANAGE_DEVICES, icon="playlist_remove", danger=True,
            question=_("The exporter does not ask for it any more. The device itself stays."),
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExporterTarget]:
        return super().get_queryset(request).with_observed_at()

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Whether the list offers its action."""
        return grants_of(request).anywhere(Perm.MANAGE_DEVICES)

    @action(description=_("Stop polling the selected"), permissions=["manage"])
    def stop_polling(self, request: HttpRequest, queryset: QuerySet[ExporterTarget]) -> None:
        """Only what the person may manage among the selected."""
        rows = queryset.visible_to(request.user, Perm.MANAGE_DEVICES).select_related("exporter__platform")
        removed = 0
        for exporter in {row.exporter for row in rows}:
            ids = [row.external_id for row in rows if row.exporter_id == exporter.pk]
            removed += remove_targets(exporter=exporter, external_ids=ids, by=request.user)
        messages.success(request, _g("Not polled any more: %(n)d.") % {"n": removed})

    def deed_form(self, request: HttpRequest, deed: Deed, row: ExporterTarget) -> Any:  # type: ignore[override]
        form = super().deed_form(request, deed, row)
        if deed.name == "correct":
            form.initial["external_id"] = row.external_id
        return form

    def correct(self, request: HttpRequest, row: ExporterTarget, answers: dict[str, Any]) -> str:
        """Deed: the device has another id in the CMS."""
        correct_target(row, external_id=answers["external_id"], by=request.user)
        return _g("Corrected. The CMS is asked for it as soon as a poller is free.")

    def remove(self, request: HttpRequest, row: ExporterTarget, answers: dict[str, Any]) -> Any:
        """Deed: one target less."""
        remove_targets(exporter=row.exporter, external_ids=[row.external_id], by=request.user)
        messages.success(request, _g("The exporter does not ask for it any more."))
        return HttpResponseRedirect(reverse("admin:exporters_exporter_change", args=[row.exporter_id]))

    @display(description=_("status"), ordering="status")
    def state_now(self, row: ExporterTarget) -> SafeString:
        return pill(row.get_status_display(), TONES[DeviceState(row.status)])

    @display(description=_("observed"), ordering=ExporterTarget.OBSERVED_AT)
    def seen(self, row: ExporterTarget) -> SafeString | str:
        return ago(row.observed_at, utcnow())

    @display(description=_("device"), ordering="device__name")
    def to_device(self, row: ExporterTarget) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)


@admin.register(PollRound)
class PollRoundAdmin(PlatformAdmin):
    list_display = (
        "started",
        "exporter",
        "answered",
        "online",
        "offline",
        "unknown",
        "targets",
        "lasted",
    )
    list_filter = ("exporter", "is_up")
    list_select_related = ("exporter",)
    fields = readonly_fields = (
        "exporter", "started_at", "finished_at", "answered", "suspect_reason", "targets", "online", "offline",
        "unknown", "errors", "lasted",
    )  # fmt: skip

    @display(description=_("started"), ordering="started_at")
    def started(self, row: PollRound) -> SafeString | str:
        return moment(row.started_at)

    @display(description=_("CMS answered"))
    def answered(self, row: PollRound) -> SafeString:
        if row.suspect_reason:
            return pill(_g("in doubt"), "amber", row.suspect_reason)
        return pill(_g("yes"), "green") if row.is_up else pill(_g("no"), "red")

    @display(description=_("lasted"))
    def lasted(self, row: PollRound) -> str:
        return _g("%(n)s s") % {"n": number_format(row.duration_s, 2 if row.duration_s < 10 else 0)}
