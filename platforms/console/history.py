"""What an audit line says of an object, in the words of its form."""

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.timezone import is_aware, localtime
from django.utils.translation import gettext as _

from platforms.console.display import DASH, exact_span_text
from platforms.console.fields import is_span
from platforms.console.verbs import verb_text
from platforms.models import AuditEvent
from platforms.querysets import PlatformQuerySet

MOST = 30  # columns of a line
NAMED = 10  # related objects of a value that are named


def with_changes(line: AuditEvent, user: Any) -> AuditEvent:
    """An audit line with ``shown_verb`` and ``shown_changes``: (column, before, after) as ``user`` may read them."""
    before, after = line.before or {}, line.after or {}
    columns = _columns_of(line.target_type)
    line.shown_verb = verb_text(line.verb)
    line.shown_changes = [
        (
            str(columns[name].verbose_name) if name in columns else name,
            in_words(columns.get(name), before.get(name), user),
            in_words(columns.get(name), after.get(name), user),
        )
        for name in list(dict.fromkeys([*after, *before]))[:MOST]
    ]
    return line


def _columns_of(target_type: str) -> dict[str, Any]:
    try:
        options = apps.get_model(target_type)._meta
    except (LookupError, ValueError):
        return {}
    return {column.name: column for column in [*options.concrete_fields, *options.many_to_many]}


def in_words(column: Any, value: Any, user: Any) -> str:
    """The value of a column (None: it is no column) as ``user`` may read it."""
    if value in (None, "", [], {}):
        return DASH
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if column is None or isinstance(value, dict):
        return str(value)
    if column.is_relation:
        return _names(column.remote_field.model, value, user)
    if is_span(column) and isinstance(value, int | float):
        return exact_span_text(value)
    if isinstance(column, models.DateTimeField) and (at := parse_datetime(str(value))) is not None:
        return date_format(localtime(at) if is_aware(at) else at, "SHORT_DATETIME_FORMAT")
    return str(value if isinstance(value, list) else dict(column.flatchoices).get(value, value))


def _names(related: type[models.Model], value: Any, user: Any) -> str:
    """The related objects by their names, as far as ``user`` may see them."""
    keys = value if isinstance(value, list) else [value]
    rows = related._default_manager.all()
    visible = rows.visible_to(user) if isinstance(rows, PlatformQuerySet) else rows.none()
    try:
        names = {str(row.pk): str(row) for row in visible.filter(pk__in=keys[:NAMED])}
    except (TypeError, ValueError, ValidationError):  # masked, or of a time when the column was another
        names = {}
    return ", ".join(names.get(str(key), str(key)) for key in keys[:NAMED]) + (
        " …" if len(keys) > NAMED else ""
    )
