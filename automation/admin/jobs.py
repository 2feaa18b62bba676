"""Jobs: what is watched, when REMOSA acts, what it does; the sentence on top says it all."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from automation.models import Job, JobState
from automation.sentences import job_sentence
from automation.sources import devices_of
from automation.states import Mode
from devices.catalogue import DARKENING, ParamError, render
from devices.display import state_pill
from devices.models import CommandTemplate
from platforms import switches
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed, ReasonForm
from platforms.console.display import ago, pill
from platforms.console.fields import LabelsField, labels_text
from platforms.models import KillSwitch
from platforms.roles import Perm
from remosa.lib.clock import utcnow

MODE_TONES = {Mode.SHADOW: "grey", Mode.SUGGEST: "blue", Mode.AUTO: "green"}
NO_RULE = frozenset({"name"})  # a change of these does not change what the job decides
SHOWN_DEVICES = 12


class ParamsField(LabelsField):
    """Parameters of a command as lines ``name = value``; whole numbers are numbers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.help_text = _("One per line, for example: minutes = 1")

    def to_python(self, value: Any) -> dict[str, Any]:
        found = super().to_python(value)
        return {name: int(text) if text.lstrip("-").isdigit() else text for name, text in found.items()}


class JobForm(forms.ModelForm):
    """A job whose command must be one that the catalogue can make."""

    class Meta:
        model = Job
        fields = ("platform",)
        field_classes = {"labels": LabelsField, "alert_labels": LabelsField, "params": ParamsField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "template_key" in self.fields:
            self.fields["template_key"] = forms.ChoiceField(
                label=_("Command"), choices=repair_commands(), widget=UnfoldAdminSelectWidget
            )
        if "promql" in self.fields:
            number = self.instance.platform_id or "…"
            self.fields["promql"].help_text = format_html(
                str(_("Each metric must carry {}. The result is compared below.")), f'platform_id="{number}"'
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "params" in cleaned and "template_key" in cleaned:
            self._check_command(cleaned["template_key"], cleaned["params"])
        return cleaned

    def _check_command(self, key: str, params: dict[str, Any]) -> None:
        """Some model must be able to send exactly this."""
        sentences: list[str] = []
        for template in CommandTemplate.objects.filter(key=key).select_related("model"):
            try:
                render(template.spec, params)
            except ParamError as exc:
                sentences += [f"{template.model.code}: {name}: {text}" for name, text in exc.errors.items()]
            else:
                return
        self.add_error("params", ValidationError(sentences or [_g("No device model has this command.")]))


def repair_commands() -> list[tuple[str, str]]:
    """(key, name) of the commands that cut the power and bring it back by themselves."""
    names: dict[str, str] = {}
    for template in (
        CommandTemplate.objects.filter(power__in=DARKENING).select_related("model").order_by("key")
    ):
        names.setdefault(template.key, template.name)
    return [(key, f"{name} ({key})") for key, name in names.items()]


def scope_text(job: Job, named: int) -> str:
    """Whom the job watches, as the middle of its sentence."""
    parts = []
    if job.exporter is not None:
        parts.append(_g("exporter “%(name)s”") % {"name": job.exporter})
    if job.site is not None:
        parts.append(_g("site “%(name)s”") % {"name": job.site})
    if job.labels:
        parts.append(_g("labels %(labels)s") % {"labels": labels_text(job.labels)})
    if named:
        parts.append(_g("%(n)d named devices") % {"n": named})
    whole = _g("all players of “%(platform)s”") % {"platform": job.platform}
    return f"{whole} ({', '.join(parts)})" if parts else whole


def comparison_of(job: Job) -> str:
    """What the source is compared to."""
    if job.source == Job.Source.ALERT:
        return labels_text(job.alert_labels) if job.alert_labels else ""
    return f"{job.get_operator_display()} {job.threshold:g}"


def sentence_of(job: Job) -> str:
    """The job in words."""
    template = CommandTemplate.objects.filter(key=job.template_key).select_related("model").first()
    return job_sentence(
        scope=scope_text(job, job.devices.count()),
        source=job.source,
        comparison=comparison_of(job),
        hold_s=job.hold_s,
        fresh_samples=job.fresh_samples,
        mode=job.mode,
        command=template.name if template else job.template_key,
        max_attempts=job.max_attempts,
        cooldown_s=job.cooldown_s,
        verify_s=job.verify_s,
    )


def job_stop(job: Job) -> KillSwitch | None:
    """The switch that stops this very job, or None."""
    rows = switches.engaged(now=utcnow()).filter(scope=KillSwitch.Scope.JOB, platform=job.platform_id)
    return rows.filter(target_id=job.pk).first()


@admin.register(Job)
class JobAdmin(PlatformAdmin):
    form = JobForm
    list_display = ("name", "mode_now", "platform", "watches", "evaluated", "trouble")
    list_filter = ("platform", "mode", "is_enabled", "source")
    list_select_related = ("platform", "exporter", "site")
    search_fields = ("name",)
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    autocomplete_fields = ("devices",)
    head_template = "console/job_head.html"
    fieldsets = (
        (None, {"fields": ("platform", "name", "mode", "is_enabled")}),
        (_("Whom it watches"), {"fields": ("exporter", "site", "labels", "devices")}),
        (
            _("When"),
            {"fields": ("source", "hold_s", "fresh_samples", "evidence_max_age_s")},
        ),
        (_("Prometheus query"), {"fields": ("promql", "operator", "threshold"), "classes": ["collapse"]}),
        (_("Alerts"), {"fields": ("alert_labels",), "classes": ["collapse"]}),
        (_("What it does"), {"fields": ("template_key", "params", "may_darken_others")}),
        (
            _("How often, and when a person is called"),
            {
                "fields": (
                    "max_attempts",
                    "verify_s",
                    "stable_s",
                    "cooldown_s",
                    "max_actions_per_day",
                    "max_actions_per_week",
                    "patience_s",
                )
            },
        ),
    )
    deeds = (
        Deed(
            "enable", _("Switch the job on"), Perm.MANAGE_DEVICES, icon="toggle_on",
            question=_("The job watches again. It learns the present state first; nothing is caught up."),
            when=lambda row: not row.is_enabled,
        ),
        Deed(
            "disable", _("Switch the job off"), Perm.MANAGE_DEVICES, icon="toggle_off",
            question=_("The job neither watches nor acts. Commands of its that have not left are dropped."),
            when=lambda row: row.is_enabled,
        ),
        Deed(
            "stop", _("Stop its actions"), Perm.MANAGE_DEVICES, icon="stop_circle", form=ReasonForm, danger=True,
            question=_("The job goes on watching and opening cases, but does not act until somebody resumes it."),
            when=lambda row: job_stop(row) is None,
        ),
        Deed(
            "resume", _("Let it act again"), Perm.MANAGE_DEVICES, icon="play_arrow",
            question=_("The job may act again."), when=lambda row: job_stop(row) is not None,
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return super().get_queryset(request).prefetch_related("devices")

    def store(self, request: HttpRequest, obj: Job, form: forms.ModelForm, change: bool) -> None:
        """A changed rule is a new version: what was decided under the old one is asked again."""
        obj.save()
        if change and set(form.changed_data) - NO_RULE:
            self._new_version(obj)

    def _new_version(self, job: Job) -> None:
        Job.objects.filter(pk=job.pk).update(version=F("version") + 1)
        job.refresh_from_db(fields=["version"])

    def head_context(self, request: HttpRequest, row: Job) -> dict[str, Any]:
        devices = (
            devices_of(row)
            .visible_to(request.user)
            .with_observed_at()
            .select_related("site")
            .order_by("state", "name")
        )
        phases = {state.device_id: state for state in JobState.objects.filter(job=row)}
        shown = [(device, state_pill(device), phases.get(device.pk)) for device in devices[:SHOWN_DEVICES]]
        return {
            "sentence": sentence_of(row), "matching": devices.count(), "devices": shown, "shown": SHOWN_DEVICES,
            "run": row.runs.filter(looked_at__gt=0).first(), "stop": job_stop(row),
        }  # fmt: skip

    # --- deeds -------------------------------------------------------------------------------------

    def enable(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: on."""
        self._switch(request, row, on=True)
        return _g("The job is on.")

    def disable(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: off."""
        self._switch(request, row, on=False)
        return _g("The job is off.")

    def _switch(self, request: HttpRequest, row: Job, *, on: bool) -> None:
        Job.objects.filter(pk=row.pk).update(is_enabled=on, version=F("version") + 1)
        self.record(
            request,
            row,
            "enabled" if on else "disabled",
            before={"is_enabled": not on},
            after={"is_enabled": on},
        )

    def stop(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: the kill switch of one job."""
        switches.engage(
            scope=KillSwitch.Scope.JOB, platform=row.platform, target_id=row.pk, reason=answers["reason"],
            by=request.user, now=utcnow(),
        )  # fmt: skip
        return _g("The job does not act any more.")

    def resume(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: end every stop of this job."""
        while switch := job_stop(row):
            if not switches.release(switch, by=request.user, now=utcnow()):
                break
        return _g("The job may act again.")

    # --- showing -----------------------------------------------------------------------------------

    @display(description=_("mode"), ordering="mode")
    def mode_now(self, row: Job) -> SafeString:
        if not row.is_enabled:
            return pill(_g("off"), "grey")
        return pill(row.get_mode_display(), MODE_TONES[Mode(row.mode)])

    @display(description=_("watches"))
    def watches(self, row: Job) -> str:
        return scope_text(row, len(row.devices.all()))

    @display(description=_("last evaluated"), ordering="evaluated_at")
    def evaluated(self, row: Job) -> SafeString | str:
        return ago(row.evaluated_at, utcnow())

    @display(description=_("cannot run because"))
    def trouble(self, row: Job) -> SafeString | str:
        return pill(row.broken_reason[:60], "red", row.broken_reason) if row.broken_reason else ""
