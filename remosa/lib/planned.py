"""A question that is all that a request asks, many times a second: PostgreSQL keeps its plan for the session."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from remosa.lib.prepared import ANY_TYPE, Plan, PreparedQuery


class PlannedQuery(PreparedQuery):
    """A ``PreparedQuery`` of plain arguments, in the order of its SQL: joins, then filters.

    Planning a join takes PostgreSQL three times as long as answering it. And no question goes ahead to see
    whether the connection lives (``CONN_HEALTH_CHECKS``), because the answer tells: when it had died, or the
    tables changed under the plan, the question is put once more on a new one, as only a read may be.
    """

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
        composed = self._composed(connection)
        if getattr(self._own, "plan", None) is None:
            self._own.plan = Plan(composed.sql, [ANY_TYPE] * len(composed.parameters))
        with connection.cursor() as cursor:
            cursor.execute(*self._own.plan.call(cursor, arguments))
            return composed.converted(cursor.fetchall())
