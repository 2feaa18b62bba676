"""Lines that are kept between rounds say what a fresh rendering would say, whatever happened in between."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters import fragments
from exporters.fragments import FragmentCache

NAMES = ("up", "info")


@dataclass
class Row:
    external_id: str
    device_name: str
    status: str
    is_changed: bool = False


def lines_of(row: Row) -> tuple[str, str]:
    return f"up {row.external_id} {row.status}\n", f"info {row.external_id} {row.device_name}\n"


class Reader:
    """A cache that counts what it renders."""

    def __init__(self, most: int = 1000) -> None:
        self.cache, self.rendered = FragmentCache(most), 0

    def read(self, rows: list[Row], version: str, shape: object = "a", exporter: int = 1) -> dict[str, str]:
        def render(some: list[Row]) -> list[tuple[str, str]]:
            self.rendered += len(some)
            return [lines_of(row) for row in some]

        found = self.cache.families(exporter, rows, version=version, shape=shape, names=NAMES, render=render)
        return {name: "".join(texts) for name, texts in found.items()}


def fresh(rows: list[Row]) -> dict[str, str]:
    return {name: "".join(lines_of(row)[place] for row in rows) for place, name in enumerate(NAMES)}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "BLOCK", 2)


ROUND = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["on", "off"]))
).flatmap(lambda devices: st.permutations(list(devices.items())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ROUND, st.booleans()), max_size=8))
def test_any_sequence_of_rounds_reads_as_rendered_anew(
    rounds: list[tuple[list[tuple[str, tuple[str, str]]], bool]],
) -> None:
    reader, stored, version = Reader(), {}, ""
    for number, (devices, is_stored) in enumerate(rounds):
        rows = [Row(key, name, status, stored.get(key) != status) for key, (name, status) in devices]

        assert reader.read(rows, version) == fresh(rows)

        if is_stored:  # else the round was rolled back, and the table is as it was
            stored, version = {row.external_id: row.status for row in rows}, f"v{number}"
            reader.cache.note(1, version)


def test_only_what_changed_is_rendered_again() -> None:
    reader, rows = Reader(), [Row(f"d{n}", "n", "on") for n in range(100)]
    reader.read(rows, "")
    reader.cache.note(1, "v1")
    rows[7] = Row("d7", "n", "off", is_changed=True)
    rows[9] = Row("d9", "renamed", "on")

    assert reader.read([*rows[1:], Row("new", "n", "on")], "v1") == fresh([*rows[1:], Row("new", "n", "on")])
    assert reader.rendered == 100 + 3


def test_a_snapshot_of_somebody_else_or_another_shape_is_rendered_whole() -> None:
    reader, rows = Reader(), [Row("d", "n", "on")]
    reader.read(rows, "")
    reader.cache.note(1, "v1")

    reader.read(rows, "theirs")
    reader.cache.note(1, "v2")
    reader.read(rows, "v2", shape="b")

    assert reader.rendered == 3


def test_the_longest_unused_exporter_is_forgotten_first() -> None:
    reader, rows = Reader(most=3), [Row("d", "n", "on"), Row("e", "n", "on")]
    for exporter in (1, 2):
        reader.read(rows, "", exporter=exporter)
        reader.cache.note(exporter, "v")

    reader.read(rows, "v", exporter=2)
    assert reader.rendered == 4
    reader.read(rows, "v", exporter=1)
    assert reader.rendered == 6


def test_a_separator_in_a_name_does_no_harm() -> None:
    reader, rows = Reader(), [Row("a", "x", "on"), Row("b", "", "on"), Row("c", "with\0nothing", "on")]
    reader.read(rows, "")
    reader.cache.note(1, "v1")

    assert reader.read(rows[::-1], "v1") == fresh(rows[::-1])


def test_ids_that_read_alike_when_joined_are_told_apart() -> None:
    reader, one, two = Reader(), [Row("a\0b", "n\0n", "on")], [Row("a", "n", "on"), Row("b", "n", "on")]
    reader.read(one, "")
    reader.cache.note(1, "v1")

    assert reader.read(two, "v1") == fresh(two)
    assert reader.rendered == 1 + 2
