"""Write the journal: one call inside the transaction of the deed.

Values are masked before they are stored, and the line is signed; it is never changed afterwards,
except by the sealer, which fills the ``seal_*`` columns in order (``audit_seal``).
"""

import contextvars
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import models

from platforms import audit_seal
from platforms.models import ApiToken, AuditEvent, Platform
from remosa.lib.clock import utcnow
from remosa.lib.fields import EncryptedTextField
from remosa.lib.prepared import Change, execute, inserting
from remosa.lib.redact import mask_mapping
from remosa.lib.uuids import time_ordered_uuid

Kind = AuditEvent.ActorKind


@dataclass(frozen=True)
class Actor:
    """Who did it: ``kind`` of AuditEvent.ActorKind, ``id`` in its own table, ``label`` for people."""

    kind: str
    id: str
    label: str


SYSTEM = Actor(Kind.SYSTEM, "", "REMOSA")


@dataclass(frozen=True)
class RequestFacts:
    """What the running request adds to each line."""

    request_id: str = ""
    address: str | None = None
    token: ApiToken | None = None  # the API token with which a person's program signed in


current_request: contextvars.ContextVar[RequestFacts] = contextvars.ContextVar("audit_request")


def person(user: Any) -> Actor:
    """The actor of a signed-in person; in a request with one of their API tokens, that token."""
    token = current_request.get(RequestFacts()).token
    if token is not None and token.user_id == user.pk:
        return Actor(Kind.TOKEN, str(token.pk), f"{user} · {token}")
    return Actor(Kind.PERSON, str(user.pk), str(user))


def acts_through(token: ApiToken) -> None:
    """From here to the end of the request, the person acts through this token."""
    facts = current_request.get(None)
    if facts is not None:
        current_request.set(replace(facts, token=token))


def record(
    *,
    actor: Actor,
    verb: str,
    target: models.Model | None = None,
    platform: Platform | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    cause_id: uuid.UUID | None = None,
    at: datetime | None = None,
) -> AuditEvent:
    """Append one line. ``verb`` is ``app.deed`` (``command.requested``); ``platform`` None is global."""
    written = line(
        actor=actor, verb=verb, target=target, platform=platform, before=before, after=after, reason=reason,
        cause_id=cause_id, at=at,
    )  # fmt: skip
    execute(writing([written]))
    return written


def line(
    *,
    actor: Actor,
    verb: str,
    target: models.Model | None = None,
    platform: Platform | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    cause_id: uuid.UUID | None = None,
    at: datetime | None = None,
) -> AuditEvent:
    """A signed line that is not written yet; ``writing`` appends it."""
    facts = current_request.get(RequestFacts())
    signed = AuditEvent(
        id=time_ordered_uuid(),  # lines of one moment stay in the order in which they were written
        at=at or utcnow(),
        platform=platform,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:200],
        verb=verb,
        target_type=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_label=str(target)[:300] if target is not None else "",
        before=_plain(before),
        after=_plain(after),
        reason=reason[:300],
        request_id=facts.request_id,
        address=facts.address,
        cause_id=cause_id,
    )
    audit_seal.sign(signed)
    return signed


def writing(lines: Sequence[AuditEvent]) -> Change:
    """What appends signed lines."""
    return inserting(lines)


def fields_of(row: models.Model, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The row's own columns as plain values, for before/after; encrypted columns only say if they are set."""
    values: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.name in leave_out:
            continue
        value = getattr(row, field.attname)
        values[field.name] = bool(value) if isinstance(field, EncryptedTextField) else value
    return values


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what differs, as (before, after)."""
    keys = [key for key in after if before.get(key) != after[key]]
    return {key: before.get(key) for key in keys}, {key: after[key] for key in keys}


def replaced_secrets(before: models.Model, after: models.Model) -> dict[str, str]:
    """The encrypted columns in which ``after`` holds another text, for the ``after`` of a line, without it."""
    columns = [f.attname for f in before._meta.concrete_fields if isinstance(f, EncryptedTextField)]
    return {name: "replaced" for name in columns if str(getattr(before, name)) != str(getattr(after, name))}


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """JSON-able and masked."""
    if values is None:
        return None
    return {key: _plain_value(value) for key, value in mask_mapping(values).items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")  # the databases' JSON knows no zero character
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # nor these numbers
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain_value(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    return str(value)
