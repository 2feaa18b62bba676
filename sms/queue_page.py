"""The page of the queue: what waits, what is stuck, what to do."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from devices.display import shown_text
from platforms.admin_base import grants_of
from platforms.console.display import DASH, pill
from platforms.console.grants import Grants
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.redact import redact
from sms.display import blocked_sentence, reason_text, trouble_text
from sms.lights import gateway_pill, rate_text
from sms.models import Gateway, SmsMessage
from sms.queue import Lane, queue_of
from sms.selectors import BlockedGateway, blocked_for


def queue_view(request: HttpRequest, admin_site: Any) -> HttpResponse:
    """For those who see whole platforms; each sees those alone."""
    grants, now = grants_of(request), utcnow()
    if not grants.anywhere(Perm.SEE_ALL):
        raise PermissionDenied
    mine = grants.platforms(Perm.SEE_ALL)
    queue = queue_of(mine, everything=grants.is_superadmin, now=now)
    context = {
        **admin_site.each_context(request), "title": _("SMS queue"), "queue": queue,
        "oldest_text": text_of(queue.oldest), "oldest_why": reason_text(queue.oldest.reason) if queue.oldest else "",
        "lanes": [_row(lane, grants) for lane in queue.lanes],
        "blocked": [blocked_line(row, grants) for row in blocked_for(mine, now=now)],
    }  # fmt: skip
    request.current_app = admin_site.name
    return TemplateResponse(request, "console/queue.html", context)


def text_of(message: SmsMessage | None) -> str:
    """What an SMS is about, fit for a list."""
    if message is None:
        return ""
    return redact(shown_text(message.command) if message.command is not None else message.body)


def name_of(gateway: Gateway, grants: Grants) -> str:
    """A shared gateway belongs to the operator: its name is not the client's to read."""
    return (
        gateway.name if grants.holds(Perm.SEE_ALL, gateway.platform_id) else capfirst(_("shared SMS gateway"))
    )


def address_of(gateway: Gateway, grants: Grants) -> str:
    """Its page, for those who may open it."""
    may_open = grants.holds(Perm.MANAGE_PLATFORM, gateway.platform_id)
    return reverse("admin:sms_gateway_change", args=[gateway.pk]) if may_open else ""


def blocked_line(blocked: BlockedGateway, grants: Grants) -> dict[str, str]:
    """“SMSC refuses since 11:20; 3 commands wait” with what it said last and the way to its page."""
    row = blocked.gateway
    named = grants.holds(Perm.SEE_ALL, row.platform_id)
    return {
        "sentence": blocked_sentence(
            name_of(row, grants),
            reason=blocked.reason,
            since=blocked.since,
            waiting=blocked.waiting,
            now=utcnow(),
        ),
        "detail": trouble_text(blocked.reason) if named else "",
        "url": address_of(row, grants),
    }


def _row(lane: Lane, grants: Grants) -> dict[str, Any]:
    row = lane.gateway
    told: dict[str, Any] = {"waiting": lane.waiting, "oldest": lane.oldest, "left": lane.left}
    if row is None:
        return {
            "name": _("none yet"),
            "light": pill(_("to be chosen"), "grey"),
            "rate": DASH,
            "url": "",
            **told,
        }
    named = grants.holds(Perm.SEE_ALL, row.platform_id)
    told |= {"light": gateway_pill(row, named=named), "rate": rate_text(row) if named else DASH}
    return {"name": name_of(row, grants), "url": address_of(row, grants), **told}
