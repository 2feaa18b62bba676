"""One command to many sockets from the list: choose, fill in, see each text, price and who is skipped, confirm."""

import uuid
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect

from devices.admin.send import ConfirmForm, ParametersForm, going_dark
from devices.models import Command, CommandTemplate, Device
from devices.services import may_send
from devices.services.bulk import MAX_DEVICES, BulkRow, bulk_preview, bulk_request
from platforms.roles import Perm
from remosa.lib.clock import utcnow


class BulkPages:
    """Gives the list of devices its action, and the action its ``bulk/`` address."""

    actions = ("send_to_selected",)

    @admin.action(description=_("Send a command"), permissions=["control"])
    def send_to_selected(self, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        """Go on with the sockets of the selection."""
        keys = queryset.visible_to(request.user, Perm.CONTROL).filter(kind=Device.Kind.SOCKET)  # type: ignore[attr-defined]
        numbers = [str(key) for key in keys.values_list("pk", flat=True)[:MAX_DEVICES]]
        if not numbers:
            messages.warning(request, _g("There is no socket among the selected devices."))
            return HttpResponseRedirect(request.get_full_path())
        url = reverse("admin:devices_device_bulk")
        return HttpResponseRedirect(f"{url}?{urlencode({'devices': ','.join(numbers)})}")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered at all; each device is asked about on its own."""
        return self.holds(request, Perm.CONTROL)  # type: ignore[attr-defined]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.bulk_view))  # type: ignore[attr-defined]
        return [path("bulk/", view, name="devices_device_bulk"), *super().get_urls()]  # type: ignore[misc]

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """Choose (GET), fill in (GET ``template``), see (POST), send (POST with ``sending`` and the confirmation)."""
        devices = self._chosen(request)
        templates = self._offered(request, devices)
        key = request.POST.get("template") or request.GET.get("template") or ""
        if not devices or (key and key not in templates):
            raise PermissionDenied
        shown: dict[str, Any] = {"devices": devices, "templates": list(templates.values())}
        if not key:
            return self._bulk_page(request, **shown)
        data = request.POST if request.method == "POST" else None
        form = ParametersForm(data, template=templates[key])
        shown |= {
            "template": templates[key],
            "form": form,
            "nonce": request.POST.get("nonce") or uuid.uuid4().hex,
        }
        if data is None or not form.is_valid():
            return self._bulk_page(request, **shown)
        confirm = ConfirmForm(data if "sending" in data else None)
        if "sending" in data and confirm.is_valid():
            rows = bulk_request(
                devices, template_key=key, params=form.params(), by=request.user, source=Command.Source.PERSON,
                idem_key=f"bulk:{request.user.pk}:{str(shown['nonce'])[:32]}", reason=form.cleaned_data["reason"],
                now=utcnow(),
            )  # fmt: skip
            return self._bulk_page(request, **shown, done=rows, skipped=[row for row in rows if row.skipped])
        rows = bulk_preview(devices, template_key=key, params=form.params(), by=request.user)
        ready = [
            (row, going_dark(row.device, templates[key], request.user)) for row in rows if not row.skipped
        ]
        return self._bulk_page(
            request, **shown, ready=ready, skipped=[row for row in rows if row.skipped], confirm=confirm,
            total=_total([row for row, _dark in ready]), dark=sum(len(dark) for _row, dark in ready),
            minutes=form.cleaned_data.get("p_minutes"),
            several=len({device.platform_id for device in devices}) > 1,
        )  # fmt: skip

    def _chosen(self, request: HttpRequest) -> list[Device]:
        text = request.POST.get("devices") or request.GET.get("devices") or ""
        numbers = [int(word) for word in text.split(",") if word.isdecimal() and len(word) < 19][:MAX_DEVICES]
        rows = Device.objects.visible_to(request.user, Perm.CONTROL).filter(
            pk__in=numbers, kind=Device.Kind.SOCKET, is_active=True
        )
        return list(rows.select_related("platform", "model", "site").order_by("name", "pk"))

    def _offered(self, request: HttpRequest, devices: list[Device]) -> dict[str, CommandTemplate]:
        """The commands that at least one of the devices takes from this person, by key; dangerous ones never."""
        offered: dict[str, CommandTemplate] = {}
        seen: dict[tuple[int | None, int], Device] = {}
        for device in devices:
            seen.setdefault((device.model_id, device.platform_id), device)
        for device in seen.values():
            if device.model is None:
                continue
            for row in device.model.templates.select_related("model").filter(dangerous=False):
                if row.key not in offered and may_send(request.user, device, row):
                    offered[row.key] = row
        return offered

    def _bulk_page(self, request: HttpRequest, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        form = context.get("form")
        numbers = ",".join(str(device.pk) for device in context["devices"])
        shown = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _g("A command to %(n)d sockets") % {"n": len(context["devices"])},
            "opts": self.opts,  # type: ignore[attr-defined]
            "numbers": numbers,
            "back": reverse("admin:devices_device_changelist"),
            **context,
        }
        status = 400 if form is not None and form.errors else 200
        return TemplateResponse(request, "console/bulk.html", shown, status=status)


def _total(rows: list[BulkRow]) -> list[tuple[Decimal, str]]:
    """What all of it costs, for each currency."""
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row.currency] = totals.get(row.currency, Decimal(0)) + row.price
    return [(price, currency) for currency, price in sorted(totals.items())]
