"""Everything dies at random under load, PostgreSQL too; nothing is sent twice, lost, or lied about.

Ten minutes in `make soak`, a few seconds in every run. The control is an outbox that sends again what was on
the wire when its process died: the judge must find it.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.availability import ServerMissing, skip_or_fail
from tests.servers.postgres import PostgresServer, start_postgres
from tests.sms.chaos_lab import LEASE_S, POLL_S, ChaosLab

RAGE_S = float(os.environ.get("CHAOS_S", "600"))
SLACK_S = 8.0  # of a machine that is busy with other tests
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A cluster of its own: it is crashed."""
    try:
        server = start_postgres()
    except ServerMissing as missing:
        skip_or_fail(missing)
        raise
    yield server
    server.stop()


def shown(lab: ChaosLab) -> str:
    found = lab.judged
    return "\n".join(sorted(found.duplicates | found.lies | found.lost | found.twice_heard)[:20])


def settle(lab: ChaosLab) -> None:
    """No more load, no more kills: everything comes to its end."""
    lab.stop("producer")
    process.wait_until(
        lambda: (
            lab.count("state IN ('queued', 'claimed', 'sending')") == 0 and lab.count("true") and lab.look()
        ),
        deadline_s=120, what="the last message",
    )  # fmt: skip


def rage(lab: ChaosLab, seconds: float) -> str:
    """Let everything die for a while, come to rest, judge; what was seen."""
    lab.wait_until_busy()
    lab.rage(for_s=seconds)
    settle(lab)
    assert lab.look(at_rest=True)
    assert lab.judged.is_clean, shown(lab)
    assert lab.usage_faults() == []
    messages, sent = lab.count("true"), sum(lab.taken().values())
    assert sent > 0
    assert lab.acknowledged
    died = ", ".join(f"{times} {name}" for name, times in sorted(lab.kills.items()))
    return (
        f"{seconds:.0f} s, {sum(lab.kills.values())} kills ({died}), {messages} messages, {sent} sent, "
        f"{len(lab.acknowledged)} heard, {lab.judged.looks} looks: 0 duplicates, 0 lost, 0 lies"
    )


def recover(lab: ChaosLab) -> float:
    """Kill an outbox that has something on the wire; seconds until the other one has said what became of it."""
    lab.gateways["ok"].mode = "hang"
    dying, other = lab.part("outbox 1"), lab.part("outbox 2")
    for part in (dying, other):
        part.child.wait_for_output("outbox: started", deadline_s=60)
    its = f"%:{dying.child.pid}"
    on_the_wire = "state = 'sending' AND lease_owner LIKE %s"
    for _try in range(20):
        other.child.process.send_signal(signal.SIGSTOP)  # or it might take them all
        asking = lab.ask_for_notices(6)
        with contextlib.suppress(TimeoutError):  # the other one was stopped with a row that this one needs
            process.wait_until(lambda: lab.count(on_the_wire, its), deadline_s=20, what="an SMS on the wire")
        dying.child.process.send_signal(signal.SIGSTOP)
        if lab.count(on_the_wire, its):
            break
        for part in (dying, other):
            part.child.process.send_signal(signal.SIGCONT)
        assert asking.wait(deadline_s=60) == 0, asking.output()
    dying.child.kill_9()
    killed_at, dying.child = time.monotonic(), None
    assert lab.count(on_the_wire, its)  # before the other one wakes and may say what became of it
    other.child.process.send_signal(signal.SIGCONT)
    process.wait_until(
        lambda: (
            lab.count("state = 'unknown' AND reason = 'worker_lost' AND lease_owner LIKE %s", its)
            and not lab.count("state IN ('claimed', 'sending') AND lease_owner LIKE %s", its)
        ),
        deadline_s=60, what="the verdict on what was on the wire",
    )  # fmt: skip
    took_s = time.monotonic() - killed_at
    assert asking.wait(deadline_s=60) == 0, asking.output()
    return took_s


def run(server: PostgresServer, folder: Path, seconds: float, figure, *, name: str) -> None:
    with ChaosLab(server, folder, seed=7) as lab:
        figure(name, rage(lab, seconds))
        took_s = recover(lab)

    assert took_s <= LEASE_S + 2 * POLL_S + SLACK_S
    figure("recovery", f"{took_s:.1f} s after kill -9 of the sender (lease {LEASE_S:g} s, poll {POLL_S:g} s)")


def test_nothing_is_sent_twice_lost_or_lied_about_while_everything_dies(server, tmp_path, figure):
    run(server, tmp_path, 8, figure, name="chaos")


@pytest.mark.soak
def test_ten_minutes_of_random_kills(server, tmp_path, figure):
    run(server, tmp_path, RAGE_S, figure, name="chaos soak")


@pytest.mark.soak
def test_outbox_that_sends_again_what_was_on_the_wire_is_caught(server, tmp_path, figure):
    """The control: a judge that finds nothing here would find nothing anywhere."""
    with ChaosLab(server, tmp_path, seed=7, pump="resending") as lab:
        lab.wait_until_busy()
        ends = time.monotonic() + 120
        while not lab.judged.duplicates and time.monotonic() < ends:
            lab.rage(for_s=10, pause_s=(0.5, 1.5))

    assert lab.judged.duplicates
    figure("chaos control", f"{len(lab.judged.duplicates)} duplicates found without the barrier's law")
