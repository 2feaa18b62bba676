"""The compare-and-set that every life cycle stands on, with real rows and real threads."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection, connections, models, transaction

from remosa.lib.lifecycle import Lifecycle

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

LAMP = Lifecycle(
    {
        "off": frozenset({"warming", "broken"}),
        "warming": frozenset({"on", "off", "broken"}),
        "on": frozenset({"off"}),
        "broken": frozenset(),
    }
)


class Lamp(models.Model):
    """A row with the columns that ``move`` knows."""

    state = models.CharField(max_length=16, default="off")
    state_changed_at = models.DateTimeField(null=True)
    fence = models.IntegerField(default=0)
    label = models.CharField(max_length=16, default="")

    HISTORY = "events"

    class Meta:
        app_label = "lib_tests"

    def __str__(self) -> str:
        return f"lamp {self.pk}"


class LampEvent(models.Model):
    lamp = models.ForeignKey(Lamp, models.CASCADE, related_name="events")
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    at = models.DateTimeField()
    why = models.CharField(max_length=64)
    by = models.CharField(max_length=64)

    class Meta:
        app_label = "lib_tests"

    def __str__(self) -> str:
        return f"{self.from_state} -> {self.to_state}"


@pytest.fixture
def tables(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """Tables for the lamps; on SQLite in a file, because threads do not lock each other out in memory."""
    in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()
    if in_memory:
        kept, name = connection.connection, connection.settings_dict["NAME"]
        connection.connection, connection.settings_dict["NAME"] = None, str(tmp_path / "lamps.sqlite3")
    try:
        with connection.schema_editor() as editor:
            editor.create_model(Lamp)
            editor.create_model(LampEvent)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(LampEvent)
            editor.delete_model(Lamp)
    finally:
        if in_memory:
            connection.close()
            connection.connection, connection.settings_dict["NAME"] = kept, name


pytestmark = pytest.mark.databases


@pytest.mark.parametrize("source", sorted(LAMP.states))
@pytest.mark.parametrize("target", sorted(LAMP.states))
def test_a_row_moves_only_along_the_table(tables: None, source: str, target: str) -> None:
    lamp = Lamp.objects.create(state=source)

    moved = LAMP.move(lamp, target, now=NOW)

    assert moved is (target in LAMP.moves[source])
    assert Lamp.objects.get(pk=lamp.pk).state == (target if moved else source)
    assert LampEvent.objects.count() == int(moved)


def test_a_move_writes_its_fields_and_its_history_and_refreshes_the_row(tables: None) -> None:
    lamp = Lamp.objects.create()

    LAMP.move(lamp, "warming", now=NOW, why="dusk", by="alice", label="hall", fence=0)

    assert (lamp.state, lamp.state_changed_at, lamp.label) == ("warming", NOW, "hall")
    event = lamp.events.get()
    assert (event.from_state, event.to_state, event.at) == ("off", "warming", NOW)
    assert (event.why, event.by) == ("dusk", "alice")


def test_a_move_may_set_a_column_from_itself(tables: None) -> None:
    lamp = Lamp.objects.create(fence=4)

    LAMP.move(lamp, "warming", now=NOW, **{"label": models.Value("x")})
    Lamp.objects.filter(pk=lamp.pk).update(fence=models.F("fence") + 1)

    assert LAMP.move(lamp, "on", now=NOW, fence=4) is False
    assert LAMP.move(lamp, "on", now=NOW, fence=5) is True
    assert lamp.label == "x"


def test_the_state_in_the_table_counts_not_the_one_in_memory(tables: None) -> None:
    lamp = Lamp.objects.create()
    Lamp.objects.filter(pk=lamp.pk).update(state="broken")

    assert LAMP.move(lamp, "warming", now=NOW) is False
    assert Lamp.objects.get(pk=lamp.pk).state == "broken"


def test_a_deleted_row_cannot_be_moved(tables: None) -> None:
    lamp = Lamp.objects.create()
    Lamp.objects.all().delete()

    assert LAMP.move(lamp, "warming", now=NOW) is False


def test_a_state_that_the_table_does_not_know_is_an_error(tables: None) -> None:
    lamp = Lamp.objects.create()

    with pytest.raises(ValueError, match="Lamp has no state 'molten'"):
        LAMP.move(lamp, "molten", now=NOW)


def test_state_and_history_are_one_transaction(tables: None) -> None:
    lamp = Lamp.objects.create()

    with transaction.atomic():
        LAMP.move(lamp, "warming", now=NOW)
        transaction.set_rollback(True)

    assert Lamp.objects.get(pk=lamp.pk).state == "off"
    assert not LampEvent.objects.exists()


def test_a_row_that_moves_between_look_and_update_is_looked_at_again(
    tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp = Lamp.objects.create(state="on")
    Lamp.objects.update(state="off")  # what the caller believes is wrong to begin with
    look = Lifecycle._source

    def look_and_lose_the_race(self: Lifecycle, row: Lamp, target: str, fence: int | None) -> str | None:
        seen = look(self, row, target, fence)
        Lamp.objects.filter(pk=row.pk, state="off").update(state="warming")
        return seen

    monkeypatch.setattr(Lifecycle, "_source", look_and_lose_the_race)

    assert LAMP.move(lamp, "broken", now=NOW) is True
    assert lamp.events.get().from_state == "warming"


@pytest.mark.parametrize("round_", range(5))
def test_of_many_workers_exactly_one_moves_the_row(tables: None, round_: int) -> None:
    lamp = Lamp.objects.create()
    start = threading.Barrier(8)
    results: list[object] = []

    def work(number: int) -> None:
        try:
            mine = Lamp.objects.get(pk=lamp.pk)
            start.wait(timeout=30)
            results.append(LAMP.move(mine, "warming", now=NOW, by=f"worker {number}"))
        except Exception as exc:
            results.append(exc)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert sorted(map(str, results)) == ["False"] * 7 + ["True"]
    assert LampEvent.objects.count() == 1


def test_contradicting_moves_at_once_leave_a_history_without_gaps(tables: None) -> None:
    lamp = Lamp.objects.create()
    start = threading.Barrier(6)
    errors: list[Exception] = []

    def work(target: str) -> None:
        try:
            mine = Lamp.objects.get(pk=lamp.pk)
            start.wait(timeout=30)
            for _ in range(15):
                LAMP.move(mine, target, now=NOW)
        except Exception as exc:
            errors.append(exc)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(target,)) for target in ["off", "warming", "on"] * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    events = list(LampEvent.objects.order_by("pk").values_list("from_state", "to_state"))
    assert errors == []
    assert events
    assert [source for source, _ in events] == ["off", *(target for _, target in events[:-1])]
    assert Lamp.objects.get(pk=lamp.pk).state == events[-1][1]


def test_sources_and_terminal_states_come_from_the_table() -> None:
    assert LAMP.sources("broken") == ["off", "warming"]
    assert LAMP.sources("off") == ["warming", "on"]
    assert LAMP.terminal == {"broken"}
    LAMP.check(["off", "warming", "on", "broken"])


def test_a_target_without_a_row_of_its_own_is_found() -> None:
    with pytest.raises(ValueError, match=r"\['molten'\]"):
        Lifecycle({"off": frozenset({"molten"})}).check()


def test_a_state_that_the_table_forgot_is_found() -> None:
    with pytest.raises(ValueError, match=r"\['stolen'\]"):
        LAMP.check([*LAMP.moves, "stolen"])


def test_a_move_from_one_state_alone_forbids_the_others(tables: None) -> None:
    lamp = Lamp.objects.create(state="warming")

    assert LAMP.move(lamp, "broken", now=NOW, only_from="on") is False
    assert LAMP.move(lamp, "broken", now=NOW, fence=0, new_fence=1, only_from="warming") is True
    assert (lamp.fence, Lamp.objects.get(pk=lamp.pk).fence) == (1, 1)
    assert LAMP.move(lamp, "off", now=NOW, fence=0) is False
