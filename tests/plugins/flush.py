"""Empty the tables quickly after a test with real transactions.

Django empties a hundred tables and then writes every permission and content type again. Here only what has rows
is emptied; permissions and content types, which are the same for all tests, stay; and what our apps write after a
migration (catalogue, schedules, the audit's triggers) is written by them directly.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management.commands import flush
from django.db import connection, connections

KEPT = {"django_content_type", "auth_permission", "django_migrations"}


@pytest.fixture(scope="session", autouse=True)
def tables_are_emptied_quickly() -> Iterator[None]:
    """For the whole run."""
    from platforms import audit_triggers

    operations = type(connection.ops)
    with pytest.MonkeyPatch.context() as patch:
        plain = operations.sql_flush

        def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
            full = with_rows(self.connection, [table for table in tables if table not in KEPT])
            if (
                self.connection.vendor == "postgresql"
            ):  # neither the audit's triggers nor foreign keys are asked
                emptied = [f"DELETE FROM {self.quote_name(table)}" for table in full]  # noqa: S608 names of our tables
                return ["SET LOCAL session_replication_role = replica", *emptied]
            return [*audit_triggers.drop_statements("sqlite"), *plain(self, style, full, **options)]

        patch.setattr(operations, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", what_our_apps_write)
        yield


def with_rows(database: Any, tables: list[str]) -> list[str]:
    """Those of ``tables`` that are not empty, by one query."""
    quote = database.ops.quote_name
    asked = (f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {quote(table)})" for table in tables)  # noqa: S608
    with database.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [name for (name,) in cursor.fetchall()]


def what_our_apps_write(verbosity: int, interactive: bool, db: str, **options: Any) -> None:
    """What ``post_migrate`` is used for by our own apps."""
    from devices.services.templates import load_catalogue_into_tables
    from platforms import audit_triggers
    from remosa.schedules import ensure_schedules

    audit_triggers.install(connections[db])
    load_catalogue_into_tables()
    ensure_schedules()
