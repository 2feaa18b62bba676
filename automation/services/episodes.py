"""Write a delivery of alerts: the delivery itself, its episodes, and what each of them came to.

1. The delivery is noted by its digest; a known one changes nothing.
2. Each alert is merged into its episode by one upsert: the row only ever goes forward (ADR 11).
3. Each state that a row reached is entered in the history, once: what is entered now is what changed.

PostgreSQL does all three in one statement, the alerts being one JSON text: the ways to the database and the
quoting of each value would cost several times as much as the work itself. SQLite has no such statement.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

import msgspec
from django.db import connection, transaction

from automation.intake import Body, Incoming
from automation.mapping import Found
from automation.models import Alert, AlertChange, AlertDelivery, AlertSource

ROWS_AT_ONCE = 400  # of one statement on SQLite
DELIVERY = ("source", "digest", "received_at", "alerts", "rejected", "truncated")
EPISODE = (
    "source", "platform", "fingerprint", "starts_at", "ends_at", "state", "signal", "name", "summary", "labels",
    "annotations", "link", "device", "unmapped", "first_received_at", "received_at", "times",
)  # fmt: skip
CHANGE = ("alert", "state", "at")
ONCE = "ON CONFLICT DO NOTHING RETURNING id"
RANK = "(CASE {}.state WHEN 'resolved' THEN 2 WHEN 'firing' THEN 1 ELSE 0 END)"
OLD, NEW = RANK.format("automation_alert"), RANK.format("excluded")
LATER = "CASE WHEN automation_alert.{0} IS NULL OR excluded.{0} > automation_alert.{0} THEN excluded.{0} ELSE automation_alert.{0} END"  # noqa: E501
MERGED = f"""
ON CONFLICT (source_id, fingerprint, starts_at) DO UPDATE SET
    signal = CASE WHEN {NEW} > {OLD} OR ({NEW} = {OLD} AND excluded.signal > automation_alert.signal)
                  THEN excluded.signal ELSE automation_alert.signal END,
    state = CASE WHEN {NEW} > {OLD} THEN excluded.state ELSE automation_alert.state END,
    ends_at = {LATER.format("ends_at")},
    received_at = {LATER.format("received_at")},
    unmapped = CASE WHEN automation_alert.device_id IS NULL THEN excluded.unmapped ELSE '' END,
    device_id = COALESCE(automation_alert.device_id, excluded.device_id),
    times = automation_alert.times + 1
RETURNING id, state
"""
Told = tuple[Incoming, Found]


def store(
    source: AlertSource, digest: str, body: Body, devices: Sequence[Found], *, now: datetime
) -> int | None:
    """How many states were reached that were not known; None for a delivery that is. All of it, or nothing."""
    delivery = (source.pk, digest, now, len(body.alerts), len(body.rejected), body.truncated)
    told = list(zip(body.alerts, devices, strict=True))
    if connection.vendor == "postgresql":
        return _at_once(delivery, [_episode(source, each, now=now) for each in told], now=now)
    with transaction.atomic():
        if not _insert(AlertDelivery, DELIVERY, [delivery], ONCE):
            return None
        return sum(_in_steps(source, part, now=now) for part in _parts(told))


def _episode(source: AlertSource, told: Told, *, now: datetime) -> tuple[Any, ...]:
    """The columns EPISODE of an alert that nobody has told of before."""
    alert, found = told
    return (
        source.pk, source.platform_id, alert.fingerprint, alert.starts_at, alert.ends_at, alert.state, alert.signal,
        alert.name[:200], alert.summary[:500], alert.labels, alert.annotations, alert.link, found.device_id,
        found.why, now, now, 1,
    )  # fmt: skip


def _at_once(delivery: Sequence[Any], episodes: Iterable[Sequence[Any]], *, now: datetime) -> int | None:
    columns = [field.column for field in _fields(Alert, EPISODE)]
    told = msgspec.json.encode([dict(zip(columns, episode, strict=True)) for episode in episodes])
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [*delivery, told.decode(), now])
        is_new, changes = cursor.fetchone()
    return changes if is_new else None


@cache
def _statement() -> str:
    """PostgreSQL's: the delivery's columns, the episodes as JSON and the time come in; (is new, changes) out.

    The episodes ask whether the delivery was written, so it is written first.
    """
    columns = {field.column: field.db_type(connection) for field in _fields(Alert, EPISODE)}
    names = ", ".join(columns)
    types = ", ".join(f"{column} {of}" for column, of in columns.items())
    return f"""
    WITH delivery AS ({_into(AlertDelivery, DELIVERY)} VALUES (%s, %s, %s, %s, %s, %s) {ONCE}),
    told AS (
        {_into(Alert, EPISODE)} SELECT {names} FROM json_to_recordset(%s::json) AS given({types})
        WHERE EXISTS (SELECT FROM delivery) {MERGED}
    ),
    change AS ({_into(AlertChange, CHANGE)} SELECT id, state, %s FROM told {ONCE})
    SELECT EXISTS (SELECT FROM delivery), (SELECT count(*) FROM change)
    """  # noqa: S608  names of ours


def _in_steps(source: AlertSource, told: Iterable[Told], *, now: datetime) -> int:
    episodes = [_episode(source, each, now=now) for each in told]
    reached = _insert(Alert, EPISODE, episodes, MERGED)
    return len(_insert(AlertChange, CHANGE, [(number, state, now) for number, state in reached], ONCE))


def _insert(model: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], conflict: str) -> list[Any]:
    """One INSERT of all rows, with what happens on conflict; the rows that it wrote."""
    fields = _fields(model, columns)
    values = [
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict)
        else field.get_db_prep_save(value, connection)
        for row in rows
        for field, value in zip(fields, row, strict=True)
    ]
    places = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(f"{_into(model, columns)} VALUES {places} {conflict}", values)
        return cursor.fetchall()


def _into(model: Any, columns: Sequence[str]) -> str:
    names = ", ".join(field.column for field in _fields(model, columns))
    return f"INSERT INTO {model._meta.db_table} ({names})"


def _fields(model: Any, columns: Sequence[str]) -> list[Any]:
    return [model._meta.get_field(name) for name in columns]


def _parts(rows: list[Told]) -> Iterator[list[Told]]:
    several = iter(rows)
    while part := list(islice(several, ROWS_AT_ONCE)):
        yield part
