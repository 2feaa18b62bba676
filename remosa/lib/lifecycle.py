"""The one way to move a row along its life cycle.

A life cycle is a table of allowed moves of one ``state`` column. A move is a compare-and-set in
the database: of any number of workers that want the same move exactly one gets True and does the
side effects. This module decides *whether a row moved*, not what should follow.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db import models, transaction

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
                if _in_table(row, fence).filter(state=source).update(**changes) == 1:
                    _write_history(row, from_state=source, to_state=str(target), at=now, why=why, by=by)
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

        Each must still be in the state and under the fence that its object holds, and be in ``where`` as well.
        ``fields`` are the same for all, ``each`` has one value per row. ``raise_fence`` adds one to the fence.
        Must be called in a transaction: what moved before the error goes back with it.
        """
        if not rows:
            return
        model, sources = type(rows[0]), {row.state for row in rows}  # type: ignore[attr-defined]
        if len(sources) != 1 or target not in self.moves.get(source := sources.pop(), ()):
            raise NotAllMoved
        seen = defaultdict(list)
        for row in rows:
            seen[row.fence].append(row.pk)  # type: ignore[attr-defined]
        mine = reduce(or_, (models.Q(fence=fence, pk__in=keys) for fence, keys in seen.items()))
        found = model._base_manager.filter(mine, state=source)
        changes = {"state": str(target), "state_changed_at": now, **fields}
        written = changes | {name: _one_for_each(rows, name, values) for name, values in (each or {}).items()}
        if raise_fence:
            written["fence"] = models.F("fence") + 1
        if (found if where is None else found.filter(where)).update(**written) != len(rows):
            raise NotAllMoved
        relation: Any = model._meta.get_field(model.HISTORY)  # type: ignore[attr-defined]
        event = {"from_state": source, "to_state": str(target), "at": now, "why": why, "by": by}
        relation.related_model._base_manager.bulk_create(
            [relation.related_model(**{relation.field.name: row}, **event) for row in rows]
        )
        for place, row in enumerate(rows):
            own = {name: values[place] for name, values in (each or {}).items()}
            if raise_fence:
                own["fence"] = row.fence + 1  # type: ignore[attr-defined]
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


def _one_for_each(rows: Sequence[models.Model], name: str, values: Sequence[Any]) -> Any:
    """What ``name`` becomes in each row, as one expression; one value where all are alike."""
    field: Any = rows[0]._meta.get_field(name)
    if all(value == values[0] for value in values):
        return values[0]
    whens = [
        models.When(pk=row.pk, then=models.Value(value, output_field=field))
        for row, value in zip(rows, values, strict=True)
    ]
    return models.Case(*whens, output_field=field)


def _bring_up_to_date(row: models.Model, changes: dict[str, Any]) -> None:
    """Give ``row`` what was written; what the database computed is read."""
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    for name, value in changes.items():
        if name not in computed:
            setattr(row, name, value)
    if computed:
        row.refresh_from_db(fields=computed)


def _write_history(row: models.Model, **event: Any) -> None:
    history = getattr(type(row), "HISTORY", None)
    if history:
        getattr(row, history).create(**event)
