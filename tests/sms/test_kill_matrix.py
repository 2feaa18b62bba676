"""Kill -9 at every point of the outbox, against gateways that misbehave in every way.

9 points × 9 behaviours for commands, and the points of a message to people, on real processes, real sockets and
real databases. Whoever dies: no command is sent twice, none is lost, none says "not sent" when it was, and the
quota adds up. The same harness must find the faults of two outboxes that were built without the barrier.
"""

import itertools
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.sms.gateway_server import MODES, TAKES
from tests.sms.kill_lab import POINTS, Cell, Findings, Lab, judge

# a message to people is claimed and passes the barrier at once
NOTICES = [Cell(point, "ok", is_notice=True) for point in POINTS if point != "after_claim"]
MATRIX = [*(Cell(point, mode) for point, mode in itertools.product(POINTS, MODES)), *NOTICES]
# every point, against a gateway that accepts, one that does not yet, and one of which nobody knows
QUICK = [
    *(Cell(point, mode) for point, mode in itertools.product(POINTS, ("ok", "429", "reset_after"))),
    *NOTICES,
]
REPEATS = 5

pytestmark = pytest.mark.timeout(600)  # half a minute on an idle machine


@pytest.fixture
def on_sqlite(tmp_path, migrated_sqlite) -> Iterator[Lab]:
    shutil.copy(migrated_sqlite, tmp_path / "kill.sqlite3")
    with Lab(f"sqlite:///{tmp_path / 'kill.sqlite3'}", tmp_path / "lab") as lab:
        yield lab


@pytest.fixture
def on_postgres(tmp_path, migrated_postgres_url) -> Iterator[Lab]:
    with Lab(migrated_postgres_url, tmp_path / "lab") as lab:
        yield lab


def check(found: Findings, cells: list[Cell]) -> None:
    assert found.is_clean, "\n".join([*found.duplicates, *found.lost, *found.lies, *found.quota])
    assert found.runs == found.kills == len(cells)  # every square of the matrix saw its kill


def test_no_kill_duplicates_loses_or_lies_on_sqlite(on_sqlite, figure):
    found = on_sqlite.matrix(MATRIX)

    check(found, MATRIX)
    figure("outbox", str(found))


def test_no_kill_duplicates_loses_or_lies_on_postgresql(on_postgres, figure):
    found = on_postgres.matrix(QUICK)

    check(found, QUICK)
    figure("outbox", f"{found} (postgresql)")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_whole_matrix_stays_clean_when_repeated(database, tmp_path, request, figure):
    lab = request.getfixturevalue("on_sqlite" if database == "sqlite" else "on_postgres")

    found = []
    for number in range(REPEATS):
        cells = [replace(cell, repeat=number) for cell in MATRIX]
        found.append(lab.matrix(cells))
        check(found[-1], cells)

    runs, kills = sum(one.runs for one in found), sum(one.kills for one in found)
    figure("outbox soak", f"{database}: {runs} runs, {kills} kills, 0 duplicates, 0 lost, 0 lies")


@pytest.mark.parametrize("pump", ["resending", "barrierless"])
def test_outbox_without_the_barrier_is_caught(on_sqlite, pump):
    """The control: a harness that finds nothing here would find nothing anywhere."""
    cells = [Cell("after_post", mode, is_notice=is_notice) for mode in MODES for is_notice in (False, True)]

    found = on_sqlite.matrix(cells, pump=pump)

    caught = {line.partition("after_post")[::2] for line in found.duplicates}
    assert {(kind, rest.split("/")[1]) for kind, rest in caught} == {
        (kind, mode) for kind in ("", "notice/") for mode in set(MODES) & TAKES
    }


@pytest.mark.parametrize("point", ["after_claim", "barrier_before_commit", "after_barrier"])
def test_worker_that_was_stopped_longer_than_its_lease_sends_nothing_twice(on_sqlite, point):
    cell = Cell(point, "ok")
    on_sqlite.run("setup", cells={cell.name: on_sqlite.servers["ok"].url})
    on_sqlite.run("produce", cells=[cell.name], die_at=None)

    assert on_sqlite.ask("stop", point=point) == "stopped"
    if point == "barrier_before_commit":  # it holds the write lock of SQLite: nobody can take its place
        time.sleep(1.2)  # its lease runs out; nothing is ordered by this
    else:
        on_sqlite.run("finish", workers=2, pump="honest")
    assert on_sqlite.ask("continue") == 0
    on_sqlite.run("finish", workers=2, pump="honest")

    found = on_sqlite.judge([cell], kills=0)
    assert found.is_clean, found
    assert sum(on_sqlite.taken().values()) == (0 if point == "after_barrier" else 1)


def test_judge_sees_each_kind_of_fault():
    message = {"id": "m", "cell": "c", "state": "sent", "segments": 1, "reason": ""}
    command = {"cell": "c", "state": "sent", "reason": ""}

    def judged(sends, *, state="sent", used=1, reserved=0, commands=1):
        told = {
            "commands": [{**command, "state": state}] * commands,
            "messages": [{**message, "state": state}] * commands,
            "usage": {"c": [reserved, used]},
        }
        found = judge(["c"], told, {"m": sends}, kills=0)
        return [kind for kind in ("duplicates", "lost", "lies", "quota") if getattr(found, kind)]

    assert judged(1) == []
    assert judged(2) == ["duplicates"]
    assert judged(0) == ["lies"]
    assert judged(1, state="failed", used=0) == ["lies"]
    assert judged(0, state="failed", used=0) == []
    assert judged(0, state="unknown") == judged(1, state="unknown") == []
    assert judged(0, state="queued", used=0, reserved=1) == ["lost", "quota"]
    assert judged(0, state="sending", used=0, reserved=1) == ["lost", "quota"]
    assert judged(1, used=2) == judged(1, reserved=1) == ["quota"]
    assert judged(1, commands=0) == ["lost"]
    assert judged(1, commands=2) == ["duplicates"]
