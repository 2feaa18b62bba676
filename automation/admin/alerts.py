"""Alerts that others send: the list, where they come from, how their labels name devices, what was set aside."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from automation.alert_configs import PLACE
from automation.mapping import Rule
from automation.models import Alert, AlertMapping, AlertSource, RejectedAlert, Webhook
from automation.sentences import refused_sentence, rejected_sentence
from automation.services.intake import map_alerts
from automation.services.sources import (
    add_mapping,
    configs_of,
    create_source,
    mappings_changed,
    replace_secret,
)
from automation.states import AlertState
from devices.models import Device
from platforms.admin_base import PlatformAdmin, PlatformInline
from platforms.console.deeds import Deed
from platforms.console.display import DASH, ago, link, moment, pill
from platforms.console.fields import LabelsField, SecretsForm, labels_text
from platforms.roles import Perm
from remosa.lib.clock import utcnow

SHOWN = 20
QUARANTINED = (Alert.Unmapped.NO_RULE, Alert.Unmapped.NO_DEVICE, Alert.Unmapped.AMBIGUOUS)
TONES = {AlertState.PENDING: "amber", AlertState.FIRING: "red", AlertState.RESOLVED: "green"}


def alert_pill(row: Alert) -> SafeString:
    """Whether it fires; one whose sender does not know is grey, whatever it says."""
    if row.signal:
        return pill(row.get_signal_display(), "grey", row.get_state_display())
    return pill(row.get_state_display(), TONES[AlertState(row.state)])


class SourceForm(SecretsForm):
    """A source of alerts; without a secret it gets one of its own."""

    secrets = ("secret",)

    class Meta:
        model = AlertSource
        fields = ("platform",)


class MappingForm(forms.ModelForm):
    """A mapping as one line."""

    class Meta:
        model = AlertMapping
        fields = ("position", "by", "template", "device", "only")
        field_classes = {"only": LabelsField}


class MappingInline(PlatformInline):
    """The source's mappings, in the order in which they are tried."""

    model = AlertMapping
    form = MappingForm
    fields = ("position", "by", "template", "device", "only")
    change_perm = delete_perm = Perm.MANAGE_DEVICES
    verbose_name_plural = _("How labels name devices")


class TryForm(forms.Form):
    """A mapping to be tried on what came in."""

    by = forms.ChoiceField(
        label=_("Look the device up by"), widget=UnfoldAdminSelectWidget,
        choices=[choice for choice in AlertMapping.By.choices if choice[0] != AlertMapping.By.DEVICE],
    )  # fmt: skip
    template = forms.CharField(
        label=_("Text"), max_length=200, widget=UnfoldAdminTextInputWidget, initial="{mac}",
        help_text=_("Labels in braces, for example {mac} or {hall}-{screen}."),
    )  # fmt: skip
    only = LabelsField(label=_("only with labels"))


@admin.register(AlertSource)
class AlertSourceAdmin(PlatformAdmin):
    form = SourceForm
    list_display = ("name", "kind", "platform", "arrives", "last_delivery", "refused")
    list_filter = ("platform", "kind", "is_enabled")
    list_select_related = ("platform",)
    search_fields = ("name",)
    view_perm = change_perm = delete_perm = Perm.MANAGE_DEVICES
    inlines = (MappingInline,)
    head_template = "console/alert_source_head.html"
    deeds = (
        Deed(
            "new_secret", _("New secret"), Perm.MANAGE_DEVICES, icon="key", danger=True,
            question=_("The old secret is refused at once: paste the new configuration at the other end."),
        ),
        Deed(
            "try_mapping", _("Try a mapping"), Perm.MANAGE_DEVICES, icon="rule", form=TryForm,
            template="console/alert_try.html",
            question=_("See which devices it would find for the last alerts, before you keep it."),
        ),
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: AlertSource | None = None) -> Any:
        main = ["platform", "name", "kind", "auth", *(["is_enabled"] if obj is not None else [])]
        secret = ["secret"] if self.has_change_permission(request, obj) or obj is None else []
        more = ["username", *secret, "signature_header", "timestamp_header"]
        return [(None, {"fields": main}), (_("Advanced"), {"fields": more, "classes": ["collapse"]})]

    def get_inlines(self, request: HttpRequest, obj: AlertSource | None) -> Any:
        return self.inlines if obj is not None else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertSource]:
        return super().get_queryset(request).defer("secret")

    def save_model(self, request: HttpRequest, obj: AlertSource, form: forms.ModelForm, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        create_source(obj, by=request.user)
        request._console_secret = str(obj.secret)  # type: ignore[attr-defined]

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if any(formset.has_changed() for formset in formsets):
            self.record(
                request, form.instance, "mappings_set",
                after={"mappings": [str(row) for row in form.instance.mappings.all()]},
            )  # fmt: skip
            mappings_changed(form.instance)

    def response_add(
        self, request: HttpRequest, obj: AlertSource, post_url_continue: Any = None
    ) -> HttpResponse:
        """The one page that ever shows the secret, inside what is to be pasted."""
        return self._once(request, obj, request._console_secret)  # type: ignore[attr-defined]

    def _once(self, request: HttpRequest, row: AlertSource, secret: str) -> HttpResponse:
        file = configs_of(row, secret=secret)[0]
        context = {
            **self.admin_site.each_context(request),
            "title": str(row), "opts": self.opts, "back": self.page_of(row), "secret": file.text,
            "advice": _g("Copy it now: the secret in it is kept encrypted and cannot be shown again."),
            "label": _g("Paste this into %(file)s.") % {"file": file.where},
        }  # fmt: skip
        return TemplateResponse(request, "console/once.html", context, headers={"Cache-Control": "no-store"})

    def head_context(self, request: HttpRequest, row: AlertSource) -> dict[str, Any]:
        now = utcnow()
        alerts = Alert.objects.visible_to(request.user).filter(source=row)
        return {
            "configs": configs_of(row), "place": PLACE, "source_url": row.url, "now": now,
            "refused_text": refused_sentence(row.refused_why) if row.refused_at else "",
            "last_delivery": row.deliveries.order_by("-received_at").first(),
            "firing": alerts.filter(state=AlertState.FIRING).count(),
            "quarantined": alerts.filter(unmapped__in=QUARANTINED, device=None).count(),
            "rejected": row.rejected.count(),
            "last": [
                (alert, alert_pill(alert), labels_text(alert.labels))
                for alert in alerts.select_related("device").order_by("-received_at", "-pk")[:SHOWN]
            ],
        }  # fmt: skip

    # --- deeds -------------------------------------------------------------------------------------

    def new_secret(self, request: HttpRequest, row: AlertSource, answers: dict[str, Any]) -> HttpResponse:
        """Deed: another secret, shown this once."""
        return self._once(request, row, replace_secret(row, by=request.user))

    def try_mapping(self, request: HttpRequest, row: AlertSource, answers: dict[str, Any]) -> Any:
        """Deed: the test box; kept only when asked for."""
        mapping = AlertMapping(source=row, **answers)
        mapping.clean()
        if "keep" in request.POST:
            return _g("Kept. Alerts that found their device by it: %(n)d.") % {
                "n": add_mapping(row, mapping, by=request.user)
            }
        deed = next(each for each in self.deeds if each.name == "try_mapping")
        rule = Rule(by=answers["by"], template=answers["template"], only=answers["only"])
        return self.ask(request, deed, row, TryForm(request.POST), results=self._tried(request, row, [rule]))

    def _tried(self, request: HttpRequest, row: AlertSource, rules: list[Rule]) -> list[dict[str, Any]]:
        """The last alerts, and what the rules make of them."""
        seen = Alert.objects.visible_to(request.user).filter(source=row)
        last = list(seen.order_by("-received_at", "-pk")[:SHOWN])
        found = map_alerts(row, last, rules=rules)
        devices = Device.objects.visible_to(request.user).in_bulk(
            [each.device_id for each in found if each.device_id]
        )
        words = dict(Alert.Unmapped.choices)
        return [
            {
                "alert": alert, "labels": labels_text(alert.labels), "device": devices.get(each.device_id),
                "why": words.get(each.why, each.why),
            }
            for alert, each in zip(last, found, strict=True)
        ]  # fmt: skip

    # --- showing -----------------------------------------------------------------------------------

    @display(description=_("state"))
    def arrives(self, row: AlertSource) -> SafeString:
        if not row.is_enabled:
            return pill(_g("off"), "grey")
        last = row.deliveries.order_by("-received_at").values_list("received_at", flat=True).first()
        if row.refused_at is not None and (last is None or row.refused_at > last):
            return pill(_g("is refused"), "red", refused_sentence(row.refused_why))
        return pill(_g("receives"), "green") if last else pill(_g("nothing yet"), "grey")

    @display(description=_("last received"))
    def last_delivery(self, row: AlertSource) -> SafeString | str:
        last = row.deliveries.order_by("-received_at").first()
        return ago(last.received_at, utcnow()) if last else DASH

    @display(description=_("last refused"), ordering="refused_at")
    def refused(self, row: AlertSource) -> SafeString | str:
        return ago(row.refused_at, utcnow()) if row.refused_at else DASH


class QuarantineFilter(admin.SimpleListFilter):
    """Those that name no device that is known."""

    title = _("quarantine")
    parameter_name = "quarantine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("in quarantine"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        return queryset.filter(unmapped__in=QUARANTINED, device=None) if self.value() == "1" else queryset


OF_THE_RULE = ("alertname", "severity", "job", "rulename", "grafana_folder")


def _as_a_name(label: str) -> tuple[bool, str]:
    """Labels in the order in which they are likely to name a device: what a whole rule shares comes last."""
    return label in OF_THE_RULE, label


class FromAlertForm(forms.Form):
    """Which of this alert's labels names the device, and how."""

    label = forms.ChoiceField(label=_("This label names the device"), widget=UnfoldAdminSelectWidget)
    by = forms.ChoiceField(
        label=_("Look the device up by"), choices=AlertMapping.By.choices, widget=UnfoldAdminSelectWidget
    )
    device = forms.ModelChoiceField(
        label=_("device"), queryset=Device.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        help_text=_("Only for “always this device”: alerts with exactly this label are this device's."),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("by") == AlertMapping.By.DEVICE and cleaned.get("device") is None and not self.errors:
            self.add_error("device", _("Choose the device."))
        return cleaned


@admin.register(Alert)
class AlertAdmin(PlatformAdmin):
    list_display = ("name", "state_now", "to_device", "started", "received", "source", "platform")
    list_filter = ("platform", "source", "state", "signal", QuarantineFilter)
    list_select_related = ("platform", "source", "device")
    search_fields = ("name", "device__name", "summary", "fingerprint")
    search_help_text = _("alert, device, summary")
    fields = (
        "platform", "name", "summary", "state_now", "to_device", "source", "started", "ended", "first_received_at",
        "received", "times", "fingerprint",
    )  # fmt: skip
    head_template = "console/alert_head.html"
    deeds = (
        Deed(
            "create_mapping", _("Create mapping"), Perm.MANAGE_DEVICES, icon="add_link", form=FromAlertForm,
            question=_("From now on, alerts of this source find their device by it; those in quarantine too."),
            when=lambda row: row.device_id is None and row.unmapped in QUARANTINED,
        ),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Alert | None = None) -> list[str]:
        return list(self.fields)

    def head_context(self, request: HttpRequest, row: Alert) -> dict[str, Any]:
        return {
            "state_pill": alert_pill(row), "labels": sorted(row.labels.items()),
            "changes": [
                (pill(each.get_state_display(), TONES[AlertState(each.state)]), each.at)
                for each in row.changes.all()
            ],
            "episodes": Alert.objects.visible_to(request.user)
            .filter(source=row.source_id, fingerprint=row.fingerprint).exclude(pk=row.pk).order_by("-starts_at")[:10],
            "unmapped_text": row.get_unmapped_display() if row.unmapped in QUARANTINED else "",
        }  # fmt: skip

    def deed_form(self, request: HttpRequest, deed: Deed, row: Alert) -> forms.Form:
        form = super().deed_form(request, deed, row)
        if isinstance(form, FromAlertForm):
            names = sorted((name for name in row.labels if name.isidentifier()), key=_as_a_name)
            form.fields["label"].choices = [(name, f"{name} = {row.labels[name]}") for name in names]
            form.fields["device"].queryset = (
                Device.objects.visible_to(request.user).of(row.platform_id).filter(is_active=True)
            )
        return form

    def create_mapping(self, request: HttpRequest, row: Alert, answers: dict[str, Any]) -> str:
        """Deed: a rule out of what came."""
        label, by = answers["label"], answers["by"]
        if by == AlertMapping.By.DEVICE:
            mapping = AlertMapping(by=by, device=answers["device"], only={label: row.labels[label]})
        else:
            mapping = AlertMapping(by=by, template="{" + label + "}")
        mapped = add_mapping(row.source, mapping, by=request.user, first=by == AlertMapping.By.DEVICE)
        return _g("Kept. Alerts that found their device by it: %(n)d.") % {"n": mapped}

    # --- showing -----------------------------------------------------------------------------------

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Alert) -> SafeString:
        return alert_pill(row)

    @display(description=_("device"), ordering="device__name")
    def to_device(self, row: Alert) -> SafeString | str:
        if row.device_id is not None:
            return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)
        return pill(row.get_unmapped_display(), "amber") if row.unmapped in QUARANTINED else DASH

    @display(description=_("started"), ordering="starts_at")
    def started(self, row: Alert) -> SafeString | str:
        return ago(row.starts_at, utcnow())

    @display(description=_("ended"), ordering="ends_at")
    def ended(self, row: Alert) -> SafeString | str:
        return moment(row.ends_at) if row.ends_at else DASH

    @display(description=_("last received"), ordering="received_at")
    def received(self, row: Alert) -> SafeString | str:
        return ago(row.received_at, utcnow())


@admin.register(RejectedAlert)
class RejectedAlertAdmin(PlatformAdmin):
    list_display = ("received", "why", "source", "beginning")
    list_filter = ("source", "reason")
    list_select_related = ("source__platform",)
    view_perm = Perm.MANAGE_DEVICES
    fields = ("source", "received", "why", "content")

    def get_readonly_fields(self, request: HttpRequest, obj: RejectedAlert | None = None) -> list[str]:
        return list(self.fields)

    @display(description=_("received"), ordering="received_at")
    def received(self, row: RejectedAlert) -> SafeString | str:
        return ago(row.received_at, utcnow())

    @display(description=_("reason"), ordering="reason")
    def why(self, row: RejectedAlert) -> str:
        return rejected_sentence(row.reason)

    @display(description=_("content"))
    def beginning(self, row: RejectedAlert) -> str:
        return row.content[:80]


class WebhookForm(SecretsForm):
    """An address, and the secret that signs."""

    secrets = ("secret",)

    class Meta:
        model = Webhook
        fields = ("platform",)


@admin.register(Webhook)
class WebhookAdmin(PlatformAdmin):
    form = WebhookForm
    list_display = ("name", "platform", "url", "is_enabled")
    list_filter = ("platform", "is_enabled")
    list_select_related = ("platform",)
    search_fields = ("name",)
    view_perm = change_perm = delete_perm = Perm.MANAGE_DEVICES
    fields = ("platform", "name", "url", "secret", "is_enabled")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        return super().get_queryset(request).defer("secret")
