"""Callbacks of the gateways: delivery reports and incoming SMS.

    POST /hooks/sms/<number>/report/     POST /hooks/sms/<number>/inbound/

The caller shows the gateway's callback secret as ``Authorization: Bearer …`` or ``X-API-Key``, or
signs as its kind of gateway does (some call with GET); an unknown number and a wrong secret get the
same answer. JSON or a form, one object or a list of them, or what the backend can unpack.
200 comes after the commit; what is understood but fits nothing is also 200, so that no gateway
repeats it for ever. A report that may be faster than the answer with its id is a 503: repeat it.
A body that cannot be read is the caller's fault: 400, 413 or 415.
"""

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from platforms import rates
from remosa.lib.callbacks import Refusal, read_body, try_again_later
from remosa.lib.clock import utcnow
from remosa.lib.texts import storable
from sms.errors import CallbackInvalid
from sms.models import Gateway
from sms.ports import Callback
from sms.ports import Gateway as Backend
from sms.services.gateways import backend_of, of_hook
from sms.services.inbound import receive
from sms.services.reports import REF_AGE, apply_delivery_report

logger = logging.getLogger(__name__)
MAX_BODY = 64 * 1024  # bytes
MAX_ITEMS = 500
RETRY_AFTER_S = 10
Take = Callable[[Gateway, Backend, Mapping[str, Any]], str]


@csrf_exempt
def report(request: HttpRequest, hook_id: uuid.UUID) -> HttpResponse:
    """A delivery report, or several."""
    return _callback(request, hook_id, "report", _take_report)


@csrf_exempt
def inbound(request: HttpRequest, hook_id: uuid.UUID) -> HttpResponse:
    """An incoming SMS, or several."""
    return _callback(request, hook_id, "inbound", _take_inbound)


def _callback(
    request: HttpRequest, hook_id: uuid.UUID, kind: Literal["report", "inbound"], take: Take
) -> HttpResponse:
    try:
        gateway = of_hook(hook_id)
        backend = None if gateway is None else backend_of(gateway)
        _check_method(request, backend)
        call = Callback(
            kind=kind, method=request.method or "", query=request.META.get("QUERY_STRING", ""),
            headers=request.headers, body=read_body(request, at_most=MAX_BODY), at=utcnow(),
        )  # fmt: skip
        if gateway is None or backend is None or not backend.is_genuine(call):
            raise Refusal(
                401,
                "not_signed_in",
                _("Unknown callback, or wrong secret."),
                headers={"WWW-Authenticate": "Bearer"},
            )
        if rates.wait_s("callback", gateway.pk):
            raise try_again_later(_("Too many deliveries. Try again."), after_s=RETRY_AFTER_S)
        items = backend.unpack(call)
        if items is None:
            items = _items(request.content_type or "", call.body)
        results = [take(gateway, backend, item) for item in items]
    except Refusal as refusal:
        return refusal.answer()
    except CallbackInvalid as exc:
        return Refusal(400, "invalid", str(exc), fields=exc.fields).answer()
    except (OperationalError, InterfaceError) as exc:
        logger.warning("callback postponed hook=%s error=%s", hook_id, type(exc).__name__)
        return try_again_later(_("The database does not answer. Try again."), after_s=RETRY_AFTER_S).answer()
    if backend.acknowledgement is None:
        return JsonResponse({"results": results})
    return HttpResponse(backend.acknowledgement.body, content_type=backend.acknowledgement.content_type)


def _check_method(request: HttpRequest, backend: Backend | None) -> None:
    methods = ("POST",) if backend is None else backend.callback_methods
    if request.method not in methods:
        raise Refusal(
            405, "method_not_allowed", _("Send a %(method)s.") % {"method": " / ".join(methods)},
            headers={"Allow": ", ".join(methods)},
        )  # fmt: skip


def _items(content_type: str, body: bytes) -> list[Mapping[str, Any]]:
    """The objects of the body; Refusal for what is not one."""
    content = _decoded(content_type, body)
    items = content if isinstance(content, list) else [content]
    if not all(isinstance(item, Mapping) for item in items):
        raise Refusal(400, "invalid", _("The body must be an object, or a list of objects."))
    if len(items) > MAX_ITEMS:
        raise Refusal(413, "too_large", _("At most %(count)d at once.") % {"count": MAX_ITEMS})
    return items


def _decoded(content_type: str, body: bytes) -> Any:
    if content_type == "application/x-www-form-urlencoded":
        try:
            return QueryDict(body, encoding="utf-8").dict()
        except (SuspiciousOperation, ValueError):
            raise Refusal(400, "invalid", _("The form cannot be read.")) from None
    if content_type not in ("application/json", ""):
        raise Refusal(415, "unsupported_media_type", _("Send application/json or a form."))
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "invalid", _("The body is not JSON.")) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _take_report(gateway: Gateway, backend: Backend, item: Mapping[str, Any]) -> str:
    told, now = backend.parse_report(item), utcnow()
    if told.delivered is None:
        return "ignored"
    at = told.at if told.at and now - REF_AGE <= told.at <= now else now  # their clock may be anywhere
    result = apply_delivery_report(
        gateway=gateway,
        delivered=told.delivered,
        at=at,
        ref=storable(told.ref),
        client_ref=storable(told.client_ref),
        to=storable(told.to),
        of_part=told.of_part,
    )
    if result == "too_early":
        raise try_again_later(_("Its SMS is still being sent. Try again."), after_s=RETRY_AFTER_S)
    return result


def _take_inbound(gateway: Gateway, backend: Backend, item: Mapping[str, Any]) -> str:
    text = backend.parse_inbound(item)
    row, created = receive(gateway=gateway, text=text, now=utcnow(), batch=uuid.uuid4().hex)
    return row.state if created else "repeated"
