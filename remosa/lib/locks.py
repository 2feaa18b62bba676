"""Writes that may be left out."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection


@contextmanager
def unless_locked() -> Iterator[None]:
    """A small write that is left out when SQLite's one writer is at work; else it would wait for as long.

    Outside of a transaction. PostgreSQL locks rows, and nobody holds the ones of such a write for long.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    with connection.cursor() as cursor:
        (usual_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        except OperationalError as exc:
            if "locked" not in str(exc):
                raise
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {usual_ms}")
