"""«All clients»: every platform of a person who has several, as a row: what is down, what is being done, what needs
somebody, what is left, and whether the eyes are open. The number of queries does not grow with the clients.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from exporters.models import Exporter
from platforms.console.grants import grants_of
from remosa.console.home import Client, Light, clients_of, exporter_light, gateway_light
from remosa.lib.clock import utcnow
from sms.models import Gateway

WORST_FIRST = ("red", "amber", "grey", "green")
ORDERS = {
    "need": lambda client: (
        -client.counts["needs_you"],
        -client.counts["offline"],
        client.platform.name.lower(),
    ),
    "name": lambda client: client.platform.name.lower(),
    "offline": lambda client: (-client.counts["offline"], client.platform.name.lower()),
    "sms": lambda client: (client.sms["left"], client.platform.name.lower()),
}
LIGHTS_SHOWN = 3


def clients_page(request: HttpRequest) -> HttpResponse:
    """The page; whoever has one platform or none is led home."""
    now, grants = utcnow(), grants_of(request)
    clients = clients_of(grants, now=now)
    if len(clients) < 2:
        return HttpResponseRedirect(reverse("admin:index"))
    lights = _lights(request, now=now)
    words, order = request.GET.get("q", "").strip().lower()[:100], request.GET.get("order", "need")
    shown = [client for client in clients if words in client.platform.name.lower()]
    shown.sort(key=ORDERS.get(order, ORDERS["need"]))
    total: dict[str, int] = defaultdict(int)
    for client in clients:
        for key, count in client.counts.items():
            total[key] += count
    context = {
        **admin.site.each_context(request), "title": _("All clients"), "now": now, "words": words, "order": order,
        "rows": [_row(client, lights.get(client.platform.pk, [])) for client in shown], "total": dict(total),
        "count": len(clients), "orders": _orders(),
    }  # fmt: skip
    return TemplateResponse(request, "console/clients.html", context)


def _orders() -> list[tuple[str, str]]:
    return [
        ("need", _("in need first")),
        ("offline", _("offline")),
        ("sms", _("least SMS left")),
        ("name", _("name")),
    ]


def _row(client: Client, lights: list[Light]) -> dict[str, Any]:
    lights.sort(key=lambda light: (WORST_FIRST.index(light.tone), light.name))
    bad = [light for light in lights if light.tone != "green"]
    shown = (bad or lights)[:LIGHTS_SHOWN]
    return {"client": client, "lights": shown, "more": len(lights) - len(shown)}


def _lights(request: HttpRequest, *, now: datetime) -> dict[int | None, list[Light]]:
    """The lights of each platform whose rows the person sees."""
    grants = grants_of(request)
    found: dict[int | None, list[Light]] = defaultdict(list)
    exporters = Exporter.objects.visible_to(request.user).filter(is_enabled=True).select_related("platform")
    for exporter in exporters:
        found[exporter.platform_id].append(exporter_light(exporter, now=now))
    for gateway in Gateway.objects.visible_to(request.user).filter(is_enabled=True).exclude(platform=None):
        found[gateway.platform_id].append(gateway_light(gateway, grants, now=now))
    return found
