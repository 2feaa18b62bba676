"""Write many rows, each with values of its own."""

import math
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from django.db import connection, models

AT_ONCE = 5000  # rows of one statement: a hundred thousand would be held three times over


def update_each(model: type[models.Model], rows: Iterable[Any], fields: Collection[str]) -> None:
    """Set ``fields`` (no relations, no bytes) of each row, anything with these attributes and a ``pk``, in one go.

    By key: a row that was deleted meanwhile stays deleted. ``bulk_update`` builds an expression for each
    value, which costs several times as much. PostgreSQL takes all rows as one JSON text: no quoting of each value,
    and no way to the database for each row.
    """
    columns = [field for field in model._meta.concrete_fields if field.name in fields]
    several = list(rows)
    if not several:
        return
    if connection.vendor == "postgresql":
        for start in range(0, len(several), AT_ONCE):
            _from_json(model, several[start : start + AT_ONCE], columns)
        return
    quote = connection.ops.quote_name
    assigned = ", ".join(f"{quote(str(column.column))} = %s" for column in columns)
    statement = f"UPDATE {quote(model._meta.db_table)} SET {assigned} WHERE id = %s"  # noqa: S608  names of ours
    values = [
        [*(column.get_db_prep_save(getattr(row, column.name), connection) for column in columns), row.pk]
        for row in several
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _from_json(model: type[models.Model], rows: list[Any], columns: list[Any]) -> None:
    table, quote = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name
    names = [quote(column.column) for column in columns]
    types = [column.db_type(connection) for column in columns]
    given = ", ".join(f"{name} {of}" for name, of in zip(names, types, strict=True))
    assigned = ", ".join(f"{name} = given.{name}" for name in names)
    packed = msgspec.json.encode(
        [{"id": row.pk, **{column.column: _plain(column, row) for column in columns}} for row in rows]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {assigned} FROM json_to_recordset(%s::json) AS given(id bigint, {given})"  # noqa: S608
            f" WHERE {table}.id = given.id",
            [packed.decode()],
        )


def _plain(column: Any, row: Any) -> Any:
    """The value as JSON knows it; it has no infinity, of which PostgreSQL reads the name."""
    value = getattr(row, column.name)
    if not isinstance(column, models.JSONField):
        value = column.get_prep_value(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
