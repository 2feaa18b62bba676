"""Statements that are put into SQL once and executed often.

Composing a statement takes the ORM longer than the database takes to execute one that follows an index. Values
are converted as always, so both databases take and give the same. What the text of a statement depends on (how
many keys) is an argument of a function with ``functools.cache`` that makes it.

Planning it takes PostgreSQL longer than executing it, too: each session keeps the plan (``Plan``).
"""

import itertools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from django.db import NotSupportedError, connection, connections, models, transaction
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery

LONGEST_PLAN = 256  # parameters; a longer statement is seldom the same twice, and its plan is large
ANY_TYPE = object()  # a parameter whose type PostgreSQL tells from where it stands

_numbers = itertools.count(1)


class Given(models.Expression):
    """Stands in a prepared statement for the value that each execution gives by this ``name``.

    ``field`` converts it. With a ``place``, the execution gives a list and this stands for one of its values.
    """

    def __init__(self, name: str, field: "models.Field[Any, Any]", place: int | None = None) -> None:
        super().__init__(output_field=field)
        self.name, self.place = name, place

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def value(self, given: Mapping[str, Any], database: Any) -> Any:
        """What goes to the database."""
        value = given[self.name] if self.place is None else given[self.name][self.place]
        if isinstance(value, models.Model):
            value = value.pk
        return self.output_field.get_db_prep_save(value, database)


def each_given(name: str, field: "models.Field[Any, Any]", count: int) -> list[Any]:
    """The ``count`` values of a list, for ``…__in``."""
    return [Given(name, field, place) for place in range(count)]


def padded(values: Sequence[Any]) -> list[Any]:
    """``values`` with the last one repeated, up to a power of two: so few statements serve every length.

    For conditions that may be said twice: ``…__in``, or alternatives of a WHERE.
    """
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


@dataclass(eq=False)
class Plan:
    """A statement whose plan a session of PostgreSQL keeps from the first execution to its end (``PREPARE``).

    Of its ``parameters`` those that are ``Given`` or ``ANY_TYPE`` come with each execution, the others are constants.
    """

    sql: str
    parameters: Sequence[Any]
    name: str = field(default_factory=lambda: f"remosa_{next(_numbers)}")
    _known_to: "WeakSet[Any]" = field(default_factory=WeakSet)

    def call(self, cursor: Any, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """What executes it in the session of ``cursor``, which is told of it the first time."""
        if cursor.connection not in self._known_to:
            self._introduce(cursor)
        places = f" ({', '.join(['%s'] * len(values))})" if values else ""
        return f"EXECUTE {self.name}{places}", values

    def _introduce(self, cursor: Any) -> None:
        types: list[str] = []
        places: list[str] = []
        for one in self.parameters:
            if isinstance(one, Given):
                types.append(_type_of(one.output_field))
            elif one is ANY_TYPE:
                types.append("unknown")
            else:
                places.append(cursor.mogrify("%s", [one]))
                continue
            places.append(f"${len(types)}")
        head = f"({', '.join(types)})" if types else ""
        cursor.execute(f"PREPARE {self.name}{head} AS {self.sql % tuple(places)}")
        self._known_to.add(cursor.connection)

    def forget(self) -> None:
        """The tables changed under the plan: every session makes another one."""
        self.name, self._known_to = f"remosa_{next(_numbers)}", WeakSet()


def _type_of(output: "models.Field[Any, Any]") -> str:
    """The field's type without its length: PostgreSQL checks that where the value is stored."""
    return re.sub(r"\(.*?\)", "", output.db_type(connection) or "unknown")


def _plan_of(sql: str, parameters: Sequence[Any]) -> Plan | None:
    is_short = connection.vendor == "postgresql" and len(parameters) <= LONGEST_PLAN
    return Plan(sql, parameters) if is_short else None


def _values(parameters: Sequence[Any], given: Mapping[str, Any]) -> list[Any]:
    database = connections[connection.alias]  # looked up once
    return [one.value(given, database) if isinstance(one, Given) else one for one in parameters]


def _given(parameters: Sequence[Any], given: Mapping[str, Any]) -> list[Any]:
    """The values of those that are given."""
    return _values([one for one in parameters if isinstance(one, Given)], given)


class PreparedQuery:
    """``PreparedQuery(lambda: Model.objects.filter(pk=0).values_list(…))``; ``rows(7)`` puts 7 for the 0.

    The arguments stand for the values of the filters, in their order, and go to the database as they are:
    numbers and texts, and a list of them for an ``__in`` that was composed with one value. Filters by a constant
    belong into the judgement of the rows. Where the query holds ``Given``, values are given by name instead, and
    constants are left alone.
    """

    def __init__(self, compose: Callable[[], models.QuerySet[Any, Any]]) -> None:
        self._compose = compose
        self._own = threading.local()

    def rows(self, *arguments: int | str | Sequence[int | str], **given: Any) -> list[Any]:
        """The rows, as tuples."""
        return self._execute(arguments, given)[1]

    def objects(self, **given: Any) -> list[Any]:
        """The rows as instances of the model, with what ``select_related`` brings."""
        composed, rows = self._execute((), given)
        info = composed.compiler.klass_info
        places = slice(info["select_fields"][0], info["select_fields"][-1] + 1)
        made = []
        for row in rows:
            made.append(info["model"].from_db(connection.alias, composed.names, row[places]))
            for populator in composed.populators:
                populator.populate(row, made[-1])
        return made

    def _execute(self, arguments: Sequence[Any], given: Mapping[str, Any]) -> tuple["Composed", list[Any]]:
        composed = self._composed(connection)
        if arguments and len(arguments) != len(composed.parameters):
            raise ValueError(f"This query has {len(composed.parameters)} arguments, not {len(arguments)}.")
        with connection.cursor() as cursor:
            if arguments or composed.plan is None:
                statement = _spread(composed.sql, arguments or _values(composed.parameters, given))
            else:
                statement = composed.plan.call(cursor, _given(composed.parameters, given))
            try:
                cursor.execute(*statement)
            except NotSupportedError:  # what a row looks like is not what was planned
                if composed.plan is not None:
                    composed.plan.forget()
                raise
            return composed, composed.converted(cursor.fetchall())

    def _composed(self, database: Any) -> "Composed":
        """What was composed for this thread."""
        if getattr(self._own, "vendor", "") != database.vendor:
            self._own.composed = Composed.by(self._compose().query.get_compiler(connection=database))
            self._own.vendor = database.vendor
        composed: Composed = self._own.composed
        return composed


@dataclass(frozen=True)
class Composed:
    """A query in SQL, and what its rows need afterwards."""

    compiler: Any
    sql: str
    parameters: Sequence[Any]
    converters: Any
    names: Sequence[str] = ()  # of the model's columns, where its rows may become objects
    populators: Sequence[Any] = ()  # of what ``select_related`` brings
    plan: Plan | None = None

    @classmethod
    def by(cls, compiler: Any) -> "Composed":
        sql, parameters = compiler.as_sql()
        columns = [column for column, *_ in compiler.select]
        names: Sequence[str] = ()
        populators: Sequence[Any] = ()
        info = compiler.klass_info
        if info:
            chosen = columns[info["select_fields"][0] : info["select_fields"][-1] + 1]
            names = tuple(column.target.attname for column in chosen)
            populators = get_related_populators(info, compiler.select, compiler.connection.alias)  # type: ignore[call-arg]  # 6.0
        converters, plan = compiler.get_converters(columns), _plan_of(sql, parameters)
        return cls(compiler, sql, parameters, converters, names, populators, plan)

    def converted(self, rows: list[Any]) -> list[Any]:
        """The rows as Python has them."""
        if not self.converters:
            return rows
        return [tuple(row) for row in self.compiler.apply_converters(rows, self.converters)]


def _spread(sql: str, arguments: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The statement and its parameters, with a place for each value of a list."""
    if not any(isinstance(each, list) for each in arguments):
        return sql, arguments
    values = [each if isinstance(each, list) else [each] for each in arguments]
    before, *after = sql.split("%s")
    places = [", ".join(["%s"] * len(each)) + rest for each, rest in zip(values, after, strict=True)]
    return before + "".join(places), [value for each in values for value in each]


@dataclass(frozen=True)
class Change:
    """A statement that changes rows: pieces of its text, each with its values as the database takes them.

    Or its ``plan``, and the values in their order.
    """

    pieces: Sequence[tuple[str, Sequence[Any]]]
    plan: Plan | None = None

    def spelled(self, cursor: Any) -> str:
        """The statement for PostgreSQL, with its values."""
        pieces = self.pieces if self.plan is None else [self.plan.call(cursor, self.pieces[0][1])]
        return "".join(cursor.mogrify(*piece) for piece in pieces)


def execute(*changes: Change) -> list[int]:
    """Execute them in this order, in the caller's transaction; how many rows each changed.

    PostgreSQL gets them in one message, as the way to it and back takes longer than most of them. The values are
    put in piece by piece: psycopg remembers how to do that for a short text alone.
    """
    counts: list[int] = []
    with transaction.mark_for_rollback_on_error(connection.alias), connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            for one in changes:
                values = [value for _text, values in one.pieces for value in values]
                cursor.execute("".join(text for text, _values in one.pieces), values)
                counts.append(cursor.rowcount)
        elif changes:
            cursor.execute("; ".join([one.spelled(cursor) for one in changes]))
            counts.append(cursor.rowcount)
            while cursor.nextset():
                counts.append(cursor.rowcount)
    return counts


class PreparedUpdate:
    """``PreparedUpdate(lambda: (rows, columns))`` is ``rows.update(**columns)``, with ``Given`` for what varies."""

    def __init__(self, compose: Callable[[], tuple[models.QuerySet[Any, Any], Mapping[str, Any]]]) -> None:
        self._compose = compose
        self._prepared: dict[str, tuple[str, Sequence[Any], Plan | None]] = {}

    def run(self, **given: Any) -> int:
        """Execute it; how many rows it found."""
        return execute(self.with_values(**given))[0]

    def with_values(self, **given: Any) -> Change:
        """The statement as it may be executed together with others."""
        if connection.vendor not in self._prepared:
            rows, columns = self._compose()
            query: Any = rows.query.chain(UpdateQuery)
            query.add_update_values(columns)
            sql, parameters = query.get_compiler(connection=connection).as_sql()
            self._prepared[connection.vendor] = sql, parameters, _plan_of(sql, parameters)
        sql, parameters, plan = self._prepared[connection.vendor]
        return Change([(sql, (_values if plan is None else _given)(parameters, given))], plan)


def inserting(rows: Sequence[models.Model]) -> Change:
    """``bulk_create`` of at least one row, without asking for the keys that the database makes."""
    database, columns = connections[connection.alias], {}
    for one in rows[0]._meta.local_concrete_fields:
        values = [one.get_db_prep_save(one.pre_save(row, add=True), database) for row in rows]
        if any(value is not None for value in values):  # all the others are NULL without being named
            columns[database.ops.quote_name(one.column or "")] = values
    place = f"({', '.join(['%s'] * len(columns))})"
    table = database.ops.quote_name(rows[0]._meta.db_table)
    first, *others = zip(*columns.values(), strict=True)
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608  names of ours
    return Change([(head + place, first), *((f", {place}", row) for row in others)])
