"""Reboot one output in the way of its model: every text that it takes, the price, who goes dark, then a yes."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from devices.admin.send import REFUSALS, ConfirmForm, going_dark
from devices.catalogue import DARKENING
from devices.models import Command, Device
from devices.services import Plan, may_send, plan_for, power_cycle
from devices.services.restorations import MAX_MINUTES, texts_of_cycle
from platforms.console.confirmation import confirmed_again
from remosa.lib.clock import utcnow


class CycleForm(forms.Form):
    """For how long, and why."""

    minutes = forms.IntegerField(
        label=_("Minutes without power"), min_value=1, max_value=MAX_MINUTES, initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
    )  # fmt: skip
    reason = forms.CharField(
        label=_("Why"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("Stands in the audit."),
    )  # fmt: skip


class CyclePages:
    """Gives the device page its ``cycle/`` address, and says where an output can be rebooted."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.cycle_view))
        return [path("<path:object_id>/cycle/", view, name="devices_device_cycle"), *super().get_urls()]

    def cycle_url(self, request: HttpRequest, socket: Device, line: int, target: Device | None = None) -> str:
        """Where the person may reboot this output; "" when the model cannot, or they may not."""
        plan = self._plan_of(request, socket, line)
        if plan is None:
            return ""
        if plan.way == "cycle":
            where, query = "admin:devices_device_send", {"template": plan.templates[0].key}
        else:
            where, query = "admin:devices_device_cycle", {"line": str(line)}
        query |= {"target": str(target.pk)} if target is not None else {}
        return f"{reverse(where, args=[socket.pk])}?{urlencode(query)}"

    def _plan_of(self, request: HttpRequest, socket: Device, line: int) -> Plan | None:
        plan = plan_for(socket, line) if socket.is_active else None
        if plan is None or not all(may_send(request.user, socket, each) for each in plan.templates):
            return None
        return plan

    def cycle_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Fill in (GET ``line``), see (POST), reboot (POST with ``sending``)."""
        socket = self.require_row(request, object_id)
        asked = request.POST.get("line") or request.GET.get("line") or ""
        line = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 3 else 0
        if socket.kind != Device.Kind.SOCKET or socket.model is None or not 1 <= line <= socket.model.lines:
            raise Http404
        plan = self._plan_of(request, socket, line)
        if plan is None:
            raise PermissionDenied
        form = CycleForm(request.POST if request.method == "POST" else None)
        confirm = ConfirmForm(request.POST if "sending" in request.POST else None)
        if request.method != "POST" or not form.is_valid():
            return self._cycle_page(request, socket, line, plan, form)
        if "sending" in request.POST and confirm.is_valid():
            return confirmed_again(self._cycle)(request, socket, line, plan, form)
        texts, price = texts_of_cycle(socket, plan, minutes=form.cleaned_data["minutes"])
        shown = {"rendered": texts[0], "then": texts[1:], "price": price, "confirm": confirm}
        return self._cycle_page(request, socket, line, plan, form, **shown)

    def _cycle(
        self, request: HttpRequest, socket: Device, line: int, plan: Plan, form: CycleForm
    ) -> HttpResponse:
        """Begin it; the same number sent again leads to the same reboot."""
        try:
            cycle = power_cycle(
                device=socket, line=line, minutes=form.cleaned_data["minutes"], source=Command.Source.PERSON,
                source_ref="console", actor=request.user, target=self._target(request, socket), cause_id=uuid.uuid4(),
                idem_key=f"console:{request.user.pk}:{self._nonce(request)}", reason=form.cleaned_data["reason"],
                now=utcnow(),
            )  # fmt: skip
        except REFUSALS as exc:
            form.add_error(None, str(exc))
            return self._cycle_page(request, socket, line, plan, form)
        if cycle.restoration is not None:
            url = reverse("admin:devices_restoration_change", args=[quote(cycle.restoration.pk)])
        else:
            assert cycle.command is not None  # noqa: S101  a cycle is one of the two
            url = reverse("admin:devices_command_change", args=[quote(cycle.command.pk)])
        return HttpResponseRedirect(url)

    def _cycle_page(
        self, request: HttpRequest, socket: Device, line: int, plan: Plan, form: CycleForm, **shown: Any
    ) -> HttpResponse:
        darkening = next((each for each in plan.templates if each.power in DARKENING), plan.templates[0])
        dark = going_dark(socket, darkening, request.user)
        context = {
            "form": form, "line": line, "way": plan.way, "target": self._target(request, socket), "dark": dark,
            "hidden": sum(1 for row in dark if not row.name), "nonce": self._nonce(request),
            "minutes": form.cleaned_data.get("minutes") if form.is_bound and not form.errors else None, **shown,
        }  # fmt: skip
        status = 400 if form.errors else 200
        return self._page(request, "console/cycle.html", socket, status=status, **context)
