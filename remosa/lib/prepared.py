"""A query that is put into SQL once per thread and asked often.

Composing a query takes the ORM longer than the database takes to answer one that follows an index. The
columns are converted as always, so both databases give the same values.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, models


class PreparedQuery:
    """``PreparedQuery(lambda: Model.objects.filter(pk=0).values_list(…))``; ``rows(7)`` puts 7 for the 0.

    The arguments stand for the values of the filters, in their order, and go to the database as they are:
    numbers and texts, and a list of them for an ``__in`` that was composed with one value. Filters by a constant
    belong into the judgement of the rows.
    """

    def __init__(self, compose: Callable[[], models.QuerySet[Any, Any]]) -> None:
        self._compose = compose
        self._own = threading.local()

    def rows(self, *arguments: int | str | Sequence[int | str]) -> list[Any]:
        """The rows, as tuples."""
        if getattr(self._own, "vendor", "") != connection.vendor:
            compiler = self._compose().query.get_compiler(connection=connection)
            sql, places = compiler.as_sql()
            self._own.prepared = compiler, sql, len(places)
            self._own.vendor = connection.vendor
        compiler, sql, places = self._own.prepared
        if len(arguments) != places:
            raise ValueError(f"This query has {places} arguments, not {len(arguments)}.")
        with connection.cursor() as cursor:
            cursor.execute(*_spread(sql, arguments))
            found = cursor.fetchall()
        return list(compiler.results_iter([found], tuple_expected=True))


def _spread(sql: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The statement and its parameters, with a place for each value of a list."""
    if not any(isinstance(each, list) for each in arguments):
        return sql, arguments
    values = [each if isinstance(each, list) else [each] for each in arguments]
    before, *after = sql.split("%s")
    places = [", ".join(["%s"] * len(each)) + rest for each, rest in zip(values, after, strict=True)]
    return before + "".join(places), [value for each in values for value in each]
