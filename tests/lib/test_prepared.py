"""Prepared statements give and take what the ORM does, whatever the values of each execution."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, connection, models, transaction

from remosa.lib.prepared import (
    LONGEST_PLAN,
    Given,
    PreparedQuery,
    PreparedUpdate,
    each_given,
    execute,
    inserting,
    padded,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Room(models.Model):
    name = models.CharField(max_length=16, unique=True)

    class Meta:
        app_label = "lib_tests"

    def __str__(self) -> str:
        return self.name


class Reading(models.Model):
    """One column of each type that needs a conversion."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    room = models.ForeignKey(Room, models.CASCADE, null=True)
    at = models.DateTimeField()
    written_at = models.DateTimeField(auto_now_add=True)
    value = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    is_good = models.BooleanField(default=True)
    facts = models.JSONField(null=True)
    note = models.CharField(max_length=32, blank=True)

    class Meta:
        app_label = "lib_tests"

    def __str__(self) -> str:
        return self.note


pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def tables(transactional_db: None) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Room)
        editor.create_model(Reading)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Reading)
        editor.delete_model(Room)


def reading(number: int, **over: Any) -> Reading:
    columns = {"at": NOW + timedelta(hours=number), "value": Decimal(number), "note": f"n{number}"}
    return Reading(**columns | over)


def plain(rows: Any) -> list[dict[str, Any]]:
    return list(rows.order_by("at").values())


def test_inserted_rows_are_those_of_the_orm() -> None:
    room = Room.objects.create(name="hall")
    rows = [
        reading(1, room=room, facts={"a": [1, None, "ж"]}),
        reading(2, value=None, is_good=False, note="50 % 'quoted'"),
    ]

    assert execute(inserting(rows)) == [2]

    found = plain(Reading.objects)
    assert [row.pop("written_at") > NOW for row in found] == [True, True]
    assert found == [
        {"id": rows[0].pk, "room_id": room.pk, "at": rows[0].at, "value": Decimal("1.00"), "is_good": True,
         "facts": {"a": [1, None, "ж"]}, "note": "n1"},
        {"id": rows[1].pk, "room_id": None, "at": rows[1].at, "value": None, "is_good": False, "facts": None,
         "note": "50 % 'quoted'"},
    ]  # fmt: skip


def test_objects_are_those_of_the_orm_each_time() -> None:
    room = Room.objects.create(name="hall")
    for number in range(6):
        reading(number, room=room if number % 2 else None).save()
    at = Given("since", models.DateTimeField())
    since = PreparedQuery(lambda: Reading.objects.filter(at__gte=at).select_related("room").order_by("at"))

    for number in (4, 1):
        moment = NOW + timedelta(hours=number)
        found = since.objects(since=moment)

        wanted = list(Reading.objects.filter(at__gte=moment).order_by("at"))
        assert found == wanted
        assert [vars(row) | {"_state": None} for row in found] == [
            vars(row) | {"_state": None} for row in Reading.objects.select_related("room").filter(
                at__gte=moment).order_by("at")
        ]  # fmt: skip
        assert not any(row._state.adding for row in found)


def test_values_by_position_or_by_name() -> None:
    hall, yard = Room.objects.create(name="hall"), Room.objects.create(name="yard")
    by_place = PreparedQuery(lambda: Room.objects.filter(name="").values_list("pk"))
    by_name = PreparedQuery(
        lambda: Room.objects.filter(
            name__in=each_given("name", models.CharField(), 2), pk__gt=0
        ).order_by("pk").values_list("pk", "name")
    )  # fmt: skip

    assert by_place.rows("yard") == [(yard.pk,)]
    assert by_name.rows(name=["yard", "hall"]) == [(hall.pk, "hall"), (yard.pk, "yard")]
    assert by_name.rows(name=["yard", "cellar"]) == [(yard.pk, "yard")]
    with pytest.raises(ValueError, match="has 1 arguments, not 2"):
        by_place.rows("yard", "hall")


def test_update_takes_other_values_each_time() -> None:
    room = Room.objects.create(name="hall")
    rows = [reading(number) for number in range(3)]
    execute(inserting(rows))
    key, at = partial(Given, "key", Reading._meta.pk), Given("later", models.DurationField())
    update = PreparedUpdate(
        lambda: (
            Reading.objects.filter(pk__in=[key(0), key(1)], is_good=True),
            {
                "room": Given("room", Reading._meta.get_field("room")),
                "value": models.F("value") + Given("more", models.DecimalField()),
                "at": models.ExpressionWrapper(models.F("at") + at, models.DateTimeField()),
                "note": models.Case(models.When(pk=key(0), then=Given("note", models.CharField(), 0)),
                                    models.When(pk=key(1), then=Given("note", models.CharField(), 1))),
            },
        )
    )  # fmt: skip
    a, b, c = (row.pk for row in rows)

    for keys, given in [((a, b), room), ((b, c), None)]:
        told = {"room": given, "more": Decimal("0.50"), "later": timedelta(days=1), "note": ["x", "y"]}
        assert update.run(key=keys, **told) == 2

    day = timedelta(days=1)
    assert list(Reading.objects.order_by("note", "at").values_list("pk", "room", "value", "at", "note")) == [
        (a, room.pk, Decimal("0.50"), NOW + day, "x"),
        (b, None, Decimal("2.00"), NOW + timedelta(hours=1) + 2 * day, "x"),
        (c, None, Decimal("2.50"), NOW + timedelta(hours=2) + day, "y"),
    ]


def rename() -> PreparedUpdate:
    return PreparedUpdate(
        lambda: (
            Room.objects.filter(name=Given("old", models.CharField())).exclude(name="100 % 'quoted'"),
            {"name": Given("new", models.CharField())},
        )
    )


def test_a_new_session_makes_its_own_plan() -> None:
    Room.objects.create(name="hall")
    update = rename()

    assert update.run(old="hall", new="100 % 'quoted'") == 1
    assert update.run(old="100 % 'quoted'", new="yard") == 0  # the constant of the statement
    connection.close()
    assert update.run(old="nobody", new="somebody") == 0


def test_a_plan_is_kept_when_its_transaction_goes_back() -> None:
    Room.objects.create(name="hall")
    update = rename()

    for _turn in range(2):
        with transaction.atomic():
            assert update.run(old="hall", new="yard") == 1
            transaction.set_rollback(True)

    assert update.run(old="hall", new="yard") == 1


def test_after_a_change_of_the_table_the_next_question_is_planned_anew() -> None:
    Room.objects.create(name="hall")
    ask = PreparedQuery(
        lambda: Room.objects.filter(name=Given("name", models.CharField())).values_list("name")
    )
    assert ask.rows(name="hall") == [("hall",)]
    wider = models.TextField()
    wider.set_attributes_from_name("name")
    wider.model = Room
    with connection.schema_editor() as editor:
        editor.alter_field(Room, Room._meta.get_field("name"), wider)

    with suppress(NotSupportedError):  # PostgreSQL says it once
        ask.rows(name="hall")

    assert ask.rows(name="hall") == [("hall",)]


def test_a_long_statement_is_not_planned() -> None:
    names = [f"n{number}" for number in range(LONGEST_PLAN + 1)]
    places = each_given("name", models.CharField(), len(names))
    ask = PreparedQuery(lambda: Room.objects.filter(name__in=places).values_list("name"))
    Room.objects.create(name="n7")

    assert ask.rows(name=names) == [("n7",)]
    assert ask._composed(connection).plan is None


def test_several_are_executed_in_order_and_each_counts_its_rows() -> None:
    renamed = PreparedUpdate(
        lambda: (
            Room.objects.filter(name=Given("old", models.CharField())),
            {"name": Given("new", models.CharField())},
        )
    )

    counts = execute(
        inserting([Room(name="hall"), Room(name="yard")]),
        renamed.with_values(old="hall", new="100 %"),
        renamed.with_values(old="hall", new="nobody"),
    )

    assert counts == [2, 1, 0]
    assert sorted(Room.objects.values_list("name", flat=True)) == ["100 %", "yard"]


def test_failure_of_one_leaves_nothing_of_the_others() -> None:
    def both() -> None:
        with transaction.atomic():
            execute(inserting([Room(name="hall")]), inserting([Room(name="hall")]))

    with pytest.raises(IntegrityError):
        both()

    assert not Room.objects.exists()


@pytest.mark.parametrize(("count", "padded_count"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (17, 32)])
def test_a_list_is_padded_to_a_power_of_two_by_its_last_value(count: int, padded_count: int) -> None:
    values = list(range(count))
    assert padded(values) == values + [count - 1] * (padded_count - count)
