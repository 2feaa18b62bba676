"""Jobs: what is watched, when REMOSA acts, what it does; the sentence on top says it all."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from automation.admin.ladder import LadderField
from automation.dry_run import DryRun, dry_run
from automation.job_templates import TEMPLATES, template_of
from automation.ladder import rung_of
from automation.models import Job, JobState, JobVersion, Webhook
from automation.repairs import REBOOT
from automation.selectors import rung_words, webhook_names
from automation.sentences import job_sentence, manners_sentence, refusal_sentence, span_words
from automation.services import jobs
from automation.sources import devices_of
from automation.states import Mode
from devices.catalogue import ParamError, render
from devices.display import state_pill
from devices.models import CommandTemplate, Site
from platforms import switches
from platforms.admin_base import PlatformAdmin
from platforms.console.deeds import Deed, ReasonForm
from platforms.console.display import ago, pill
from platforms.console.fields import LabelsField, WeekField, hours_text, labels_text
from platforms.console.history import in_words
from platforms.models import KillSwitch
from platforms.roles import Perm
from remosa.lib.clock import utcnow

MODE_TONES = {Mode.SHADOW: "grey", Mode.SUGGEST: "blue", Mode.AUTO: "green"}
SHOWN_VERSIONS = 10
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
        field_classes = {
            "labels": LabelsField, "alert_labels": LabelsField, "params": ParamsField, "hours": WeekField,
        }  # fmt: skip

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
            self._check_command(cleaned["template_key"], cleaned["params"], "params")
            for step in cleaned.get("ladder") or ():
                if "minutes" in step:
                    longer = {**cleaned["params"], "minutes": step["minutes"]}
                    self._check_command(cleaned["template_key"], longer, "ladder")
        return cleaned

    def _check_command(self, key: str, params: dict[str, Any], field: str) -> None:
        """Some model must be able to send exactly this."""
        sentences: list[str] = []
        for template in CommandTemplate.objects.filter(key=key).select_related("model"):
            try:
                render(template.spec, params)
            except ParamError as exc:
                sentences += [f"{template.model.code}: {name}: {text}" for name, text in exc.errors.items()]
            else:
                return
        self.add_error(field, ValidationError(sentences or [_g("No device model has this command.")]))


def repair_commands() -> list[tuple[str, str]]:
    """(key, name) of the commands that a job may send: the output is on again afterwards, by itself."""
    names: dict[str, str] = {}
    for template in CommandTemplate.objects.select_related("model").order_by("key"):
        if template.is_repair:
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
    if job.source == Job.Source.EVENT:
        return f"{job.get_event_kind_display()}"
    if job.source == Job.Source.SCHEDULE:
        return f"{job.cron} ({job.time_zone})"
    text = f"{job.get_operator_display()} {job.threshold:g}"
    if job.clear_threshold is not None:
        text = _g("%(comparison)s (over at %(value)s)") % {
            "comparison": text, "value": f"{job.clear_threshold:g}",
        }  # fmt: skip
    if job.promql_range_s:
        text = _g("%(comparison)s all through the last %(span)s") % {
            "comparison": text, "span": span_words(job.promql_range_s),
        }  # fmt: skip
    return text


def manners_of(job: Job) -> str:
    """How it behaves by the clock, in words."""
    sites = Site.objects.filter(pk__in=devices_of(job).values("site")).exclude(broadcast_hours={})
    unknown = not job.hours and not sites.exists()
    return manners_sentence(
        hours=hours_text(job.hours), unknown=unknown, on_air=job.on_air, wait_s=job.on_air_wait_s,
        off_air=job.off_air, lead_s=job.lead_s, mode=job.mode,
    )  # fmt: skip


WOULD = {
    "nothing": (_("fine"), "green"), "unknown": (_("no data: nothing"), "grey"),
    "hold": (_("offline, not long enough yet"), "amber"), "act": (_("would act now"), "red"),
    "suggest": (_("would ask a person now"), "blue"), "write": (_("would write it down: it only watches"), "grey"),
    "refused": (_("would not act"), "amber"), "case": (_("has a case already"), "blue"),
}  # fmt: skip


def shown_lines(found: DryRun) -> list[dict[str, Any]]:
    """The lines of a dry run for the page."""
    return [
        {
            "device": line.device, "state": state_pill(line.device), "value": line.value, "since": line.since,
            "would": pill(*WOULD[line.would]),
            "why": refusal_sentence(line.refusal.guard, line.refusal.reason, line.refusal.data)
            if line.refusal else "",
            "lifts_at": line.refusal.lifts_at if line.refusal else None,
        }
        for line in found.lines
    ]  # fmt: skip


def sentence_of(job: Job, named: int | None = None) -> str:
    """The job in words."""
    template = CommandTemplate.objects.filter(key=job.template_key).select_related("model").first()
    return job_sentence(
        scope=scope_text(job, job.devices.count() if named is None else named),
        source=job.source,
        comparison=comparison_of(job),
        hold_s=job.hold_s,
        fresh_samples=job.fresh_samples,
        mode=job.mode,
        command=template.name if template else job.template_key,
        max_attempts=job.max_attempts,
        cooldown_s=job.cooldown_s,
        verify_s=job.verify_s,
        manners=manners_of(job),
        steps=ladder_words(job) if job.ladder else (),
    )


def ladder_words(job: Job) -> list[str]:
    """The steps of a job in words."""
    return rung_words(job.rungs, webhook_names(job.rungs))


def shown_value(field: str, value: Any, user: Any) -> str:
    """One value of a rule, for reading."""
    if field == "hours" and value:
        return hours_text(value)
    if field == "ladder" and value:
        rungs = [rung_of(step) for step in value]
        return "; ".join(rung_words(rungs, webhook_names(rungs)))
    if isinstance(value, dict) and value:
        return labels_text(value)
    return in_words(Job._meta.get_field(field), value, user)


def shown_changes(changes: list[tuple[str, Any, Any]], user: Any) -> list[tuple[str, str, str]]:
    """(name of the column, before, after) for reading."""
    return [
        (
            str(Job._meta.get_field(field).verbose_name),
            shown_value(field, old, user),
            shown_value(field, new, user),
        )
        for field, old, new in changes
    ]


class CloneForm(forms.Form):
    """The name of the copy."""

    name = forms.CharField(label=_("Name"), max_length=200, widget=UnfoldAdminTextInputWidget)


class RestoreForm(forms.Form):
    """Which version comes back."""

    version = forms.ModelChoiceField(
        JobVersion.objects.none(), label=_("Version"), widget=UnfoldAdminSelectWidget, empty_label=None
    )

    def __init__(self, *args: Any, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["version"]
        field.queryset = job.versions.exclude(number=job.version).order_by("-number")
        field.label_from_instance = lambda row: (
            f"{row.number} · {date_format(localtime(row.at), 'SHORT_DATETIME_FORMAT')} · {row.by}".strip(" ·")
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
    change_form_before_template = "console/job_form_head.html"
    change_form_after_template = "console/job_form_foot.html"
    fieldsets = (
        (None, {"fields": ("platform", "name", "mode", "is_enabled")}),
        (_("Whom it watches"), {"fields": ("exporter", "site", "labels", "devices")}),
        (
            _("When"),
            {"fields": ("source", "hold_s", "fresh_samples", "keep_firing_s", "evidence_max_age_s")},
        ),
        (
            _("Prometheus query"),
            {
                "fields": ("promql", ("operator", "threshold", "clear_threshold"), "promql_range_s"),
                "classes": ["collapse"],
            },
        ),
        (_("Events"), {"fields": ("event_kind", "event_within_s"), "classes": ["collapse"]}),
        (_("Set times"), {"fields": ("cron",), "classes": ["collapse"]}),
        (_("Alerts"), {"fields": ("alert_labels",), "classes": ["collapse"]}),
        (_("What it does"), {"fields": ("template_key", "params", "ladder", "may_darken_others", "overlap")}),
        (
            _("By day and by night"),
            {"fields": ("hours", ("on_air", "on_air_wait_s"), ("off_air", "lead_s"))},
        ),
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
                    "flap_changes",
                    "flap_window_s",
                    "patience_s",
                )
            },
        ),
    )
    deeds = (
        Deed("dry_run", _("Dry run"), Perm.MANAGE_DEVICES, icon="science", template="console/job_dry_run.html"),
        Deed(
            "clone", _("Copy"), Perm.MANAGE_DEVICES, icon="content_copy", form=CloneForm,
            question=_("The copy only watches until you switch it to another mode."),
        ),
        Deed(
            "restore", _("Versions"), Perm.MANAGE_DEVICES, icon="restore", template="console/job_versions.html",
            button=_("Restore"),
            question=_("The old rule becomes a new version. Name, mode, and whether the job is on stay as they are."),
            when=lambda row: row.versions.exists(),
        ),
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

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The steps of the ladder may call the webhooks that the person may see."""
        if db_field.name != "ladder":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        hooks = self.scoped_choices(request, Webhook, "ladder").select_related("platform").defer("secret")
        several = self.platform_of_page(request) is None and self.sees_several(request)
        return LadderField(
            webhooks=hooks,
            several=several,
            label=capfirst(db_field.verbose_name),
            help_text=db_field.help_text,
        )

    def store(self, request: HttpRequest, obj: Job, form: forms.ModelForm, change: bool) -> None:
        """What stood there before is kept, for the diff and the way back."""
        if change:
            jobs.keep_version(Job.objects.get(pk=obj.pk), by="", now=utcnow())
        obj.save()

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        """A changed rule is a new version: what was decided under the old one is asked again."""
        super().save_related(request, form, formsets, change)
        jobs.rule_may_have_changed(Job.objects.get(pk=form.instance.pk), by=str(request.user), now=utcnow())

    # --- before anything is stored ------------------------------------------------------------------

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A template fills the form in."""
        template = template_of(request.GET.get("template", ""))
        initial = super().get_changeform_initial_data(request)
        initial.pop("template", None)
        if template is None:
            return {"template_key": REBOOT, "params": {"minutes": 1}, **initial}
        return {"name": str(template.title), "template_key": REBOOT, **template.fields, **initial}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """A new job begins with a template; what was tried is shown above the form."""
        if kwargs.get("add") and request.method == "GET":
            context["job_templates"] = TEMPLATES
            context["job_template"] = request.GET.get("template", "")
        return super().render_change_form(request, context, **kwargs)

    def _changeform(
        self, request: HttpRequest, object_id: str | None, form_url: str, extra_context: Any
    ) -> HttpResponse:
        """“Dry run” judges what stands in the form, and stores nothing."""
        if request.method == "POST" and "_try" in request.POST:
            row = self.get_object(request, unquote(object_id)) if object_id else None
            allowed = (
                self.has_add_permission(request) if row is None else self.has_change_permission(request, row)
            )
            if not allowed or (object_id and row is None):
                return super()._changeform(request, object_id, form_url, extra_context)  # 403 or 404
            extra_context = {**(extra_context or {}), **self._tried(request, row)}
            request._console_refusal = _g("A dry run: nothing has been stored.")
        return super()._changeform(request, object_id, form_url, extra_context)

    def _tried(self, request: HttpRequest, row: Job | None) -> dict[str, Any]:
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if not form.is_valid():
            return {}
        job = form.save(commit=False)
        stored, job.pk = job.pk, None
        named = [device.pk for device in form.cleaned_data.get("devices", ())]
        found = dry_run(job, now=utcnow(), named=named, stored=stored)
        return {
            "tried": found,
            "tried_lines": shown_lines(found),
            "tried_sentence": sentence_of(job, len(named)),
        }

    # --- what the page shows ------------------------------------------------------------------------

    def deed_form(self, request: HttpRequest, deed: Deed, row: Job) -> forms.Form:
        if deed.name == "restore":
            return RestoreForm(request.POST if request.method == "POST" else None, job=row)
        return super().deed_form(request, deed, row)

    def ask(
        self, request: HttpRequest, deed: Deed, row: Job, form: forms.Form, **context: Any
    ) -> HttpResponse:
        """The dry run is a page that only shows; the versions come with what each changed."""
        if deed.name == "dry_run":
            found = dry_run(row, now=utcnow())
            context |= {"tried": found, "tried_lines": shown_lines(found), "tried_sentence": sentence_of(row)}
        if deed.name == "restore":
            found_versions = jobs.versions_of(row)[:SHOWN_VERSIONS]
            context["versions"] = [
                (version, shown_changes(changes, request.user)) for version, changes in found_versions
            ]
        return super().ask(request, deed, row, form, **context)

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

    def dry_run(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: a look at it once more; nothing is done."""
        return ""

    def clone(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> HttpResponse:
        """Deed: a copy."""
        copy = jobs.clone(row, name=answers["name"], by=request.user, now=utcnow())
        messages.success(request, _g("The copy is here. It only watches."))
        return HttpResponseRedirect(self.page_of(copy))

    def restore(self, request: HttpRequest, row: Job, answers: dict[str, Any]) -> str:
        """Deed: an old rule."""
        found = jobs.restore(row, answers["version"], by=request.user, now=utcnow())
        return _g("The rule of version %(n)d is back.") % {"n": answers["version"].number} if found else ""

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
        jobs.keep_version(row, by="", now=utcnow())
        Job.objects.filter(pk=row.pk).update(is_enabled=on)
        row.refresh_from_db(fields=["is_enabled"])
        jobs.new_version(row, by=str(request.user), now=utcnow())
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
