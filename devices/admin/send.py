"""Send a command from the console: choose, fill in, see the exact text, its price and who goes dark, confirm.

Three steps on one address. The first two only read; the last one is a POST with a number that is used
once: sent twice by an impatient hand, it is one command.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from devices.catalogue import CATEGORIES, DARKENING
from devices.errors import CommandForbidden, CommandInvalid, IdempotencyConflict
from devices.models import Command, CommandTemplate, Device, PowerLink
from devices.parameters import ParamSpec
from devices.services import may_send, preview, request_command
from devices.services.commands import LONE_OFF
from platforms.console.confirmation import confirmed_again
from platforms.console.grants import grants_of
from platforms.roles import RANK
from remosa.lib.clock import utcnow

FIRST = ("power", "status")  # categories that are needed at night
POWER_ORDER = ("cycle", "on", "off")
REFUSALS = (CommandInvalid, CommandForbidden, IdempotencyConflict)


@dataclass(frozen=True)
class GoesDark:
    """A device that loses its power by the command; ``name`` is "" where it is not the reader's to see."""

    name: str
    state: str


class ParametersForm(forms.Form):
    """The typed parameters of one template, and why the command is sent."""

    reason = forms.CharField(
        label=_("Why"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("Stands in the audit."),
    )  # fmt: skip

    def __init__(self, *args: Any, template: CommandTemplate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.specs = template.spec.params
        shortest = {"minutes": 1} if template.power == "cycle" else {}  # enough for a player to start anew
        own = {f"p_{spec.name}": field_of(spec, initial=shortest.get(spec.name)) for spec in self.specs}
        self.fields = {**own, **self.fields}

    def params(self) -> dict[str, Any]:
        """What was filled in, as the catalogue wants it."""
        found: dict[str, Any] = {}
        for spec in self.specs:
            value = self.cleaned_data[f"p_{spec.name}"]
            found[spec.name] = value.split() if spec.type == "e164_list" else value
        return found

    def show_errors(self, exc: CommandInvalid) -> None:
        """Put the catalogue's sentences next to their fields."""
        for name, sentence in exc.fields.items():
            own = next((field for field in (f"p_{name}", name) if field in self.fields), None)
            self.add_error(own, str(sentence))
        if not self.errors:
            self.add_error(None, str(exc))


class ConfirmForm(forms.Form):
    """The last question before a command that darkens or is dangerous."""

    confirmed = forms.BooleanField(label=_("I know what this does"), widget=UnfoldBooleanWidget)


def field_of(spec: ParamSpec, *, initial: int | None = None) -> forms.Field:
    """The form field of one parameter; the catalogue itself checks what is typed."""
    label = str(spec.label)
    if spec.type == "int":
        return forms.IntegerField(
            label=label, min_value=spec.minimum, max_value=spec.maximum, help_text=spec.hint, initial=initial,
            widget=UnfoldAdminIntegerFieldWidget,
        )  # fmt: skip
    if spec.type == "enum":
        return forms.ChoiceField(
            label=label, choices=[("", "—"), *spec.labelled_choices()], widget=UnfoldAdminSelectWidget
        )
    widget = (
        UnfoldAdminTextareaWidget(attrs={"rows": 4})
        if spec.type == "e164_list"
        else UnfoldAdminTextInputWidget()
    )
    return forms.CharField(label=label, max_length=1000, help_text=spec.hint, widget=widget)


def needs_confirmation(template: CommandTemplate) -> bool:
    """Dangerous, darkening, or acting on all outputs at once: asked for twice."""
    return template.dangerous or template.power in DARKENING or template.spec.acts_on_all_lines


def going_dark(socket: Device, template: CommandTemplate, user: Any) -> list[GoesDark]:
    """Who hangs on the outputs that the command switches off."""
    if template.power not in DARKENING:
        return []
    links = PowerLink.objects.filter(socket=socket, valid_to=None, device__is_active=True)
    if template.line:
        links = links.filter(line=template.line)
    visible = set(Device.objects.visible_to(user).filter(power_links__in=links).values_list("pk", flat=True))
    return [
        GoesDark(row.device.name if row.device_id in visible else "", row.device.get_state_display())
        for row in links.select_related("device").order_by("device__name")
    ]


def _rank(template: CommandTemplate) -> tuple[Any, ...]:
    """What is needed at night stands on top, what is dangerous at the end."""
    order = [*FIRST, *(name for name in CATEGORIES if name not in FIRST)]
    known = template.category in order
    power = POWER_ORDER.index(template.power) if template.power in POWER_ORDER else len(POWER_ORDER)
    return template.dangerous, order.index(template.category) if known else len(order), power, template.key


class SendPages:
    """Gives the device page its ``send/`` address."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.send_view))
        return [path("<path:object_id>/send/", view, name="devices_device_send"), *super().get_urls()]

    def sendable(self, request: HttpRequest, device: Device) -> list[CommandTemplate]:
        """The templates that this person may send to this device; none without a model or out of service."""
        if device.model is None or not device.is_active:
            return []
        rank = grants_of(request).rank_on(device.platform_id)
        rows = device.model.templates.select_related("model")
        allowed = [row for row in rows if RANK[row.min_role] <= rank]
        return allowed if allowed and may_send(request.user, device, allowed[0]) else []

    def send_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose (GET), fill in (GET ``template``), see (POST ``step=preview``), send (POST ``step=send``)."""
        device = self.require_row(request, object_id)
        templates = {row.key: row for row in self.sendable(request, device)}
        key = request.POST.get("template") or request.GET.get("template")
        if not templates or (key and key not in templates):
            raise PermissionDenied
        if not key:
            return self._choose(request, device, list(templates.values()))
        template = templates[key]
        target = self._target(request, device)
        data = request.POST if request.method == "POST" else None
        form = ParametersForm(data, template=template)
        if request.method != "POST" or not form.is_valid():
            return self._fill(request, device, template, target, form)
        try:
            rendered, price = preview(device=device, template_key=key, params=form.params())
        except CommandInvalid as exc:
            form.show_errors(exc)
            return self._fill(request, device, template, target, form)
        confirm = ConfirmForm(request.POST if "sending" in request.POST else None)
        sure = not needs_confirmation(template) or confirm.is_valid()
        if "sending" in request.POST and sure:
            return confirmed_again(self._send)(request, device, template, target, form)
        shown = {
            "rendered": rendered,
            "price": price,
            "confirm": confirm if needs_confirmation(template) else None,
        }
        return self._fill(request, device, template, target, form, **shown)

    def _choose(self, request: HttpRequest, device: Device, templates: list[CommandTemplate]) -> HttpResponse:
        groups: dict[str, list[CommandTemplate]] = {}
        for row in sorted(templates, key=_rank):
            category = "danger" if row.dangerous else row.category
            groups.setdefault(str(CATEGORIES.get(category, category)), []).append(row)
        lines = range(1, (device.model.lines if device.model else 0) + 1)
        cycles = [(line, self.cycle_url(request, device, line)) for line in lines]
        cycles = [
            (line, url) for line, url in cycles if "/cycle/" in url
        ]  # the others are commands of their own
        return self._page(request, "console/send_choose.html", device, groups=groups.items(), cycles=cycles)

    def _target(self, request: HttpRequest, socket: Device) -> Device | None:
        """The player that the command shall repair: visible, and powered by this very socket."""
        number = request.POST.get("target") or request.GET.get("target") or ""
        if not number.isdigit() or len(number) > 18:
            return None
        fed = PowerLink.objects.filter(socket=socket, valid_to=None).values("device")
        return Device.objects.visible_to(request.user).filter(pk=int(number), pk__in=fed).first()

    def _fill(
        self,
        request: HttpRequest,
        device: Device,
        template: CommandTemplate,
        target: Device | None,
        form: ParametersForm,
        **shown: Any,
    ) -> HttpResponse:
        """The form, and below it, once it is filled in well, exactly what would happen."""
        dark = going_dark(device, template, request.user)
        context = {
            "template": template, "target": target, "form": form, "dark": dark,
            "stays_off": template.power in LONE_OFF, "nonce": self._nonce(request),
            "hidden": sum(1 for row in dark if not row.name),
            "minutes": form.cleaned_data.get("p_minutes") if form.is_bound and not form.errors else None,
            **shown,
        }  # fmt: skip
        return self._page(request, "console/send.html", device, status=400 if form.errors else 200, **context)

    def _nonce(self, request: HttpRequest) -> str:
        try:
            return uuid.UUID(request.POST.get("nonce", "")).hex
        except ValueError:
            return uuid.uuid4().hex

    def _send(
        self,
        request: HttpRequest,
        device: Device,
        template: CommandTemplate,
        target: Device | None,
        form: ParametersForm,
    ) -> HttpResponse:
        """Ask for the command; the same number sent again leads to the same command."""
        try:
            command = request_command(
                device=device, template_key=template.key, params=form.params(), target=target,
                source=Command.Source.PERSON, source_ref="console", actor=request.user,
                idem_key=f"console:{request.user.pk}:{self._nonce(request)}", cause_id=uuid.uuid4(),
                reason=form.cleaned_data["reason"], ttl=timedelta(minutes=5), now=utcnow(),
            )  # fmt: skip
        except REFUSALS as exc:
            form.add_error(None, str(exc))
            return self._fill(request, device, template, target, form)
        messages.success(request, _g("The command is on its way. This page follows it."))
        return HttpResponseRedirect(reverse("admin:devices_command_change", args=[quote(command.pk)]))

    def _page(
        self, request: HttpRequest, page: str, device: Device, status: int = 200, **context: Any
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request),
            "title": _g("%(device)s: send a command") % {"device": device}, "opts": self.opts, "object": device,
            "original": device, "back": self.page_of(device),
            **context,
        }  # fmt: skip
        return TemplateResponse(request, page, shown, status=status)
