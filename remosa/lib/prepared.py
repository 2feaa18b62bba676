"""A query that is put into SQL once per thread and asked often.

Composing a query takes the ORM longer than the database takes to answer one that follows an index. The
columns are converted as always, so both databases give the same values.
"""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models

_numbers = itertools.count(1)


@dataclass(frozen=True)
class _Composed:
    """The query as SQL for the connections of one thread, and how its columns become values."""

    vendor: str
    sql: str
    places: int
    compiler: Any
    converters: Any


class PreparedQuery:
    """``PreparedQuery(lambda: Model.objects.filter(pk=0).values_list(…))``; ``rows(7)`` puts 7 for the 0.

    The arguments stand for the values of the query, in the order of its SQL (joins, then filters), and go to
    the database as they are: numbers and texts. Filters by a constant belong into the judgement of the rows.
    """

    def __init__(self, compose: Callable[[], models.QuerySet[Any, Any]]) -> None:
        self._compose = compose
        self._own = threading.local()
        self._name = f"remosa_{next(_numbers)}"
        self._known_to: WeakSet[Any] = WeakSet()  # the sessions of PostgreSQL that have this statement

    def rows(self, *arguments: int | str) -> list[tuple[Any, ...]]:
        """The rows, as tuples."""
        connection = connections[DEFAULT_DB_ALIAS]
        composed: _Composed | None = getattr(self._own, "composed", None)
        if composed is None or composed.vendor != connection.vendor:
            composed = self._own.composed = self._composed(connection)
        if len(arguments) != composed.places:
            raise ValueError(f"This query has {composed.places} arguments, not {len(arguments)}.")
        found = self._ask(connection, composed, arguments)
        if not composed.converters:
            return found
        return [tuple(row) for row in composed.compiler.apply_converters(found, composed.converters)]

    def _composed(self, connection: Any) -> _Composed:
        compiler = self._compose().query.get_compiler(connection=connection)
        sql, places = compiler.as_sql()
        columns = [column[0] for column in compiler.select]
        return _Composed(connection.vendor, sql, len(places), compiler, compiler.get_converters(columns))

    def _ask(self, connection: Any, composed: _Composed, arguments: tuple[int | str, ...]) -> list[Any]:
        """Ask, without asking first whether the connection lives (``CONN_HEALTH_CHECKS``): the answer tells.

        A read may be repeated: when the connection had died, or the tables changed under the prepared
        statement, it is asked once more on a new one.
        """
        connection.health_check_done = True
        try:
            return self._fetch(connection, composed, arguments)
        except DatabaseError:
            if connection.in_atomic_block:
                raise
            connection.close()
        return self._fetch(connection, composed, arguments)

    def _fetch(self, connection: Any, composed: _Composed, arguments: tuple[int | str, ...]) -> list[Any]:
        with connection.cursor() as cursor:
            if composed.vendor == "postgresql":  # planning a join takes it three times as long as answering
                self._prepare(connection, cursor, composed)
                marks = ", ".join(["%s"] * composed.places)
                cursor.execute(f"EXECUTE {self._name} ({marks})", arguments)
            else:
                cursor.execute(composed.sql, arguments)
            rows: list[Any] = cursor.fetchall()
        return rows

    def _prepare(self, connection: Any, cursor: Any, composed: _Composed) -> None:
        """Let this session of PostgreSQL know the statement; it keeps it until its end."""
        if connection.connection not in self._known_to:
            places = tuple(f"${place}" for place in range(1, composed.places + 1))
            cursor.execute(f"PREPARE {self._name} AS {composed.sql % places}")
            self._known_to.add(connection.connection)
