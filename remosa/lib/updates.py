"""Write many rows, each with values of its own."""

from collections.abc import Collection, Iterable
from typing import Any

from django.db import connection, models


def update_each(model: type[models.Model], rows: Iterable[Any], fields: Collection[str]) -> None:
    """Set ``fields`` (no relations) of each row, anything with these attributes and a ``pk``, in one batch.

    By key: a row that was deleted meanwhile stays deleted. ``bulk_update`` builds an expression for each
    value, which costs several times as much.
    """
    columns = [field for field in model._meta.concrete_fields if field.name in fields]
    quote = connection.ops.quote_name
    assigned = ", ".join(f"{quote(str(column.column))} = %s" for column in columns)
    statement = f"UPDATE {quote(model._meta.db_table)} SET {assigned} WHERE id = %s"  # noqa: S608  names of ours
    values = [
        [*(column.get_db_prep_save(getattr(row, column.name), connection) for column in columns), row.pk]
        for row in rows
    ]
    if values:
        with connection.cursor() as cursor:
            cursor.executemany(statement, values)
