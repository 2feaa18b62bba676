"""Take a delivery of alerts: once, in one transaction, whatever order things come in.

It is read, its alerts find their devices, it is stored (``episodes``), and what could not be read is set aside.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from automation.intake import Incoming, Rejected, digest_of, read_body
from automation.mapping import Found, Index, Known, Rule, keys_of
from automation.models import Alert, AlertDelivery, AlertMapping, AlertSource, RejectedAlert
from automation.services import episodes
from automation.states import AlertState
from devices.models import Device
from remosa.lib.prepared import PreparedQuery

KEEP_REJECTED = 200  # of a source
KEEP_DELIVERIES = timedelta(hours=24)  # how long a repeated delivery is known
KEEP_ALERTS = timedelta(days=90)  # after they ended
DELETE_AT_ONCE = 5_000

_rules: dict[Any, tuple[int, list[Rule]]] = {}  # {source: (its version, its mappings)}


@dataclass(frozen=True)
class Taken:
    """What became of a delivery."""

    duplicate: bool = False
    accepted: int = 0
    rejected: int = 0
    truncated: int = 0
    unmapped: int = 0
    changes: int = 0  # states that an alert reached by it
    is_evidence: bool = False  # some alert of a device fires, or ended


def take(source: AlertSource, raw: bytes, *, stamp: str, now: datetime) -> Taken:
    """Store a delivery; when this returns it is committed. BodyInvalid for what is no alerts at all."""
    body = read_body(raw, now=now)
    devices = map_alerts(source, body.alerts)
    with transaction.atomic() if body.rejected else nullcontext():
        changes = episodes.store(source, digest_of(raw, stamp=stamp), body, devices, now=now)
        if changes is None:
            return Taken(duplicate=True)
        _set_aside(source, body.rejected, now=now)
    return Taken(
        accepted=len(body.alerts), rejected=len(body.rejected), truncated=body.truncated, changes=changes,
        unmapped=sum(found.device_id is None and found.why != Alert.Unmapped.NOT_NEEDED for found in devices),
        is_evidence=any(found.device_id is not None for found in devices),
    )  # fmt: skip


# --- devices ---------------------------------------------------------------------------------------


def rules_of(source: AlertSource) -> list[Rule]:
    """The source's mappings in their order; kept until its version grows."""
    kept = _rules.get(source.pk)
    if kept is None or kept[0] != source.version:
        rows = AlertMapping.objects.filter(source=source).order_by("position", "pk")
        kept = (source.version, [as_rule(row) for row in rows])
        _rules[source.pk] = kept
    return kept[1]


def as_rule(row: AlertMapping) -> Rule:
    """A mapping as the pure module takes it."""
    return Rule(by=row.by, template=row.template, only=dict(row.only), device_id=row.device_id)


def map_alerts(
    source: AlertSource, alerts: Iterable[Incoming], *, rules: Sequence[Rule] | None = None
) -> list[Found]:
    """The device of each alert, in their order: by the source's mappings, inside its platform."""
    rules = rules_of(source) if rules is None else rules
    keys = [keys_of(rules, alert.labels) for alert in alerts]
    index = Index(_devices(source.platform_id, keys))
    found = [index.find(each) for each in keys]
    return [
        Found(None, Alert.Unmapped.NOT_NEEDED) if each.device_id is None and alert.signal else each
        for alert, each in zip(alerts, found, strict=True)
    ]


COLUMNS = {"mac": "mac", "external_id": "external_id", "uid": "uid", "name": "name", "device": "pk"}


@cache
def _devices_by(names: tuple[str, ...]) -> PreparedQuery:
    """The devices of a platform that are meant by one of these ``names`` (of COLUMNS)."""
    examples: dict[str, Any] = {"uid": UUID(int=0), "device": 0}

    def compose() -> QuerySet[Device, Any]:
        named = reduce(or_, (Q(**{f"{COLUMNS[by]}__in": [examples.get(by, "-")]}) for by in names))
        rows = Device.objects.of(0).filter(named, is_active=True).order_by()
        return rows.values_list("pk", "mac", "external_id", "uid", "name")

    return PreparedQuery(compose)


def _devices(platform_id: int, keys: Iterable[list[tuple[Rule, str]]]) -> list[Known]:
    wanted: dict[str, set[int | str]] = {}
    for each in keys:
        for rule, text in each:
            wanted.setdefault(rule.by, set()).add(_as_stored(rule.by, text))
    if not wanted:
        return []
    names = tuple(sorted(wanted))
    rows = _devices_by(names).rows(platform_id, *(list(wanted[by]) for by in names))
    return [Known(number, mac, external_id, str(uid), name) for number, mac, external_id, uid, name in rows]


def _as_stored(by: str, text: str) -> int | str:
    if by == "device":
        return int(text)
    return UUID(text).hex if by == "uid" else text


def map_again(source: AlertSource) -> int:
    """Try the mappings on what has no device yet; how many found theirs."""
    rows = list(Alert.objects.filter(source=source, device=None).order_by("-pk")[:10_000])
    incoming = [
        Incoming(row.fingerprint, row.starts_at, None, row.state, row.signal, row.labels, row.annotations, "")
        for row in rows
    ]
    mapped = 0
    for row, found in zip(rows, map_alerts(source, incoming), strict=True):
        if found.device_id is not None or found.why != row.unmapped:
            changed = Alert.objects.filter(pk=row.pk, device=None)
            changed.update(device=found.device_id, unmapped=found.why)
            mapped += found.device_id is not None
    return mapped


# --- what could not be read, and what is old -----------------------------------------------------------


def _set_aside(source: AlertSource, rejected: Sequence[Rejected], *, now: datetime) -> None:
    if not rejected:
        return
    RejectedAlert.objects.bulk_create(
        RejectedAlert(source=source, received_at=now, reason=each.reason, content=each.content)
        for each in rejected[:KEEP_REJECTED]
    )
    kept = RejectedAlert.objects.filter(source=source).order_by("-pk").values_list("pk", flat=True)
    oldest = kept[KEEP_REJECTED - 1 : KEEP_REJECTED].first()
    if oldest is not None:
        RejectedAlert.objects.filter(source=source, pk__lt=oldest).delete()


def forget_old(*, now: datetime) -> int:
    """Drop deliveries that nobody repeats any more, and alerts that ended long ago; how many alerts."""
    AlertDelivery.objects.filter(received_at__lt=now - KEEP_DELIVERIES).delete()
    ended = Alert.objects.filter(state=AlertState.RESOLVED, received_at__lt=now - KEEP_ALERTS)
    old = list(ended.order_by("pk").values_list("pk", flat=True)[:DELETE_AT_ONCE])
    return Alert.objects.filter(pk__in=old).delete()[0] if old else 0
