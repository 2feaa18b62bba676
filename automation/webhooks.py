"""Alerts in: Grafana's contact point, Alertmanager's webhook, Prometheus' own POST.

    POST /hooks/alerts/<source>/            (PUT as well)
    POST /hooks/alerts/<source>/api/v2/alerts     what Prometheus makes of an Alertmanager's address

The sender proves itself as its source says: a signature over the body (with or without its time), a
token, or a password. An unknown source and a wrong secret get the same answer. 200 comes after the
commit; what could not be read is set aside and counted in the answer, so that nobody repeats it for ever.
Only a database in trouble is 503: Alertmanager tries again.
"""

import logging
import uuid
import zlib
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from automation import prompt
from automation.intake import BodyInvalid
from automation.models import AlertSource
from automation.senders import doubt, stamp_of
from automation.services.intake import take
from platforms import rates
from remosa.lib.callbacks import Refusal, read_body, too_large, try_again_later
from remosa.lib.clock import utcnow
from remosa.lib.planned import PlannedQuery

logger = logging.getLogger(__name__)
MAX_BODY = 8 * 1024 * 1024  # bytes, packed and unpacked: ten thousand alerts of 800 bytes
NOTE_EVERY = timedelta(minutes=1)  # a refusal is written down at most this often


@csrf_exempt
def alerts(request: HttpRequest, source_id: uuid.UUID) -> HttpResponse:
    """A delivery of alerts."""
    now = utcnow()
    source: AlertSource | None = None
    try:
        if request.method not in ("POST", "PUT"):
            raise Refusal(405, "method_not_allowed", _("Send a POST."), headers={"Allow": "POST, PUT"})
        source = _source(source_id)
        raw = _body(request)
        sender = _proved(source, request, raw, now=now)
        if wait := rates.wait_s("intake", sender.pk):
            raise try_again_later(_("Too many deliveries. Try again."), after_s=wait, why="too_fast")
        stamp = stamp_of(sender, request.headers, now=now)
        taken = take(sender, _unpacked(request, raw), stamp=stamp, now=now)
    except Refusal as refusal:
        _note(source, refusal.why, now=now)
        return refusal.answer()
    except BodyInvalid as exc:
        _note(source, str(exc), now=now)
        return Refusal(400, "invalid", _("No alerts can be read from this body.")).answer()
    except (DatabaseError, InterfaceError) as exc:
        logger.warning("alerts postponed source=%s error=%s", source_id, type(exc).__name__)
        return try_again_later(_("The database does not answer. Try again."), after_s=5).answer()
    if taken.is_evidence:
        prompt.wake(sender.platform_id)
    return JsonResponse(
        {
            "duplicate": taken.duplicate, "accepted": taken.accepted, "rejected": taken.rejected,
            "truncated": taken.truncated, "unmapped": taken.unmapped,
        }
    )  # fmt: skip


SOURCE_COLUMNS = [field.attname for field in AlertSource._meta.concrete_fields]
_sources = PlannedQuery(
    lambda: AlertSource.objects.filter(pk=uuid.UUID(int=0)).values_list(
        *SOURCE_COLUMNS, "platform__is_active"
    )
)


def _source(source_id: uuid.UUID) -> AlertSource | None:
    """The source, unless there is none or its platform is switched off."""
    for *values, platform_is_active in _sources.rows(source_id.hex):
        if platform_is_active:
            return AlertSource.from_db(None, SOURCE_COLUMNS, values)
    return None


def _body(request: HttpRequest) -> bytes:
    if (request.content_type or "application/json") != "application/json":
        raise Refusal(415, "unsupported_media_type", _("Send application/json."))
    return read_body(request, at_most=MAX_BODY)


def _unpacked(request: HttpRequest, raw: bytes) -> bytes:
    """The body, unpacked within the same bounds; after its sender has proved itself."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding != "gzip":
        raise Refusal(415, "unsupported_media_type", _("Send it plain or with gzip."))
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        body = unpacker.decompress(raw, MAX_BODY + 1)
    except zlib.error:
        raise Refusal(400, "invalid", _("The body cannot be unpacked."), why="not_json") from None
    if len(body) > MAX_BODY:
        raise too_large(MAX_BODY)
    if not unpacker.eof:
        raise Refusal(400, "invalid", _("The body cannot be unpacked."), why="not_json")
    return body


def _proved(source: AlertSource | None, request: HttpRequest, raw: bytes, *, now: datetime) -> AlertSource:
    """The source, once its sender has proved itself and may send; Refusal otherwise."""
    why = "unknown" if source is None or not source.secret else doubt(source, request.headers, raw, now=now)
    if why or source is None:
        raise Refusal(
            401, "not_signed_in", _("Unknown source, or wrong secret."), why=why,
            headers={"WWW-Authenticate": 'Bearer realm="REMOSA"'},
        )  # fmt: skip
    if not source.is_enabled:
        raise Refusal(403, "switched_off", _("This source is switched off in REMOSA."), why="switched_off")
    return source


def _note(source: AlertSource | None, why: str, *, now: datetime) -> None:
    """Tell the people of the platform why nothing arrives."""
    if source is None or not why:
        return
    due = Q(refused_at=None) | Q(refused_at__lt=now - NOTE_EVERY) | ~Q(refused_why=why)
    try:
        AlertSource.objects.filter(due, pk=source.pk).update(refused_at=now, refused_why=why)
    except (DatabaseError, InterfaceError):
        logger.warning("refusal not noted source=%s why=%s", source.pk, why)
