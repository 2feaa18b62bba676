"""What the page of one client shows of the apps above ``platforms`` (port ``PLATFORM_PANELS``)."""

from datetime import datetime
from typing import Any

from django.db.models import Min
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from automation.models import Heartbeat
from exporters.models import Exporter
from platforms.console.grants import grants_of
from platforms.models import Platform
from remosa.console.home import LATE, Light, exporter_light, gateway_light
from remosa.lib.clock import utcnow
from sms.models import Gateway, SmsMessage
from sms.states import SmsState

WAITING = (SmsState.QUEUED, SmsState.CLAIMED, SmsState.SENDING)


def health(request: HttpRequest, platform: Platform) -> dict[str, Any]:
    """Gateways, exporters, the SMS that wait and the worker, as lights with ages."""
    now, grants = utcnow(), grants_of(request)
    own = Gateway.objects.filter(platform=platform, is_enabled=True).order_by("priority", "pk")
    gateways = list(own[:20]) or list(
        Gateway.objects.filter(platform=None, is_enabled=True).order_by("priority")[:1]
    )
    exporters = Exporter.objects.filter(platform=platform, is_enabled=True).select_related("platform")
    lights = [
        *(gateway_light(row, grants, now=now) for row in gateways),
        *(exporter_light(row, now=now) for row in exporters.order_by("name")[:40]),
        queue_light(platform, now=now),
        worker_light(now=now),
    ]
    return {"template": "console/lights.html", "title": _("Health"), "lights": lights}


def queue_light(platform: Platform, *, now: datetime) -> Light:
    """The SMS of one client that have not left yet."""
    rows = SmsMessage.objects.filter(platform=platform, state__in=WAITING)
    oldest, count = rows.aggregate(at=Min("created_at"))["at"], rows.count()
    url = f"{reverse('admin:sms_smsmessage_changelist')}?platform__id__exact={platform.pk}"
    if oldest is None:
        return Light(_("Outgoing SMS"), "green", _("nothing waits"), None, url)
    tone = "amber" if (now - oldest).total_seconds() > 60 else "blue"
    return Light(_("Outgoing SMS"), tone, _("%(n)d wait") % {"n": count}, oldest, url)


def worker_light(*, now: datetime) -> Light:
    """REMOSA's own clockwork."""
    beat = Heartbeat.objects.filter(name="sweep").values_list("at", flat=True).first()
    if beat is None:
        return Light(_("Evaluation"), "grey", _("not started yet"), None)
    late = now - beat > LATE
    return Light(_("Evaluation"), "red" if late else "green", _("silent") if late else _("runs"), beat)
