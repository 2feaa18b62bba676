"""SMS gateways: the form that a backend declares, the secret that is never shown, the test SMS, the light."""

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from platforms.admin_base import PlatformAdmin, grants_of
from platforms.console.deeds import Deed
from platforms.console.fields import SecretsForm
from platforms.models import Platform
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.registry import backend
from sms.display import blocked_sentence
from sms.errors import SmsError
from sms.lights import gateway_pill, limits_of, rate_text
from sms.models import Gateway, ModemStatus, SmsMessage
from sms.ports import ConfigField
from sms.queue import MODEM_SILENT
from sms.selectors import blocked_for
from sms.services import callback_addresses, configuration_faults, enqueue
from sms.services.gateways import has_own_process, resume

PREFIX = "config_"
OWN_SIM = ("modem", "android")
SENDING = [
    "sender_msisdn",
    "priority",
    "rate_per_minute",
    "rate_per_day",
    "validity_s",
    "price",
    "price_in",
    "currency",
]


def config_field(spec: ConfigField) -> forms.Field:
    """The form field of one setting of a backend; objects and lists are written as JSON."""
    kwargs: dict[str, Any] = {
        "label": capfirst(spec.label),
        "required": spec.required,
        "help_text": spec.help,
    }
    if spec.choices:
        choices = [(choice, choice) for choice in spec.choices]
        return forms.ChoiceField(
            choices=choices, initial=spec.default, widget=UnfoldAdminSelectWidget, **kwargs
        )
    if spec.kind in ("mapping", "list", "json"):
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})
        return forms.JSONField(initial=spec.default, widget=widget, **{**kwargs, "required": False})
    return forms.CharField(max_length=1000, initial=spec.default, widget=UnfoldAdminTextInputWidget, **kwargs)


class GatewayForm(SecretsForm):
    """A gateway with the settings that its kind asks for, kept together in ``config``."""

    secrets = ("secret", "hook_secret")
    specs: tuple[ConfigField, ...] = ()
    kind = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "secret" in self.fields:
            self.fields["secret"].label = capfirst(backend("SMS_GATEWAYS", self.kind).secret_label)
        for spec in self.specs:
            name = f"{PREFIX}{spec.name}"
            if name in self.fields and spec.name in self.instance.config:
                self.initial[name] = self.instance.config[spec.name]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        config = dict(self.instance.config)
        for spec in self.specs:
            value = cleaned.get(f"{PREFIX}{spec.name}")
            config.pop(spec.name, None)
            if value not in (None, ""):
                config[spec.name] = value
        self.instance.kind = self.kind
        self.instance.config = config
        for name, sentence in configuration_faults(self.kind, config).items():
            self.add_error(f"{PREFIX}{name}" if f"{PREFIX}{name}" in self.fields else None, sentence)
        return cleaned


class TestForm(forms.Form):
    """To whom the test SMS goes; the hidden number makes two clicks one SMS."""

    to = forms.CharField(
        label=_("To"),
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("For example +79001234567."),
    )
    text = forms.CharField(
        label=_("Text"), max_length=160, initial="REMOSA test", widget=UnfoldAdminTextInputWidget
    )
    platform = forms.ModelChoiceField(
        label=_("At the expense of"), queryset=Platform.objects.none(), widget=UnfoldAdminSelectWidget
    )
    nonce = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)


@admin.register(Gateway)
class GatewayAdmin(PlatformAdmin):
    list_display = (
        "name",
        "light",
        "kind_shown",
        "platform",
        "priority",
        "sender_msisdn",
        "rate_shown",
        "price_shown",
        "is_enabled",
    )
    list_filter = ("platform", "is_enabled")
    list_select_related = ("platform",)
    search_fields = ("name",)
    view_perm = change_perm = delete_perm = Perm.MANAGE_PLATFORM
    refusals = (*PlatformAdmin.refusals, SmsError)
    head_template = "console/gateway_head.html"
    deeds = (
        Deed(
            "send_test", _("Send a test SMS"), Perm.MANAGE_PLATFORM, icon="send", form=TestForm,
            asks_again=True,
            question=_("One real SMS goes out through this gateway and counts against the limit."),
            when=lambda row: row.is_enabled,
        ),
        Deed(
            "try_again", _("Try again now"), Perm.MANAGE_PLATFORM, icon="play_arrow",
            question=_("The pause after errors ends at once; what waits for this gateway is sent."),
            when=lambda row: row.is_enabled and row.breaker == Gateway.Breaker.OPEN,
        ),
    )  # fmt: skip

    # --- the form depends on the kind --------------------------------------------------------------

    def kind_of(self, request: HttpRequest, obj: Gateway | None) -> str:
        """The kind of this page's gateway; "" while it is to be chosen."""
        kind = obj.kind if obj is not None else request.GET.get("kind", "")
        return kind if kind in settings.SMS_GATEWAYS else ""

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the kind, then the form of that kind."""
        if self.has_add_permission(request) and not self.kind_of(request, None):
            kinds = [(kind, kind_name(kind), _doc_line(kind)) for kind in settings.SMS_GATEWAYS]
            context = {
                **self.admin_site.each_context(request), "title": _g("Add an SMS gateway"), "opts": self.opts,
                "named_kinds": kinds,
            }  # fmt: skip
            return TemplateResponse(request, "console/choose_kind.html", context)
        return super().add_view(request, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kind = self.kind_of(request, obj)
        specs = tuple(backend("SMS_GATEWAYS", kind).fields) if kind else ()
        own = {f"{PREFIX}{spec.name}": config_field(spec) for spec in specs}
        kwargs["form"] = type("KindForm", (GatewayForm,), {**own, "specs": specs, "kind": kind})
        form = super().get_form(request, obj, change=change, **kwargs)
        if "platform" in form.base_fields:
            form.base_fields["platform"].required = not request.user.is_superuser
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A SIM card is blocked by its operator when it sends too much: careful numbers for a modem and a phone."""
        careful = {"rate_per_minute": 6, "rate_per_day": 100}
        return super().get_changeform_initial_data(request) | (
            careful if self.kind_of(request, None) in OWN_SIM else {}
        )

    def get_fieldsets(self, request: HttpRequest, obj: Gateway | None = None) -> Any:
        kind = self.kind_of(request, obj)
        may_edit = self.has_change_permission(request, obj) if obj is not None else True
        specs = backend("SMS_GATEWAYS", kind).fields if kind and may_edit else ()
        secrets = ["secret"] if kind and backend("SMS_GATEWAYS", kind).secret_label and may_edit else []
        hooks = ["hook_secret"] if obj is not None and kind and may_edit and self._has_hooks(kind) else []
        connection = [f"{PREFIX}{spec.name}" for spec in specs if spec.required] + secrets
        details = [f"{PREFIX}{spec.name}" for spec in specs if not spec.required] + hooks
        is_read = bool(kind) and backend("SMS_GATEWAYS", kind).capabilities.inbox
        head = ["platform", "name", *(["kind_shown"] if obj is not None else []), "is_enabled"]
        shown = [
            (kind_name(kind) if obj is None else None, {"fields": head}),
            (_("Connection"), {"fields": connection}),
            (_("Sending"), {"fields": [*SENDING, *(["poll_interval_s"] if is_read else [])]}),
            (_("Details of the connection"), {"fields": details, "classes": ["collapse"]}),
        ]  # fmt: skip
        return [(name, options) for name, options in shown if options["fields"]]

    def _has_hooks(self, kind: str) -> bool:
        can = backend("SMS_GATEWAYS", kind).capabilities
        return can.reports or can.inbound

    def get_readonly_fields(self, request: HttpRequest, obj: Gateway | None = None) -> list[str]:
        fixed = super().get_readonly_fields(request, obj)
        return [*fixed, "kind_shown"] if obj is not None else fixed

    def store(self, request: HttpRequest, obj: models.Model, form: forms.ModelForm, change: bool) -> None:
        """Only the settings are written: what the outbox counts in the row goes on meanwhile."""
        written = {field.name for field in obj._meta.concrete_fields if field.editable} | {"changed_at"}
        written -= {*obj.get_deferred_fields(), "id"}
        obj.save(update_fields=written if change else None)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gateway]:
        return super().get_queryset(request).defer("secret", "hook_secret")

    # --- showing -----------------------------------------------------------------------------------

    def head_context(self, request: HttpRequest, row: Gateway) -> dict[str, Any]:
        is_known = row.kind in settings.SMS_GATEWAYS
        # an address may hold a token: it is for those who may change it
        shown = callback_addresses(row) if is_known and self.has_change_permission(request, row) else {}
        return {
            "report_url": shown.get("report", ""),
            "inbound_url": shown.get("inbound", ""),
            "blocked": self._blocked(request, row),
            "limits": limits_of(row, utcnow()),
            **self._modem(row),
            "last": row.messages.order_by("-created_at")[:5],
        }

    def _modem(self, row: Gateway) -> dict[str, Any]:
        """What the process of a modem says of it, and whether it says anything."""
        if row.kind not in settings.SMS_GATEWAYS or not has_own_process(row.kind):
            return {}
        status = ModemStatus.objects.filter(gateway=row).first()
        seen = status.seen_at if status is not None else None
        is_silent = row.is_enabled and (seen is None or utcnow() - seen > MODEM_SILENT)
        return {"modem": status, "modem_is_silent": is_silent}

    def _blocked(self, request: HttpRequest, row: Gateway) -> str:
        """What is said of a suspended gateway, counted over the platforms that the reader sees whole."""
        now, mine = utcnow(), grants_of(request).platforms(Perm.SEE_ALL)
        found = [told for told in blocked_for(mine, now=now) if told.gateway.pk == row.pk]
        if not found:
            return ""
        told = found[0]
        return blocked_sentence(row.name, reason=told.reason, since=told.since, waiting=told.waiting, now=now)

    @display(description=_("kind"), ordering="kind")
    def kind_shown(self, row: Gateway) -> str:
        return kind_name(row.kind)

    @display(description=pgettext_lazy("how much a gateway may send", "rate"), ordering="rate_per_minute")
    def rate_shown(self, row: Gateway) -> str:
        return rate_text(row)

    @display(description=_("state"))
    def light(self, row: Gateway) -> SafeString:
        return format_html("<span>{}</span>", gateway_pill(row))  # one piece, which wraps on a phone

    @display(description=_("price"), ordering="price")
    def price_shown(self, row: Gateway) -> str:
        return f"{row.price.normalize():f} {row.currency}"

    # --- deeds -------------------------------------------------------------------------------------

    def deed_form(self, request: HttpRequest, deed: Deed, row: Gateway) -> forms.Form:  # type: ignore[override]
        form = super().deed_form(request, deed, row)
        if deed.form is not TestForm:
            return form
        payers = Platform.objects.filter(pk__in=grants_of(request).platforms(Perm.MANAGE_PLATFORM))
        payers = payers.filter(pk=row.platform_id) if row.platform_id else payers
        form.fields["platform"].queryset = payers  # type: ignore[attr-defined]
        form.fields["platform"].initial = row.platform_id
        return form

    def try_again(self, request: HttpRequest, row: Gateway, answers: dict[str, Any]) -> str:
        """Deed: a person has seen to it."""
        if resume(row):
            self.record(request, row, "resumed")
        return _g("The gateway is tried again.")

    def send_test(self, request: HttpRequest, row: Gateway, answers: dict[str, Any]) -> str:
        """Deed: one SMS into the outbox, pinned to this gateway."""
        message = enqueue(
            platform=answers["platform"], to=answers["to"], body=answers["text"], purpose=SmsMessage.Purpose.TEST,
            dedupe_key=f"test:{request.user.pk}:{answers['nonce'].hex}", gateway=row, for_people=True, now=utcnow(),
        )  # fmt: skip
        self.record(request, row, "tested", after={"sms": str(message.pk)})
        return _g("The test SMS is in the outbox. Watch its state there.")


def kind_name(kind: str) -> str:
    """What people call this kind of gateway."""
    known = {
        "remosa": "REMOSA", "http": "HTTP", "kannel": "Kannel", "smsc_ru": "SMSC.ru", "sms_ru": "SMS.ru",
        "android": "SMS Gateway for Android", "twilio": "Twilio", "modem": _g("GSM modem"),
        "console": _g("Log instead of sending"), "simulator": _g("Simulator"),
    }  # fmt: skip
    return known.get(kind, kind)


def _doc_line(kind: str) -> str:
    """What this kind is, from the first line of its backend."""
    known = {
        "remosa": _g("The SMS gateway of REMOSA: POST /send, GET /sms."),
        "http": _g("Any gateway with an HTTP API: the request and its answers are described here."),
        "kannel": _g("Kannel, by its smsbox."),
        "smsc_ru": _g("SMSC.ru: send, reports and incoming SMS."),
        "sms_ru": _g("SMS.ru: send and reports."),
        "android": _g("An Android phone with SMS Gateway, in its local or cloud mode."),
        "twilio": _g("Twilio: Programmable Messaging."),
        "modem": _g(
            "A GSM modem on a serial port or behind a terminal server; its process is `manage.py modem`."
        ),
        "console": _g("Writes the SMS into the log. Nothing is sent: for trying things out."),
        "simulator": _g("The simulator of players and sockets."),
    }
    return known.get(kind, kind)
