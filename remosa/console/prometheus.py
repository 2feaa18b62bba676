"""The page of the devices that the connected Prometheus knows: filter, search, sort."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from automation.errors import NoPrometheus, PrometheusUnavailable
from automation.prometheus_devices import STATES, narrowed, ordered, seen_devices
from exporters.models import Exporter, ExporterTarget
from remosa.lib.clock import utcnow

PER_PAGE = 50


def prometheus_devices(request: HttpRequest) -> HttpResponse:
    """Rows through ``visible_to``; what Prometheus says of others is not looked at."""
    wanted = {
        name: request.GET.get(name, "").replace("\x00", "")[:200]
        for name in ("q", "state", "exporter", "sort")
    }
    exporters = Exporter.objects.visible_to(request.user).order_by("platform", "name")
    targets = ExporterTarget.objects.visible_to(request.user).order_by("exporter", "external_id")
    if wanted["exporter"].isdigit():
        targets = targets.filter(exporter=int(wanted["exporter"][:9]))
    trouble, is_connected, found = "", True, []
    try:
        found = seen_devices(targets, now=utcnow())
    except PrometheusUnavailable as exc:
        trouble, is_connected = str(exc), not isinstance(exc, NoPrometheus)
    counts = {state: sum(device.state == state for device in found) for state in STATES}
    shown = narrowed(found, search=wanted["q"], state=wanted["state"] if wanted["state"] in STATES else "")
    page = Paginator(ordered(shown, wanted["sort"] or "name"), PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        **admin.site.each_context(request), "title": _("Devices from Prometheus"), "page": page, "wanted": wanted,
        "trouble": trouble, "is_connected": is_connected,
        "counts": counts, "exporters": exporters.only("pk", "name"), "total": len(shown),
        "metrics": sorted({name for device in found for name in device.values if not name.endswith("_device_status")}),
        "query": urlencode({name: value for name, value in wanted.items() if value}),
    }  # fmt: skip
    return TemplateResponse(request, "console/prometheus_devices.html", context)
