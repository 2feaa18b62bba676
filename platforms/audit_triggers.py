"""Triggers that make the audit append-only, on SQLite and on PostgreSQL.

They are put in place after each migration: SQLite loses a table's triggers when Django rebuilds it.
A line may be sealed, once; nothing else of it ever changes, and it is never deleted. A head only moves
forward. Whoever can drop a trigger can still change the table; that is what the seals are for.
"""

from typing import Any

from platforms.models import AuditEvent, AuditHead

SEAL = ("seal_number", "seal_previous", "seal", "sealed_at")
SENTENCE = "the audit is append-only"
EVENTS, HEADS = AuditEvent._meta.db_table, AuditHead._meta.db_table

FIXED = [column.column for column in AuditEvent._meta.concrete_fields if column.column not in SEAL]


def statements(vendor: str) -> dict[str, str]:
    """``{trigger: statement}`` for one kind of database."""
    return _sqlite() if vendor == "sqlite" else _postgresql()


def _sqlite() -> dict[str, str]:
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in FIXED)
    sealed = "OLD.seal_number IS NOT NULL OR NEW.seal_number IS NULL"
    back = "NEW.chain IS NOT OLD.chain OR NEW.platform_id IS NOT OLD.platform_id OR NEW.number < OLD.number"

    def trigger(name: str, what: str, table: str, when: str = "") -> str:
        condition = f" WHEN {when}" if when else ""
        stop = f"SELECT RAISE(ABORT, '{SENTENCE}'); END"
        return f'CREATE TRIGGER {name} BEFORE {what} ON "{table}"{condition} BEGIN {stop}'

    return {
        "audit_line_stays": trigger("audit_line_stays", "DELETE", EVENTS),
        "audit_line_is_fixed": trigger("audit_line_is_fixed", "UPDATE", EVENTS, f"{sealed} OR {changed}"),
        "audit_head_stays": trigger("audit_head_stays", "DELETE", HEADS),
        "audit_head_moves_on": trigger("audit_head_moves_on", "UPDATE", HEADS, back),
    }


def _postgresql() -> dict[str, str]:
    def trigger(name: str, what: str, table: str, function: str = "audit_refuses") -> str:
        each = "STATEMENT" if what == "TRUNCATE" else "ROW"
        return (
            f'CREATE TRIGGER {name} BEFORE {what} ON "{table}" FOR EACH {each} EXECUTE FUNCTION {function}()'
        )

    return {
        "audit_line_stays": trigger("audit_line_stays", "DELETE", EVENTS),
        "audit_line_is_fixed": trigger("audit_line_is_fixed", "UPDATE", EVENTS, "audit_line_guard"),
        "audit_lines_stay": trigger("audit_lines_stay", "TRUNCATE", EVENTS),
        "audit_head_stays": trigger("audit_head_stays", "DELETE", HEADS),
        "audit_head_moves_on": trigger("audit_head_moves_on", "UPDATE", HEADS, "audit_head_guard"),
        "audit_heads_stay": trigger("audit_heads_stay", "TRUNCATE", HEADS),
    }


def functions() -> dict[str, str]:
    """``{function: body}`` of PostgreSQL's triggers.

    What may not change is said in a body and not in a trigger's WHEN: a column that a WHEN names could
    not be altered by a migration any more.
    """
    stop = f"RAISE EXCEPTION '{SENTENCE}' USING ERRCODE = 'integrity_constraint_violation'"
    changed = " OR ".join(f'NEW."{name}" IS DISTINCT FROM OLD."{name}"' for name in FIXED)
    sealed = "OLD.seal_number IS NOT NULL OR NEW.seal_number IS NULL"
    back = (
        "NEW.chain IS DISTINCT FROM OLD.chain OR NEW.platform_id IS DISTINCT FROM OLD.platform_id "
        "OR NEW.number < OLD.number"
    )
    return {
        "audit_refuses": f" BEGIN {stop}; END ",
        "audit_line_guard": f" BEGIN IF {sealed} OR {changed} THEN {stop}; END IF; RETURN NEW; END ",
        "audit_head_guard": f" BEGIN IF {back} THEN {stop}; END IF; RETURN NEW; END ",
    }


def install(connection: Any) -> None:
    """Put every trigger in place, anew. Nothing happens while the tables are not there."""
    if not _has_tables(connection):
        return
    with connection.cursor() as cursor:
        for statement in drop_statements(connection.vendor):
            cursor.execute(statement)
        if connection.vendor == "postgresql":
            for name, body in functions().items():
                cursor.execute(
                    f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
                )
        for statement in statements(connection.vendor).values():
            cursor.execute(statement)


def drop_statements(vendor: str) -> list[str]:
    """What takes the triggers away: for ``install``, and for tests that play the intruder."""
    tables = {name: HEADS if "head" in name else EVENTS for name in statements(vendor)}
    if vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {name}" for name in tables]
    return [f'DROP TRIGGER IF EXISTS {name} ON "{table}"' for name, table in tables.items()]


def missing(connection: Any) -> list[str]:
    """The triggers that are not there, switched off, or not ours; none while the tables are not there."""
    if not _has_tables(connection):
        return []
    wanted = statements(connection.vendor)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            found = dict(cursor.fetchall())
            return [name for name, statement in wanted.items() if found.get(name) != statement]
        cursor.execute(
            "SELECT t.tgname, p.proname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') "
            "AND t.tgrelid IN (to_regclass(%s), to_regclass(%s))",
            [f'"{EVENTS}"', f'"{HEADS}"'],
        )
        bodies = functions()
        names = {
            name for name, function, body in cursor.fetchall()
            if bodies.get(function) == body and f" {function}()" in wanted.get(name, "")
        }  # fmt: skip
    return [name for name in wanted if name not in names]


def _has_tables(connection: Any) -> bool:
    return {EVENTS, HEADS} <= set(connection.introspection.table_names())


def install_after_migrate(sender: Any, using: str, **kwargs: Any) -> None:
    """``post_migrate`` of this app."""
    from django.db import connections

    install(connections[using])
