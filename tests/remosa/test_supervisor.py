"""Start together, stop together: nothing is left behind, whoever ends the run and however."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remosa.processes import family, living

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"grace_s": 0.5, "restarts": 1, "backoff_s": 0.05, "poll_s": 0.05, "ready_s": 20}
PATIENT_S = 20.0


@pytest.fixture
def run(tmp_path):
    """Start a supervised run; whatever the test does, it is over afterwards."""
    started = []

    def start(*programs, **patience):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.remosa.supervised",
                str(tmp_path),
                json.dumps(QUICK | patience),
                *programs,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for pid in family([], mark=tmp_path.name):
        os.kill(pid, signal.SIGKILL)


def noted(tmp_path):
    """{kind: pid} of every process that has written itself down."""
    return {kind: int(pid) for kind, pid in map(str.split, (tmp_path / "pids").read_text().splitlines())}


def wait_until_gone(pids):
    """The pids that are still alive when patience ends."""
    deadline = time.monotonic() + PATIENT_S
    while (left := set(pids) & set(living())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_leaves_no_stubborn_process_behind(run, tmp_path, number):
    process = run("a=stubborn", "b=polite")
    assert process.stdout.readline() == "READY\n"
    pids = noted(tmp_path)

    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENT_S)

    assert (process.returncode, out, err) == (0, "", "")
    assert {"stubborn", "child", "grandchild", "polite"} <= set(pids)
    assert set(pids.values()) & set(living()) == set()
    assert family([], mark=tmp_path.name) == set()


def test_stop_asks_before_it_kills(run, tmp_path):
    process = run("a=polite", grace_s=20)
    process.stdout.readline()

    process.terminate()
    process.communicate(timeout=PATIENT_S)

    assert "goodbye" in noted(tmp_path)


def test_second_interrupt_does_not_wait_for_the_grace(run, tmp_path):
    process = run("a=stubborn", grace_s=3600)
    process.stdout.readline()
    pids = noted(tmp_path)

    deadline = time.monotonic() + PATIENT_S
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)

    assert process.returncode == 0
    assert set(pids.values()) & set(living()) == set()


def test_killed_supervisor_takes_everybody_along(run, tmp_path):
    process = run("a=stubborn", "b=polite")
    process.stdout.readline()
    pids = noted(tmp_path)

    process.kill()

    assert wait_until_gone(pids.values()) == set()


def test_child_that_keeps_dying_stops_the_run_and_shows_its_last_words(run, tmp_path):
    process = run("a=polite", "b=brief")

    out, err = process.communicate(timeout=PATIENT_S)

    assert (process.returncode, out) == (1, "")
    assert err.count("b ended unexpectedly (exit code 3).") == 2
    assert err.count("the disk is on fire") == 2  # once for each life
    assert "b does not stay up; everything is stopped." in err
    assert family([], mark=tmp_path.name) == set()


def test_child_that_died_is_started_again_without_its_leftovers(run, tmp_path):
    process = run("a=orphan")

    ready = process.stdout.readline()

    pids = noted(tmp_path)
    assert ready == "READY\n"
    assert wait_until_gone([pids["orphan"]]) == set()
    assert pids["second"] in living()


def test_run_that_gets_not_ready_gives_up(run, tmp_path):
    process = run("a=polite", "b=brief", ready_s=0.2, restarts=1000, backoff_s=20)

    out, err = process.communicate(timeout=PATIENT_S)

    assert (process.returncode, out) == (1, "")
    assert "did not answer within 0 s" in err
    assert family([], mark=tmp_path.name) == set()
