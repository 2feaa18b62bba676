"""Read the inboxes of the gateways that have one, each by one process at a time."""

import logging
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q

from remosa.lib.clock import utcnow
from remosa.lib.registry import backend
from sms import ports, spool
from sms.errors import GatewayError
from sms.models import Gateway
from sms.services.gateways import backend_of, note_inbox_error
from sms.services.inbound import receive

logger = logging.getLogger(__name__)
SHORTEST_DEADLINE_S = 3.0


def due_inboxes(*, now: datetime) -> list[Gateway]:
    """The enabled gateways whose inbox should be read now."""
    kinds = [kind for kind in settings.SMS_GATEWAYS if backend("SMS_GATEWAYS", kind).capabilities.inbox]
    rows = Gateway.objects.filter(kind__in=kinds, is_enabled=True, poll_interval_s__gt=0).select_related(
        "platform"
    )
    polled = [row for row in rows if backend("SMS_GATEWAYS", row.kind).is_polled(row.config)]
    return [
        row for row in polled if row.inbox_polled_at is None or row.inbox_polled_at <= now - _interval(row)
    ]


def _interval(gateway: Gateway) -> timedelta:
    return timedelta(seconds=gateway.poll_interval_s)


def poll_inbox(gateway: Gateway, *, now: datetime) -> int | None:
    """Read one inbox that is due; the number of new SMS, or None when another process has this turn."""
    turn = Gateway.objects.filter(pk=gateway.pk, is_enabled=True)
    turn = turn.filter(Q(inbox_polled_at=None) | Q(inbox_polled_at__lte=now - _interval(gateway)))
    if not turn.update(inbox_polled_at=now):
        return None
    return read_inbox(gateway)


def read_inbox(gateway: Gateway) -> int:
    """``look_into`` an inbox; the number of new SMS."""
    return look_into(gateway)[0]


def look_into(gateway: Gateway) -> tuple[int, GatewayError | None]:
    """Read an inbox now and take in what it holds, earlier unfinished reads first.

    The number of new SMS, and what went wrong.
    """
    opened = backend_of(gateway)
    new = sum(_take_in(gateway, opened, path) for path in spool.unfinished(gateway.pk))
    deadline_s = min(settings.OUTBOX_SEND_DEADLINE_S, max(SHORTEST_DEADLINE_S, gateway.poll_interval_s))
    try:
        raw = opened.fetch_inbox(deadline_s=deadline_s)
    except GatewayError as exc:
        logger.warning("inbox not read gateway=%s reason=%s", gateway.pk, exc.reason)
        note_inbox_error(gateway, exc, now=utcnow())
        return new, exc
    if is_empty(opened, raw):
        return new, None
    kept = spool.keep(gateway.pk, raw)
    new += _take_in(gateway, opened, kept)
    return new, GatewayError("no_inbox", outcome="not_sent") if kept.with_suffix(".bad").exists() else None


def is_empty(opened: ports.Gateway, raw: bytes) -> bool:
    """Whether a read certainly holds nothing: then it needs no place on the disk."""
    try:
        return not opened.parse_inbox(raw)
    except ValueError:
        return False


def _take_in(gateway: Gateway, opened: ports.Gateway, path: Path) -> int:
    """Write every SMS of one spooled read into the database, then let the file go; the number of new ones."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return 0  # another process finished it
    try:
        texts = opened.parse_inbox(raw)
    except ValueError as exc:
        logger.error("inbox unreadable gateway=%s bytes=%s why=%s", gateway.pk, len(raw), type(exc).__name__)
        spool.put_aside(path)
        note_inbox_error(gateway, GatewayError("no_inbox", outcome="not_sent"), now=utcnow())
        return 0
    new = 0
    for number, text in enumerate(texts):
        _row, created = receive(gateway=gateway, text=text, now=utcnow(), batch=f"{path.stem}:{number}")
        new += created
    spool.drop(path)
    return new
