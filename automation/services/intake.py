"""Take a delivery of alerts: once, in one transaction, whatever order things come in.

1. The delivery is noted by its digest; a known one changes nothing.
2. Each alert is merged into its episode by one upsert: the row only ever goes forward (ADR 11).
3. Each state that a row reached is entered in the history, once: what is entered now is what changed.
4. What could not be read is set aside.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from automation.intake import Body, Incoming, Rejected, digest_of, read_body
from automation.mapping import Found, Index, Known, Rule, keys_of
from automation.models import Alert, AlertChange, AlertDelivery, AlertMapping, AlertSource, RejectedAlert
from automation.states import AlertState
from devices.models import Device

ROWS_AT_ONCE = 400  # of one statement
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
    with transaction.atomic():
        if not _note_delivery(source, digest_of(raw, stamp=stamp), body, now=now):
            return Taken(duplicate=True)
        changes = 0
        for part in _parts(list(zip(body.alerts, devices, strict=True))):
            changes += _note_changes(_upsert(source, part, now=now), now=now)
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


def _devices(platform_id: int, keys: Iterable[list[tuple[Rule, str]]]) -> list[Known]:
    wanted: dict[str, set[str]] = {}
    for each in keys:
        for rule, text in each:
            wanted.setdefault(rule.by, set()).add(text)
    if not wanted:
        return []
    columns = {"mac": "mac", "external_id": "external_id", "uid": "uid", "name": "name", "device": "pk"}
    named = Q()
    for by, texts in wanted.items():
        named |= Q(**{f"{columns[by]}__in": texts})
    rows = Device.objects.of(platform_id).filter(named, is_active=True)
    return [
        Known(number, mac, external_id, str(uid), name)
        for number, mac, external_id, uid, name in rows.values_list("pk", "mac", "external_id", "uid", "name")
    ]


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


# --- rows ------------------------------------------------------------------------------------------


def _note_delivery(source: AlertSource, digest: str, body: Body, *, now: datetime) -> bool:
    """True the first time."""
    row = (source.pk, digest, now, len(body.alerts), len(body.rejected), body.truncated)
    columns = ("source", "digest", "received_at", "alerts", "rejected", "truncated")
    return bool(_insert(AlertDelivery, columns, [row], "ON CONFLICT DO NOTHING", returning=("id",)))


ALERT_COLUMNS = (
    "source", "platform", "fingerprint", "starts_at", "ends_at", "state", "signal", "name", "summary", "labels",
    "annotations", "link", "device", "unmapped", "first_received_at", "received_at", "times",
)  # fmt: skip
RANK = "(CASE {}.state WHEN 'resolved' THEN 2 WHEN 'firing' THEN 1 ELSE 0 END)"
OLD, NEW = RANK.format("automation_alert"), RANK.format("excluded")
LATER = "CASE WHEN automation_alert.{0} IS NULL OR excluded.{0} > automation_alert.{0} THEN excluded.{0} ELSE automation_alert.{0} END"  # noqa: E501
MERGE = f"""
ON CONFLICT (source_id, fingerprint, starts_at) DO UPDATE SET
    signal = CASE WHEN {NEW} > {OLD} OR ({NEW} = {OLD} AND excluded.signal > automation_alert.signal)
                  THEN excluded.signal ELSE automation_alert.signal END,
    state = CASE WHEN {NEW} > {OLD} THEN excluded.state ELSE automation_alert.state END,
    ends_at = {LATER.format("ends_at")},
    received_at = {LATER.format("received_at")},
    unmapped = CASE WHEN automation_alert.device_id IS NULL THEN excluded.unmapped ELSE '' END,
    device_id = COALESCE(automation_alert.device_id, excluded.device_id),
    times = automation_alert.times + 1
"""


def _upsert(
    source: AlertSource, alerts: Sequence[tuple[Incoming, Found]], *, now: datetime
) -> list[tuple[int, str]]:
    """Merge each alert into its row; [(row, its state now)]."""
    rows = [
        (
            source.pk, source.platform_id, alert.fingerprint, alert.starts_at, alert.ends_at, alert.state, alert.signal,
            alert.name[:200], alert.summary[:500], alert.labels, alert.annotations, alert.link, found.device_id,
            found.why, now, now, 1,
        )
        for alert, found in alerts
    ]  # fmt: skip
    return _insert(Alert, ALERT_COLUMNS, rows, MERGE, returning=("id", "state"))


def _note_changes(rows: Iterable[tuple[int, str]], *, now: datetime) -> int:
    """Enter what each row has come to, unless that is known; how many were news."""
    changes = [(number, state, now) for number, state in rows]
    return len(
        _insert(AlertChange, ("alert", "state", "at"), changes, "ON CONFLICT DO NOTHING", returning=("id",))
    )


def _insert(
    model: Any, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], conflict: str, *, returning: Sequence[str]
) -> list[Any]:  # fmt: skip
    """One INSERT of all rows, with what happens on conflict; the rows that it wrote."""
    if not rows:
        return []
    fields = [model._meta.get_field(name) for name in columns]
    values = [
        [
            json.dumps(value, ensure_ascii=False)
            if isinstance(value, dict)
            else field.get_db_prep_save(value, connection)
            for field, value in zip(fields, row, strict=True)
        ]
        for row in rows
    ]
    source, params = _rows_sql(fields, values)
    names = ", ".join(field.column for field in fields)
    sql = f"INSERT INTO {model._meta.db_table} ({names}) {source} {conflict} RETURNING {', '.join(returning)}"
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _rows_sql(fields: Sequence[Any], values: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """The rows as SQL and its parameters.

    On PostgreSQL an array per column: the statement is the same for any number of rows, so that the
    driver need not take a long text apart each time.
    """
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{field.db_type(connection)}[]" for field in fields)
        return f"SELECT * FROM unnest({arrays})", [list(column) for column in zip(*values, strict=True)]  # noqa: S608
    places = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(values))
    return f"VALUES {places}", [value for row in values for value in row]


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    several = iter(rows)
    while part := list(islice(several, ROWS_AT_ONCE)):
        yield part


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
