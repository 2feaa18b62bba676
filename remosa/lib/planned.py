"""A question that is all that a request asks, many times a second: PostgreSQL keeps its plan for the session."""

import itertools
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models

from remosa.lib.prepared import PreparedQuery

_numbers = itertools.count(1)


class PlannedQuery(PreparedQuery):
    """A ``PreparedQuery`` of plain arguments, in the order of its SQL: joins, then filters.

    Planning a join takes PostgreSQL three times as long as answering it. And no question goes ahead to see
    whether the connection lives (``CONN_HEALTH_CHECKS``), because the answer tells: when it had died, or the
    tables changed under the plan, the question is put once more on a new one, as only a read may be.
    """

    def __init__(self, compose: Callable[[], models.QuerySet[Any, Any]]) -> None:
        super().__init__(compose)
        self._name = f"remosa_{next(_numbers)}"
        self._known_to: WeakSet[Any] = WeakSet()  # the sessions of PostgreSQL that have the plan

    def rows(self, *arguments: Any, **given: Any) -> list[Any]:
        """The rows, as tuples."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        connection.health_check_done = True
        try:
            return self._answer(connection, arguments)
        except DatabaseError:
            if connection.in_atomic_block:
                raise
            connection.close()
        return self._answer(connection, arguments)

    def _answer(self, connection: Any, arguments: tuple[Any, ...]) -> list[Any]:
        if connection.vendor != "postgresql":
            return super().rows(*arguments)
        with connection.cursor() as cursor:
            if connection.connection not in self._known_to:
                self._plan(connection, cursor)
            places = ", ".join(["%s"] * len(arguments))
            cursor.execute(
                f"EXECUTE {self._name} ({places})" if places else f"EXECUTE {self._name}", arguments
            )
            return self._composed(connection).converted(cursor.fetchall())

    def _plan(self, connection: Any, cursor: Any) -> None:
        """Let this session know the statement; it keeps it until its end."""
        composed = self._composed(connection)
        places = tuple(f"${place}" for place in range(1, len(composed.parameters) + 1))
        cursor.execute(f"PREPARE {self._name} AS {composed.sql % places}")
        self._known_to.add(connection.connection)
