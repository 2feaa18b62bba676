"""``Idempotency-Key``: a POST that is sent again, because its answer was lost, has no second effect.

The key, the effect and the answer are committed in one transaction, so that there is no moment in which one is
there without the other; of two requests with one key that come at the same time, the second waits for the first.
A refusal is not kept: nothing has happened that the key could stand for.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from platforms.api.errors import Conflict, Invalid
from platforms.models import KeyedCall, Membership, User
from remosa.lib.clock import utcnow

HEADER = "Idempotency-Key"
SHAPE = re.compile(r"[\x21-\x7e]{1,100}")
REPLAYED = "Idempotent-Replayed"  # a header of the answer that was given before


def key_of(request: Request) -> str:
    """The request's key; Invalid when there is none, or it is not one."""
    key = request.headers.get(HEADER, "")
    if not SHAPE.fullmatch(key):
        sentence = _("Send a header Idempotency-Key of 1 to 100 printable characters, new for each request.")
        raise Invalid(sentence, {HEADER: [sentence]})
    return key


def is_asked(view: Any, request: Request) -> bool:
    """Whether this request is to be answered once by its key."""
    if request.method != "POST" or view.action in view.own_keys or not isinstance(request.user, User):
        return False
    return HEADER in request.headers


def answer_once(
    view: Any, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
) -> Response:
    """What ``handler`` answers, or what it answered to the same request before."""
    key, fingerprint = key_of(request), _fingerprint(request)
    refusal: exceptions.APIException | None = None
    with transaction.atomic():
        call, is_new = KeyedCall.objects.get_or_create(
            user_id=request.user.pk, key=key,
            defaults={"fingerprint": fingerprint, "rights": _rights(request.user), "created_at": utcnow()},
        )  # fmt: skip
        if not is_new:
            return _again(view, call, fingerprint, request)
        try:
            response = handler(request, *args, **kwargs)
        except exceptions.APIException as exc:  # said after thought: what was noted on the way stays
            call.delete()
            refusal = exc
        else:
            call.status = response.status_code
            if view.action not in view.secret_answers:
                call.body = json.loads(JSONRenderer().render(response.data) or b"null")
            call.save(update_fields=["status", "body"])
    if refusal is not None:
        raise refusal
    return response


def _again(view: Any, call: KeyedCall, fingerprint: str, request: Request) -> Response:
    if call.fingerprint != fingerprint:
        raise Conflict(_("This idempotency key was already used for another request."))
    if view.detail:
        view.get_object()  # a 404 or 403 for whoever lost sight of it, or the right to it
    if view.action in view.secret_answers:
        raise Conflict(_("This was done before. What it answered is shown once."))
    if call.rights != _rights(request.user):
        raise Conflict(_("This was done before. Your rights have changed since: read it anew."))
    return Response(call.body, status=call.status, headers={REPLAYED: "true"})


def _fingerprint(request: Request) -> str:
    data = dict(request.data.lists()) if isinstance(request.data, QueryDict) else request.data
    asked = [request.get_full_path(), json.dumps(data, sort_keys=True, default=_content)]
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def _content(value: Any) -> str:
    """An uploaded file by what is in it."""
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return digest.hexdigest()


def _rights(user: Any) -> str:
    roles = sorted(Membership.objects.filter(user=user.pk).values_list("platform", "role"))
    return hashlib.sha256(repr((user.is_superuser, roles)).encode()).hexdigest()
