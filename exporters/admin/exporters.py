"""Exporters: a CMS account that is polled, with the devices pasted as MACs."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from devices.states import DeviceState
from exporters.errors import ExportersError
from exporters.models import Exporter
from exporters.services import (
    AddReport,
    add_targets,
    adopt_found,
    create_exporter,
    poll_now,
    remove_exporter,
    update_exporter,
)
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed
from platforms.console.display import ago, pill
from platforms.console.fields import SecretsForm
from platforms.roles import Perm
from remosa.lib.clock import utcnow

MOST_LINES = 10_000
SHOWN_FAULTS = 15
KIND_NAMES = {"cubic": "Cubic", "addreality": "Addreality"}


LINES_HELP = _(
    "One per line: a MAC (or a number in the CMS), then perhaps a name. Any way of writing a MAC will do."
)


class DevicesForm(forms.Form):
    """Devices to poll, pasted."""

    lines = forms.CharField(
        label=_("Devices"), max_length=500_000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 10}),
        help_text=LINES_HELP,
    )  # fmt: skip


class ExporterForm(SecretsForm):
    """An exporter; a new one comes with its devices."""

    secrets = ("secret",)
    lines = forms.CharField(
        label=_("Devices"), max_length=500_000, required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        help_text=LINES_HELP,
    )  # fmt: skip

    class Meta:
        model = Exporter
        fields = ("platform",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            self.fields["kind"] = forms.ChoiceField(
                label=_("Kind"), widget=UnfoldAdminSelectWidget,
                choices=[(kind, KIND_NAMES.get(kind, kind)) for kind in settings.EXPORTERS],
            )  # fmt: skip


def exporter_pill(row: Exporter) -> SafeString:
    """How the CMS feels."""
    now = utcnow()
    if not row.is_enabled:
        return pill(_g("off"), "grey")
    if row.is_up is None or row.last_round_at is None:
        return pill(_g("not asked yet"), "grey")
    if now - row.last_round_at > 3 * row.max_age:
        return pill(_g("the poller is silent"), "red")
    if not row.is_up:
        return pill(_g("does not answer"), "red", row.last_error)
    if row.suspect_reason:
        return pill(_g("in doubt"), "amber", row.suspect_reason)
    return pill(_g("answers"), "green")


def say_report(request: HttpRequest, report: AddReport) -> None:
    """What became of the pasted lines, the bad ones with their numbers."""
    if report.added:
        text = _g("Added: %(added)d, new devices among them: %(created)d.")
        messages.success(request, text % {"added": len(report.added), "created": report.created})
    if report.known:
        messages.info(request, _g("Polled already: %(n)d.") % {"n": len(report.known)})
    if report.duplicates:
        messages.warning(request, _g("Pasted twice: %(n)d.") % {"n": len(report.duplicates)})
    faults = [
        _g("Line %(number)d (%(text)s): %(why)s")
        % {"number": bad.line_no, "text": bad.text, "why": bad.reason}
        for bad in report.bad
    ] + [f"{refused.external_id}: {refused.reason}" for refused in report.refused]
    for fault in faults[:SHOWN_FAULTS]:
        messages.error(request, fault)
    if len(faults) > SHOWN_FAULTS:
        messages.error(
            request, _g("and %(n)d more lines that were not taken.") % {"n": len(faults) - SHOWN_FAULTS}
        )


@admin.register(Exporter)
class ExporterAdmin(PlatformAdmin):
    form = ExporterForm
    list_display = ("name", "light", "last_success", "kind", "platform", "targets_now", "interval")
    list_filter = ("platform", "kind", "is_enabled")
    list_select_related = ("platform",)
    search_fields = ("name",)
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    refusals = (*PlatformAdmin.refusals, ExportersError)
    head_template = "console/exporter_head.html"
    deeds = (
        Deed(
            "poll", _("Poll now"), Perm.MANAGE_DEVICES, icon="sync",
            question=_("The next free poller asks the CMS at once."), when=lambda row: row.is_enabled,
        ),
        Deed("add_devices", _("Add devices"), Perm.MANAGE_DEVICES, icon="playlist_add", form=DevicesForm),
        Deed(
            "adopt", _("Add what was found"), Perm.MANAGE_DEVICES, icon="library_add",
            question=_(
                "The CMS reports devices that nobody has added. They become players of this platform, within its limit."
            ),
            when=lambda row: row.found.exists(),
        ),
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Exporter | None = None) -> Any:
        if obj is None:
            main = ["platform", "name", "kind", "base_url", "secret", "lines"]
            return [
                (None, {"fields": main}),
                (_("Advanced"), {"fields": self._advanced, "classes": ["collapse"]}),
            ]
        secret = ["secret"] if self.has_change_permission(request, obj) else []
        return [
            (None, {"fields": ["platform", "name", "kind_name", "is_enabled"]}),
            (_("Advanced"), {"fields": ["base_url", *secret, *self._advanced], "classes": ["collapse"]}),
        ]

    _advanced = ("interval_s", "timeout_s", "concurrency")

    def get_readonly_fields(self, request: HttpRequest, obj: Exporter | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), *(["kind_name"] if obj is not None else [])]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exporter]:
        return super().get_queryset(request).defer("secret").annotate(
            number_of_targets=Count("targets"),
            number_offline=Count("targets", filter=Q(targets__status=DeviceState.OFFLINE)),
            number_unknown=Count("targets", filter=Q(targets__status=DeviceState.UNKNOWN)),
        )  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Exporter, form: forms.ModelForm, change: bool) -> None:
        if change:
            update_exporter(obj, by=request.user)
            return
        create_exporter(platform=obj.platform, by=request.user, exporter=obj)
        if form.cleaned_data.get("lines", "").strip():
            say_report(request, add_targets(exporter=obj, lines=form.cleaned_data["lines"], by=request.user))

    def delete_model(self, request: HttpRequest, obj: Exporter) -> None:
        remove_exporter(obj, by=request.user)

    def head_context(self, request: HttpRequest, row: Exporter) -> dict[str, Any]:
        troubled = row.targets.exclude(status=DeviceState.ONLINE)
        return {
            "state_pill": exporter_pill(row), "rounds": row.rounds.order_by("-started_at")[:5],
            "found": row.found.count(), "targets_total": row.targets.count(),
            "troubled": troubled.select_related("device").order_by("status", "external_id")[:20],
            "metrics_url": f"{settings.PUBLIC_URL}/exporters/{row.pk}/metrics",
        }  # fmt: skip

    # --- deeds -------------------------------------------------------------------------------------

    def poll(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> str:
        """Deed: ask the CMS at once."""
        poll_now(row)
        return _g("The CMS is asked as soon as a poller is free.")

    def add_devices(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> None:
        """Deed: pasted lines."""
        say_report(request, add_targets(exporter=row, lines=answers["lines"], by=request.user))

    def adopt(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> None:
        """Deed: everything that the CMS reported by itself."""
        say_report(request, adopt_found(exporter=row, by=request.user))

    # --- showing -----------------------------------------------------------------------------------

    @display(description=_("state"))
    def light(self, row: Exporter) -> SafeString:
        return exporter_pill(row)

    @display(description=_("last success"), ordering="last_success_at")
    def last_success(self, row: Exporter) -> SafeString | str:
        return ago(row.last_success_at, utcnow())

    @display(description=_("kind"), ordering="kind")
    def kind_name(self, row: Exporter) -> str:
        return KIND_NAMES.get(row.kind, row.kind)

    @display(description=_("devices"))
    def targets_now(self, row: Exporter) -> SafeString | str:
        total = str(row.number_of_targets)  # type: ignore[attr-defined]
        parts = [
            pill(_g("offline: %(n)d") % {"n": number}, "amber")
            for number in [row.number_offline]
            if number  # type: ignore[attr-defined]
        ] + [
            pill(_g("no data: %(n)d") % {"n": number}, "grey")
            for number in [row.number_unknown]
            if number  # type: ignore[attr-defined]
        ]
        return SafeString(" ".join([total, *parts]))

    @display(description=_("poll interval"), ordering="interval_s")
    def interval(self, row: Exporter) -> str:
        return _g("%(n)g s") % {"n": row.interval_s}
