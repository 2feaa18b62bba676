"""Ask the gateways that can be asked what became of messages on which nothing has been reported.

Each message is asked for when it is 1, 2, 4, 8 … minutes old, for a day: about a dozen questions in all,
with nothing to remember but when the gateway was asked last. A round asks for a few of them, the newest
first; what did not fit, or could not be asked, is asked for when it is twice as old.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from remosa.lib.clock import utcnow
from remosa.lib.registry import backend
from sms.errors import GatewayError
from sms.models import Gateway, SmsMessage
from sms.ports import Sent
from sms.services.gateways import backend_of, note_reading_error
from sms.services.reports import REF_AGE, apply_delivery_report
from sms.states import SmsState

logger = logging.getLogger(__name__)
EVERY = timedelta(seconds=10)  # at most one round of questions per gateway
FIRST = timedelta(minutes=1)  # a report by push is faster
DOUBLINGS = 11  # the last question comes after about a day and a half
AT_ONCE = 10  # messages per round
WAITING = (SmsState.SENT, SmsState.UNKNOWN)


def due_status_rounds(*, now: datetime) -> list[Gateway]:
    """The enabled gateways that can be asked and were not asked lately."""
    kinds = [kind for kind in settings.SMS_GATEWAYS if backend("SMS_GATEWAYS", kind).capabilities.status]
    return list(
        Gateway.objects.filter(_turn(now), kind__in=kinds, is_enabled=True).select_related("platform")
    )


def _turn(now: datetime) -> Q:
    return Q(reports_polled_at=None) | Q(reports_polled_at__lte=now - EVERY)


def ask_statuses(gateway: Gateway, *, now: datetime) -> int | None:
    """One round of questions to one gateway; how many messages it settled, None when it is not our turn."""
    since = gateway.reports_polled_at or now - EVERY
    if not Gateway.objects.filter(_turn(now), pk=gateway.pk, is_enabled=True).update(reports_polled_at=now):
        return None
    opened = backend_of(gateway)
    found = unsettled(gateway, since=since, now=now)
    if not opened.capabilities.status_by_client_ref:
        found = [sent for sent in found if sent.ref]
    if not found:
        return 0
    try:
        reports = opened.query_status(found[:AT_ONCE], deadline_s=settings.OUTBOX_SEND_DEADLINE_S)
    except GatewayError as exc:
        logger.warning("statuses not read gateway=%s reason=%s", gateway.pk, exc.reason)
        note_reading_error(gateway, exc, what="status", now=utcnow())
        return 0
    settled = 0
    for told in reports:
        if told.delivered is not None:
            heard = utcnow()
            at = told.at if told.at and heard - REF_AGE <= told.at <= heard else heard
            outcome = apply_delivery_report(
                gateway=gateway, delivered=told.delivered, at=at, ref=told.ref, client_ref=told.client_ref
            )
            settled += outcome == "applied"
    return settled


def unsettled(gateway: Gateway, *, since: datetime, now: datetime) -> list[Sent]:
    """The messages of ``gateway`` whose age reached one of the steps after ``since``, newest first."""
    steps = [FIRST * 2**doubling for doubling in range(DOUBLINGS + 1)]
    reached = Q()
    for age in steps:
        reached |= Q(state_changed_at__gt=since - age, state_changed_at__lte=now - age)
    rows = SmsMessage.objects.filter(reached, gateway=gateway, state__in=WAITING)
    rows = rows.order_by("-state_changed_at")[: 10 * AT_ONCE]
    return [Sent(ref, str(pk), to) for ref, pk, to in rows.values_list("gateway_ref", "pk", "to")]
