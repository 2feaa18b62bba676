"""The outbox process from the outside: real ``manage.py outbox``, real database, real gateway server."""

import shutil
import signal
import sys
import time

import psycopg
import pytest

from tests.servers.process import wait_until
from tests.sms.gateway_server import GatewayServer
from tests.sms.kill_lab import ROOT, Cell, Lab

CELLS = [Cell("none", "ok", number) for number in range(5)]
LONG_POLL_S = 60.0

pytestmark = pytest.mark.timeout(300)  # seconds each on an idle machine


def start_outbox(start_child, lab: Lab, *, poll_s: float, threads: int = 2):
    child = start_child(
        [sys.executable, ROOT / "manage.py", "outbox", "--poll", str(poll_s), "--threads", str(threads)],
        env={**lab.env, "PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
    )
    child.wait_for_output("outbox: started", deadline_s=30)
    return child


def ask_for(lab: Lab, cells: list[Cell]) -> None:
    lab.run("setup", cells={cell.name: lab.servers[cell.mode].url for cell in cells})
    lab.run("produce", cells=[cell.name for cell in cells], die_at=None)


@pytest.fixture
def lab(tmp_path, migrated_sqlite):
    shutil.copy(migrated_sqlite, tmp_path / "outbox.sqlite3")
    with Lab(f"sqlite:///{tmp_path / 'outbox.sqlite3'}", tmp_path / "lab") as lab:
        yield lab


def test_process_sends_what_comes_and_ends_on_sigterm(lab, start_child):
    outbox = start_outbox(start_child, lab, poll_s=0.2)

    ask_for(lab, CELLS)
    wait_until(lambda: len(lab.servers["ok"].taken) == len(CELLS), deadline_s=60, what="five SMS")
    outbox.send(signal.SIGTERM)

    assert outbox.wait(deadline_s=60) == 0
    assert "outbox: stopped" in outbox.output()
    assert "Traceback" not in outbox.output()
    found = lab.judge(CELLS, kills=0)
    assert found.is_clean, found


def test_killed_process_is_followed_by_another_without_a_second_sms(lab, start_child):
    ask_for(lab, CELLS)
    first = start_outbox(start_child, lab, poll_s=0.1)
    wait_until(lambda: lab.servers["ok"].taken, deadline_s=60, what="the first SMS")
    first.kill_9()

    start_outbox(start_child, lab, poll_s=0.1)
    wait_until(lambda: not lab.unfinished(), deadline_s=30, what="the end of the work")

    found = lab.judge(CELLS, kills=1)
    assert found.is_clean, found


def test_gateway_that_hangs_does_not_hold_up_the_others(lab, start_child):
    hanging, others = Cell("none", "hang_after"), CELLS[:3]
    with GatewayServer("hang_after") as slow:
        lab.env["OUTBOX_LEASE_S"], lab.env["OUTBOX_SEND_DEADLINE_S"] = "60", "25"
        lab.run("setup", cells={hanging.name: slow.url})
        lab.run("produce", cells=[hanging.name], die_at=None)
        start_outbox(start_child, lab, poll_s=0.1, threads=2)
        wait_until(lambda: slow.taken, deadline_s=60, what="the hanging SMS")
        began = time.monotonic()
        ask_for(lab, others)
        wait_until(lambda: len(lab.servers["ok"].taken) == len(others), deadline_s=60, what="three SMS")

        assert time.monotonic() - began < 20  # before the hanging one gave up


def test_bell_of_postgresql_wakes_the_process_long_before_its_poll(
    tmp_path, migrated_postgres_url, start_child
):
    with Lab(migrated_postgres_url, tmp_path / "lab") as lab:
        outbox = start_outbox(start_child, lab, poll_s=LONG_POLL_S)
        ask_for(lab, CELLS[:1])
        wait_until(lambda: lab.servers["ok"].taken, deadline_s=15, what="the SMS")
        wait_until(lambda: not lab.unfinished(), deadline_s=60, what="the end of the work")

        found = lab.judge(CELLS[:1], kills=0)
        assert found.is_clean, found
        outbox.send(signal.SIGTERM)
        assert outbox.wait(deadline_s=5) == 0  # it does not sleep through the signal


def test_process_outlives_the_loss_of_its_connections(tmp_path, migrated_postgres_url, start_child):
    with Lab(migrated_postgres_url, tmp_path / "lab") as lab:
        outbox = start_outbox(start_child, lab, poll_s=0.2)
        ask_for(lab, CELLS[:2])
        wait_until(lambda: not lab.unfinished(), deadline_s=60, what="the first two SMS")

        with psycopg.connect(migrated_postgres_url, autocommit=True) as boss:
            boss.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ask_for(lab, CELLS[2:])
        wait_until(lambda: not lab.unfinished(), deadline_s=60, what="the other SMS")

        assert outbox.is_running
        found = lab.judge(CELLS, kills=0)
        assert found.is_clean, found
        outbox.send(signal.SIGTERM)
        assert outbox.wait(deadline_s=60) == 0
