"""The one way to move a row along its life cycle.

A life cycle is a table of allowed moves of one ``state`` column. A move is a compare-and-set in
the database: of any number of workers that want the same move exactly one gets True and does the
side effects. This module decides *whether a row moved*, not what should follow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, reduce
from operator import or_
from typing import Any

from django.db import models, transaction

from remosa.lib.prepared import Change, Given, PreparedUpdate, execute, inserting, padded

NOW = Given("now", models.DateTimeField())  # for the ``where`` of ``move_all``
READS = 4  # the first look and three more: another worker moved the row between our look and our update


class NotAllMoved(Exception):
    """Not all rows of a common move could be moved; the caller's transaction must go back."""


class IllegalMove(Exception):
    """A person asked for a move that the life cycle does not allow. Raised by services, never by ``move``."""


@dataclass(frozen=True)
class Lifecycle:
    """The allowed moves of one ``state`` column, as ``{source: {targets}}``; end states have an empty set."""

    moves: Mapping[str, frozenset[str]]

    @property
    def states(self) -> frozenset[str]:
        """Every state of the table."""
        return frozenset(self.moves).union(*self.moves.values())

    @property
    def terminal(self) -> frozenset[str]:
        """The states that nothing leaves."""
        return frozenset(state for state in self.states if not self.moves.get(state))

    def sources(self, target: str) -> list[str]:
        """The states from which ``target`` can be reached in one move, in the order of the table."""
        return [source for source, targets in self.moves.items() if target in targets]

    def check(self, states: Iterable[str] | None = None) -> None:
        """Raise ValueError unless the table has a row for every state (for exactly ``states``, if given)."""
        unknown = sorted(self.states - frozenset(self.moves))
        if unknown:
            raise ValueError(f"Targets without a row of their own: {unknown}.")
        if states is not None and frozenset(states) != self.states:
            raise ValueError(f"Table and states differ in {sorted(frozenset(states) ^ self.states)}.")

    def move(
        self,
        row: models.Model,
        target: str,
        *,
        now: datetime,
        why: str = "",
        by: Any = "",
        fence: int | None = None,
        new_fence: int | None = None,
        only_from: str | None = None,
        **fields: Any,
    ) -> bool:
        """Move ``row`` to ``target`` and set ``fields`` with it; True if *this* caller moved it.

        The state that counts is the one in the table, not the one in ``row``: that is only tried first.
        False means "not mine to move": the table of moves forbids it, the row is gone, its ``fence`` is
        another one, or other workers won every race. A move that wins brings ``row`` up to date in the
        changed fields and, where its model names a ``HISTORY`` relation, writes one event there in the same
        transaction. ``new_fence`` replaces the fence in the same statement: no earlier holder can move the
        row any more. ``only_from`` forbids the move from any other state than this one. ValueError for a
        ``target`` that the table does not know.
        """
        if target not in self.states:
            raise ValueError(f"{type(row).__name__} has no state {str(target)!r}.")
        changes = {"state": str(target), "state_changed_at": now, **fields}
        if new_fence is not None:
            changes["fence"] = new_fence
        # an error in here ends the caller's transaction, whose row would be half moved: no savepoint
        with transaction.atomic(using=row._state.db, savepoint=False):
            for source in self._sources_to_try(row, target, fence, only_from):
                if source is None:
                    return False
                if _update(row, fence, source, changes) == 1:
                    execute(*_history([row], from_state=source, to_state=str(target), at=now, why=why, by=by))
                    _bring_up_to_date(row, changes)
                    return True
        return False

    def move_all(
        self,
        rows: Sequence[models.Model],
        target: str,
        *,
        now: datetime,
        why: str = "",
        by: Any = "",
        where: models.Q | None = None,
        each: Mapping[str, Sequence[Any]] | None = None,
        raise_fence: bool = False,
        **fields: Any,
    ) -> None:
        """Move all of ``rows`` from where they were seen to ``target`` in one statement, or NotAllMoved and none.

        Each must still be in the state and under the fence that its object holds, and be in ``where`` as well:
        a constant, as its statement is remembered, in which ``NOW`` stands for ``now``.
        ``fields`` are the same for all, ``each`` has one value per row. ``raise_fence`` adds one to the fence.
        Must be called in a transaction: what moved before the error goes back with it.
        """
        if not rows:
            return
        model, sources = type(rows[0]), {row.state for row in rows}  # type: ignore[attr-defined]
        if len(sources) != 1 or target not in self.moves.get(source := sources.pop(), ()):
            raise NotAllMoved
        each = dict(each or {})
        alike = {name: values[0] for name, values in each.items() if all(one == values[0] for one in values)}
        differ = {name: values for name, values in each.items() if name not in alike}
        changes = {"state": str(target), "state_changed_at": now, **fields, **alike}
        fences = [row.fence for row in rows]  # type: ignore[attr-defined]
        lists = {"_pk": [row.pk for row in rows], "_fence": fences, **differ}
        given = {name: padded(values) for name, values in lists.items()}
        update = _moving_all(model, len(given["_pk"]), tuple(changes), tuple(differ), raise_fence, where)
        event = _history(rows, from_state=source, to_state=str(target), at=now, why=why, by=by)
        moved = execute(update.with_values(now=now, _source=source, **given, **changes), *event)[0]
        if moved != len(rows):
            raise NotAllMoved
        for place, row in enumerate(rows):
            own = {name: values[place] for name, values in differ.items()}
            if raise_fence:
                own["fence"] = fences[place] + 1
            _bring_up_to_date(row, changes | own)

    def _sources_to_try(
        self, row: models.Model, target: str, fence: int | None, only_from: str | None
    ) -> Iterator[str | None]:
        """What the caller believes, which saves a question, then what the table says."""
        believed = only_from if only_from is not None else getattr(row, "state", None)
        if believed is not None and target in self.moves.get(believed, ()):
            yield believed
        if only_from is not None:
            return
        for _ in range(READS):
            yield self._source(row, target, fence)

    def _source(self, row: models.Model, target: str, fence: int | None) -> str | None:
        """The row's state in the table now, or None when it may not go from there to ``target``."""
        source = _in_table(row, fence).values_list("state", flat=True).first()
        return source if source is not None and target in self.moves.get(source, ()) else None


def _in_table(row: models.Model, fence: int | None) -> "models.QuerySet[models.Model]":
    found = type(row)._base_manager.using(row._state.db).filter(pk=row.pk)
    return found if fence is None else found.filter(fence=fence)


def _update(row: models.Model, fence: int | None, source: str, changes: dict[str, Any]) -> int:
    """The compare-and-set of one row: prepared, unless the database is to compute something."""
    if any(hasattr(value, "resolve_expression") for value in changes.values()):
        return _in_table(row, fence).filter(state=source).update(**changes)
    update = _moving(type(row), fence is not None, tuple(changes))
    return update.run(_pk=row.pk, _fence=fence, _source=source, **changes)


@cache
def _moving(model: type[models.Model], is_fenced: bool, names: tuple[str, ...]) -> PreparedUpdate:
    def compose() -> tuple[models.QuerySet[Any], dict[str, Any]]:
        found = model._base_manager.filter(pk=_key(model), state=_source(model))
        if is_fenced:
            found = found.filter(fence=_fence(model))
        return found, _columns(model, names)

    return PreparedUpdate(compose)


@cache
def _moving_all(
    model: type[models.Model],
    count: int,
    alike: tuple[str, ...],
    differ: tuple[str, ...],
    raise_fence: bool,
    where: models.Q | None,
) -> PreparedUpdate:
    def compose() -> tuple[models.QuerySet[Any], dict[str, Any]]:
        places = range(count)
        mine = (models.Q(pk=_key(model, place), fence=_fence(model, place)) for place in places)
        found = model._base_manager.filter(reduce(or_, mine), state=_source(model))
        columns = _columns(model, alike)
        for name in differ:
            field: Any = model._meta.get_field(name)
            whens = [models.When(pk=_key(model, place), then=Given(name, field, place)) for place in places]
            columns[name] = models.Case(*whens, output_field=field)
        if raise_fence:
            columns["fence"] = models.F("fence") + 1
        return found if where is None else found.filter(where), columns

    return PreparedUpdate(compose)


def _key(model: type[models.Model], place: int | None = None) -> Given:
    return Given("_pk", model._meta.pk, place)


def _fence(model: type[models.Model], place: int | None = None) -> Given:
    return Given("_fence", model._meta.get_field("fence"), place)  # type: ignore[arg-type]


def _source(model: type[models.Model]) -> Given:
    return Given("_source", model._meta.get_field("state"))  # type: ignore[arg-type]


def _columns(model: type[models.Model], names: Iterable[str]) -> dict[str, Any]:
    return {name: Given(name, model._meta.get_field(name)) for name in names}  # type: ignore[arg-type]


def _bring_up_to_date(row: models.Model, changes: dict[str, Any]) -> None:
    """Give ``row`` what was written; what the database computed is read."""
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    for name, value in changes.items():
        if name not in computed:
            setattr(row, name, value)
    if computed:
        row.refresh_from_db(fields=computed)


def _history(rows: Sequence[models.Model], **event: Any) -> list[Change]:
    """What writes the event of each row, where the model has a history."""
    history = getattr(type(rows[0]), "HISTORY", None)
    if not history:
        return []
    relation = getattr(type(rows[0]), history).rel
    return [inserting([relation.related_model(**{relation.field.name: row}, **event) for row in rows])]
