"""Planned queries: the values are the ORM's, and a dead connection costs a question, not an answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from platforms.models import Platform
from remosa.lib.planned import PlannedQuery


def by_name() -> PlannedQuery:
    return PlannedQuery(
        lambda: (
            Platform.objects.filter(name="", pk__gt=0)
            .order_by("pk")
            .values_list("pk", "is_active", "created_at", "name")
        )
    )


@pytest.fixture
def make_platform() -> Any:
    return lambda name: Platform.objects.create(name=name)


@pytest.mark.databases
@pytest.mark.django_db
def test_the_values_are_those_of_the_orm(make_platform: Any) -> None:
    row = make_platform("50 % 'off'")
    make_platform("another")
    query = by_name()

    found = [query.rows(row.name, 0), query.rows(row.name, 0), query.rows(row.name, row.pk)]

    row.refresh_from_db()
    assert found == [
        [(row.pk, True, row.created_at, row.name)],
        [(row.pk, True, row.created_at, row.name)],
        [],
    ]


@pytest.fixture
def on_postgres() -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has a connection that can die")
    yield
    connection.close()


def end_the_session() -> None:
    """As a restart of the server does it."""
    with connection.cursor() as cursor, pytest.raises(DatabaseError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_dead_connection_is_asked_again_on_a_new_one(on_postgres: None, make_platform: Any) -> None:
    query, row = by_name(), make_platform("north")
    query.rows("north", 0)
    end_the_session()

    assert query.rows("north", 0) == [(row.pk, True, row.created_at, row.name)]


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_table_that_changed_under_the_statement_is_no_error(on_postgres: None, make_platform: Any) -> None:
    query, row = by_name(), make_platform("north")
    query.rows("north", 0)
    kept = Platform._meta.get_field("name").db_type(connection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE platforms_platform ALTER COLUMN name TYPE text")
    try:
        found = query.rows("north", 0)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE platforms_platform ALTER COLUMN name TYPE {kept}")

    assert found == [(row.pk, True, row.created_at, row.name)]


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_nothing_is_repeated(on_postgres: None, make_platform: Any) -> None:
    query = by_name()
    make_platform("north")

    def ask_twice() -> None:
        with transaction.atomic():
            query.rows("north", 0)
            end_the_session()
            query.rows("north", 0)

    with pytest.raises(DatabaseError):
        ask_twice()
