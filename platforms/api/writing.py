"""Write tenant rows that have no service of their own: checked, in one transaction, with a line in the audit."""

from collections.abc import Collection, Mapping
from copy import copy
from typing import Any

from django.db import models, router, transaction
from django.db.models.deletion import Collector
from django.utils.translation import gettext as _

from platforms import audit
from platforms.api.errors import Conflict
from platforms.models import Platform


def split(model: type[models.Model], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``values`` as (columns, many-to-many)."""
    many = {field.name for field in model._meta.many_to_many}
    columns = {name: value for name, value in values.items() if name not in many}
    return columns, {name: value for name, value in values.items() if name in many}


def create(
    row: models.Model, *, by: Any, platform: Platform | None, many: Mapping[str, Any] | None = None
) -> None:
    """Check and store a new row."""
    with transaction.atomic():
        row.full_clean()
        row.save(force_insert=True)
        _set_many(row, many)
        after = audit.fields_of(row) | _keys(row, many)
        _record(row, "created", by=by, platform=platform, after=after)


def change(
    row: models.Model, values: Mapping[str, Any], *, by: Any, platform: Platform | None, **always: Any
) -> models.Model:
    """Set ``values`` on the row as it is in the table now; only these columns (and ``always``) are written.

    ``always`` are columns that change with every edit; they alone are no edit.
    """
    columns, many = split(type(row), values)
    with transaction.atomic():
        fresh = type(row)._base_manager.select_for_update().get(pk=row.pk)
        stored, before = copy(fresh), audit.fields_of(fresh) | _keys(fresh, many)
        for name, value in columns.items():
            setattr(fresh, name, value)
        fresh.full_clean()
        old, new = audit.changes(
            before, audit.fields_of(fresh) | {key: _pks(rows) for key, rows in many.items()}
        )
        new |= audit.replaced_secrets(stored, fresh)
        if not new:
            return fresh
        for name, value in always.items():
            setattr(fresh, name, value)
        fresh.save(update_fields=[*columns, *always])
        _set_many(fresh, many)
        _record(fresh, "changed", by=by, platform=platform, before=old, after=new)
    if always:
        fresh.refresh_from_db(fields=list(always))
    return fresh


def delete(
    row: models.Model, *, by: Any, platform: Platform | None, along: Collection[type[models.Model]] = ()
) -> None:
    """Remove a row; what it was stays in the audit. Conflict when rows of kinds not in ``along`` would go with it."""
    with transaction.atomic():
        refuse_to_take_along(row, along)
        _record(row, "deleted", by=by, platform=platform, before=audit.fields_of(row))
        row.delete()


def refuse_to_take_along(row: models.Model, along: Collection[type[models.Model]]) -> None:
    """Conflict when deleting ``row`` would delete rows of kinds other than its own and ``along``."""
    if others := _would_go(row) - {type(row), *along}:
        names = ", ".join(sorted(str(model._meta.verbose_name_plural) for model in others))
        raise Conflict(_("Other objects need this one: %(names)s.") % {"names": names})


def _would_go(row: models.Model) -> set[type[models.Model]]:
    """The models of which rows would be deleted together with ``row``."""
    collector = Collector(using=router.db_for_write(type(row)), origin=row)
    collector.collect([row])
    return set(collector.data) | {rows.model for rows in collector.fast_deletes if rows.exists()}


def _record(row: models.Model, deed: str, *, by: Any, platform: Platform | None, **values: Any) -> None:
    audit.record(
        actor=audit.person(by), verb=f"{row._meta.model_name}.{deed}", target=row, platform=platform, **values
    )


def _set_many(row: models.Model, many: Mapping[str, Any] | None) -> None:
    for name, rows in (many or {}).items():
        getattr(row, name).set(rows)


def _keys(row: models.Model, many: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    return {name: _pks(getattr(row, name).all()) for name in many or {}}


def _pks(rows: Any) -> list[Any]:
    return sorted(row.pk for row in rows)
