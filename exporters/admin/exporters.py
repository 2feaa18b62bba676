"""Exporters: a CMS account that is polled, with the devices pasted as MACs."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.decorators import display

from devices.models import Device
from devices.states import DeviceState
from exporters.admin.forms import DevicesForm, form_of, sections_of
from exporters.errors import ExportersError
from exporters.macs import read_mac_lines
from exporters.metric_catalogue import metric_of
from exporters.models import Exporter, PollRound
from exporters.ports import PollSettings
from exporters.prometheus_files import scrape_config
from exporters.selectors import served_exporter
from exporters.services import (
    AddReport,
    add_targets,
    adopt_found,
    create_exporter,
    poll_now,
    remove_exporter,
    update_exporter,
)
from exporters.services.accounts import same_server
from exporters.serving import exposition_of
from exporters.trial import try_out
from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.deeds import Deed
from platforms.console.display import ago, bar, exact_span_text, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.registry import backend

TRIED = {"base_url", "secret", "timeout_s"}

SHOWN_FAULTS = 15
SHOWN_LINES = 200
SHOWN_ROUNDS = 60
CHOSEN_AT_MOST = 500
KIND_NAMES = {"cubic": "Cubic", "addreality": "Addreality", "json": _("Another CMS (JSON)")}
KIND_TEXTS = {
    "cubic": _("CubicMedia: one question per player, by its MAC."),
    "addreality": _("Addreality: lists of players, with an API key; finds new players by itself."),
    "json": _("Any CMS that answers JSON: you describe what to ask and where the answer stands."),
}


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


def charts_of(rounds: list[PollRound]) -> list[tuple[str, str, str]]:
    """(title, data, options) for Chart.js, of the last rounds, oldest first."""
    if len(rounds) < 2:
        return []
    labels = [f"{timezone.localtime(one.started_at):%H:%M:%S}" for one in rounds]

    def line(title: str, values: list[float | None], colour: str) -> dict[str, Any]:
        return {
            "label": title,
            "data": values,
            "borderColor": colour,
            "backgroundColor": colour,
            "spanGaps": False,
        }

    answered = [100 * (one.online + one.offline) / one.targets if one.targets else None for one in rounds]
    shown = [
        (_g("Duration, s"), [
            line(_g("whole poll"), [round(one.duration_s, 3) for one in rounds], "#3b82f6"),
            line(_g("one answer"), [one.latency_s and round(one.latency_s, 4) for one in rounds], "#f59e0b"),
        ]),
        (_g("Devices answered for, %"), [
            line("%", [value if value is None else round(value, 1) for value in answered], "#22c55e"),
        ]),
    ]  # fmt: skip
    found = []
    for number, (title, lines) in enumerate(shown):
        options = {
            "responsive": True, "maintainAspectRatio": False, "animation": False,
            "plugins": {"legend": {"display": len(lines) > 1, "position": "bottom"}},
            "scales": {
                "y": {"beginAtZero": True, **({"max": 100} if number else {})},
                "x": {"ticks": {"maxTicksLimit": 6, "maxRotation": 0, "autoSkipPadding": 12}},
            },
        }  # fmt: skip
        found.append((title, json.dumps({"labels": labels, "datasets": lines}), json.dumps(options)))
    return found


def named_metrics(lines: list[str]) -> list[tuple[str, str, str]]:
    """(name, what people call it, unit) of every metric in an exposition, in its order; facts are no number."""
    names = [line.split(" ", 3)[2] for line in lines if line.startswith("# TYPE ")]
    found = [metric_of(name) for name in names if not name.endswith("_info")]
    return [(metric.name, str(metric.title), str(metric.unit)) for metric in found]


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


class AdoptForm(forms.Form):
    """Which of the found devices become players."""

    chosen = forms.MultipleChoiceField(
        label=_("Found by the CMS"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "rm-checks"}),
    )


@admin.register(Exporter)
class ExporterAdmin(PlatformAdmin):
    list_display = ("name", "light", "last_success", "kind_name", "platform", "targets_now", "interval")
    list_filter = ("platform", "kind", "is_enabled")
    list_select_related = ("platform",)
    search_fields = ("name",)
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    refusals = (*PlatformAdmin.refusals, ExportersError)
    head_template = "console/exporter_head.html"
    change_form_before_template = "console/exporter_charts.html"
    change_form_after_template = "console/exporter_try.html"
    deeds = (
        Deed(
            "poll", _("Poll now"), Perm.MANAGE_DEVICES, icon="sync",
            question=_("The next free poller asks the CMS at once."), when=lambda row: row.is_enabled,
        ),
        Deed("add_devices", _("Add devices"), Perm.MANAGE_DEVICES, icon="playlist_add", form=DevicesForm),
        Deed(
            "adopt", _("Add what was found"), Perm.MANAGE_DEVICES, icon="library_add", form=AdoptForm,
            question=_(
                "The CMS reports devices that nobody has added. They become players of this platform, within its limit."
            ),
            when=lambda row: row.found.exists(),
        ),
    )  # fmt: skip
    _advanced = ("interval_s", "timeout_s", "concurrency", "rate_per_s", "jitter_s", "has_old_names")

    # --- the form depends on the kind --------------------------------------------------------------

    def kind_of(self, request: HttpRequest, obj: Exporter | None) -> str:
        """The kind of this page's exporter; "" while it is to be chosen."""
        kind = obj.kind if obj is not None else request.GET.get("kind") or request.POST.get("kind", "")
        return kind if kind in settings.EXPORTERS else ""

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the kind, then the form of that kind."""
        if self.has_add_permission(request) and not self.kind_of(request, None):
            kinds = [
                (kind, KIND_NAMES.get(kind, kind), KIND_TEXTS.get(kind, "")) for kind in settings.EXPORTERS
            ]
            context = {
                **self.admin_site.each_context(request), "title": _g("Add an exporter"), "opts": self.opts,
                "named_kinds": kinds,
            }  # fmt: skip
            return TemplateResponse(request, "console/choose_kind.html", context)
        return super().add_view(request, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = form_of(self.kind_of(request, obj))
        form = super().get_form(request, obj, change=change, **kwargs)
        for name in self._advanced:
            if obj is None and name in form.base_fields:
                form.base_fields[name].required = False  # what is left out has its default
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The platform and the address are known more often than not."""
        kind = self.kind_of(request, None)
        own = list(grants_of(request).platforms(self.making_perm))
        given = {"name": str(KIND_NAMES.get(kind, kind)) if kind in ("cubic", "addreality") else ""}
        if len(own) == 1:
            given["platform"] = own[0]
        return {
            **given,
            "base_url": self.usual_address(request, kind),
            **super().get_changeform_initial_data(request),
        }

    def usual_address(self, request: HttpRequest, kind: str) -> str:
        """Where CMSs of this kind are: as the person's newest exporter has it, else as the environment says."""
        if kind == "json":
            return ""
        last = (
            Exporter.objects.visible_to(request.user, Perm.MANAGE_DEVICES).filter(kind=kind).order_by("-pk")
        )
        return last.values_list("base_url", flat=True).first() or settings.EXPORTER_URLS.get(kind, "")

    def get_fieldsets(self, request: HttpRequest, obj: Exporter | None = None) -> Any:
        kind = self.kind_of(request, obj)
        may_edit = obj is None or self.has_change_permission(request, obj)
        has_secret = kind == "json" or (kind and "secret" in backend("EXPORTERS", kind).secret_fields)
        has_secret = has_secret or (obj is not None and bool(obj.secret))  # a stored one can be replaced
        secret = ["secret"] if may_edit and has_secret else []
        own = sections_of(kind) if may_edit else []
        if obj is None:
            address = ["base_url"]
            is_known = bool(self.usual_address(request, kind))  # then it may stay out of sight
            main = ["platform", "name", *([] if is_known else address), *secret, "lines"]
            rest = [*(address if is_known else []), *self._advanced]
        else:
            main, rest = (
                ["platform", "name", "kind_name", "is_enabled"],
                ["base_url", *secret, *self._advanced],
            )
        return [(None, {"fields": main}), *own, (_("Advanced"), {"fields": rest, "classes": ["collapse"]})]

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
        rounds = list(row.rounds.order_by("-started_at")[:SHOWN_ROUNDS])
        return {
            "state_pill": exporter_pill(row), "rounds": rounds[:5], "found": row.found.count(),
            "targets_total": row.targets.count(), "charts": charts_of(rounds[::-1]),
            "troubled": troubled.with_observed_at()
            .prefetch_related(Prefetch("device", queryset=Device.objects.with_observed_at()))
            .order_by("status", "external_id")[:20],
            "progress": bar(row.round_done, row.round_total) if row.round_total else None,
            "may_adopt": self.has_change_permission(request, row),
        }  # fmt: skip

    # --- what Prometheus sees ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "try/", self.admin_site.admin_view(csrf_protect(self.try_view)), name="exporters_exporter_try"
            ),
            path(
                "<path:object_id>/prometheus/",
                self.admin_site.admin_view(self.prometheus_view),
                name="exporters_exporter_prometheus",
            ),
        ]
        return own + super().get_urls()

    def prometheus_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A ready configuration to copy, and the series as they are served now."""
        row = self.require_row(request, object_id)
        found = served_exporter(platform_id=row.platform_id, exporter_id=row.pk)
        text = exposition_of(found, now=utcnow(), openmetrics=False, compressed=False).decode()
        lines = text.splitlines()
        context = {
            **self.admin_site.each_context(request), "title": f"{row}: Prometheus", "opts": self.opts,
            "original": row, "back": self.page_of(row), "preview": "\n".join(lines[:SHOWN_LINES]),
            "more": max(0, len(lines) - SHOWN_LINES), "series": sum(not line.startswith("#") for line in lines),
            "snippet": scrape_config(row.platform_id), "metrics": named_metrics(lines),
            "metrics_url": f"{settings.PUBLIC_URL}/exporters/{row.pk}/metrics",
            "rules_url": f"{settings.PUBLIC_URL}/platforms/{row.platform_id}/rules.yml",
            "dashboard_url": f"{settings.PUBLIC_URL}/platforms/{row.platform_id}/dashboard.json",
        }  # fmt: skip
        return TemplateResponse(request, "console/exporter_prometheus.html", context)

    # --- the live test -------------------------------------------------------------------------------

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the real CMS with what stands in the form; nothing is stored."""
        row = self._tried_row(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        stored = Exporter.objects.get(pk=row.pk) if row is not None else None
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        form.is_valid()
        faults = {
            name: errors
            for name, errors in form.errors.items()
            if name in TRIED or name.startswith("config_")
        }
        secret = form.cleaned_data.get("secret") or ""
        address = form.cleaned_data.get("base_url") or ""
        if stored is not None and secret == stored.secret != "" and not same_server(address, stored.base_url):
            faults["secret"] = [
                _g("The address leads to another server: enter the API key again, it is not sent there.")
            ]
        trial = None
        if not faults:
            kind = self.kind_of(request, row)
            config = form.config_of(form.cleaned_data) if kind == "json" else {}
            asked = PollSettings(
                address, secret, timeout_s=form.cleaned_data.get("timeout_s") or 10.0, config=config
            )
            trial = try_out(backend("EXPORTERS", kind)(), asked, self._tried_ids(row, kind, form))
        named = [
            (form.fields[name].label if name in form.fields else "", errors)
            for name, errors in faults.items()
        ]
        return TemplateResponse(request, "console/exporter_trial.html", {"trial": trial, "faults": named})

    def _tried_row(self, request: HttpRequest) -> Exporter | None:
        """The exporter of the form, None for a new one; 404 and 403 as everywhere."""
        if key := request.GET.get("object"):
            row = self.require_row(request, key)
            if not self.has_change_permission(request, row):
                raise PermissionDenied
            return row
        if not self.has_add_permission(request):
            raise PermissionDenied
        if not self.kind_of(request, None):
            raise Http404
        return None

    def _tried_ids(self, row: Exporter | None, kind: str, form: forms.ModelForm) -> list[str]:
        if row is not None:
            return list(row.targets.order_by("pk").values_list("external_id", flat=True)[:10])
        normalise = backend("EXPORTERS", kind)().normalise_id
        return [
            line.mac
            for line in read_mac_lines(form.cleaned_data.get("lines") or "", normalise=normalise).accepted
        ]

    # --- deeds -------------------------------------------------------------------------------------

    def poll(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> str:
        """Deed: ask the CMS at once."""
        poll_now(row)
        return _g("The CMS is asked as soon as a poller is free.")

    def add_devices(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> None:
        """Deed: pasted lines."""
        say_report(request, add_targets(exporter=row, lines=answers["lines"], by=request.user))

    def deed_form(self, request: HttpRequest, deed: Deed, row: Exporter) -> forms.Form:  # type: ignore[override]
        form = super().deed_form(request, deed, row)
        if deed.name == "adopt":
            waiting = row.found.order_by("pk")[:CHOSEN_AT_MOST]
            choices = [(one.external_id, f"{one.external_id} {one.name}".strip()) for one in waiting]
            form.fields["chosen"].choices = choices  # type: ignore[attr-defined]
            form.initial["chosen"] = [key for key, _text in choices]
        return form

    def adopt(self, request: HttpRequest, row: Exporter, answers: dict[str, Any]) -> None:
        """Deed: the chosen ones of what the CMS reported by itself."""
        say_report(request, adopt_found(exporter=row, external_ids=answers["chosen"], by=request.user))

    # --- showing -----------------------------------------------------------------------------------

    @display(description=_("state"))
    def light(self, row: Exporter) -> SafeString:
        return exporter_pill(row)

    @display(description=_("last success"), ordering="last_success_at")
    def last_success(self, row: Exporter) -> SafeString | str:
        return ago(row.last_success_at, utcnow())

    @display(description=_("kind"), ordering="kind")
    def kind_name(self, row: Exporter) -> str:
        return str(KIND_NAMES.get(row.kind, row.kind))

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
        return exact_span_text(row.interval_s)
