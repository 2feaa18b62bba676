"""Kill -9 of a modem's process, at every point of the outbox and of the dialogue. The modem's ledger judges."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sms import pdu
from tests.sms.fake_modem import PtyModem, Script
from tests.sms.kill_lab import KILLED, ROOT, SAYS_NOT_SENT, SAYS_SENT

# of messages to people: claim and barrier are one transaction, so nothing is between them
OUTBOX = (
    "claim_before_commit", "barrier_before_commit", "after_barrier", "after_post", "result_before_commit",
    "after_result",
)  # fmt: skip
DIALOGUE = ("command", "prompt", "half_body", "body", "ctrl_z", "answer", "end")
SAFE = {"claim_before_commit", "barrier_before_commit"}  # nothing may have left: it is sent later
INBOUND = "07919761989901F0040B919761214365F70000527070214365210423D86D04"  # "#07#"


class ModemLab:
    """One database, one forking program, and a modem on a pty in the test's own process."""

    def __init__(self, folder: Path, port: str) -> None:
        self.folder = folder
        (folder / "marks").mkdir()
        self.env = env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"sqlite:///{folder / 'modem.sqlite3'}",
            "SECRET_KEY": "modem-kill-" + "0" * 50,
            "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=",
            "AUDIT_KEYS": "audit-" + "0" * 50,
            "OUTBOX_LEASE_S": "1.5",
            "OUTBOX_SEND_DEADLINE_S": "0.5",
            "MODEM_SEND_DEADLINE_S": "4.0",
            "OUTBOX_HAND_OVER_S": "120",
            "MODEM_PORTS": "/dev/pts/*",
            "LOG_LEVEL": "CRITICAL",
        }
        self._log = (folder / "errors.log").open("w+")
        self._program = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "sms" / "modem_child.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=env, cwd=ROOT, text=True,
        )  # fmt: skip

    def ask(self, job: str, **arguments) -> int:
        self._program.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, self.errors()
        return json.loads(answer)["status"]

    def run(self, job: str, **arguments) -> None:
        assert self.ask(job, **arguments) == 0, f"{job}: {self.errors()}"

    def errors(self) -> str:
        self._log.flush()
        return (self.folder / "errors.log").read_text()[-3000:]

    def report(self) -> dict:
        self.run("report_modem", path=str(self.folder / "report.json"))
        return json.loads((self.folder / "report.json").read_text(encoding="utf-8"))

    def close(self) -> None:
        self._program.stdin.close()
        self._program.wait(10)
        self._program.stdout.close()
        self._log.close()


@pytest.fixture
def modem() -> Iterator[PtyModem]:
    with PtyModem(Script()) as modem:
        yield modem


@pytest.fixture
def lab(tmp_path, modem, migrated_sqlite) -> Iterator[ModemLab]:
    shutil.copy(migrated_sqlite, tmp_path / "modem.sqlite3")
    lab = ModemLab(tmp_path, modem.path)
    yield lab
    lab.close()


def numbers_of(points: tuple[str, ...]) -> dict[str, str]:
    return {f"+7916000{place:04d}": point for place, point in enumerate(points)}


def killer(pid: Path, wanted: str):
    """Kills the process when the dialogue reaches a point."""

    def at_point(point: str) -> None:
        if point == wanted:
            os.kill(int(pid.read_text()), signal.SIGKILL)

    return at_point


def judge(taken: list[str], told: dict, points: dict[str, str]) -> list[str]:
    """What the database says against what the network got."""
    sent = Counter(pdu.decode(raw).to for raw in taken)
    wrong = []
    for number, (state, reason) in told["messages"].items():
        seen = f"{points[number]}: {sent[number]} sent, {state} ({reason})"
        if sent[number] > 1:
            wrong.append(f"twice: {seen}")
        if (state in SAYS_SENT and not sent[number]) or (state in SAYS_NOT_SENT and sent[number]):
            wrong.append(f"lie: {seen}")
        if points[number] in SAFE and state not in SAYS_SENT:
            wrong.append(f"lost: {seen}")
    return wrong


def test_no_kill_of_the_modem_process_duplicates_loses_or_lies(lab, modem, figure):
    points, kills = numbers_of((*OUTBOX, *DIALOGUE)), 0
    lab.run("setup_modem", port=modem.path, cells=list(points))
    lab.run("hand_over")
    pid = lab.folder / "pid"
    in_outbox = {to: point for to, point in points.items() if point in OUTBOX}

    for number, wanted in points.items():
        lab.run("only", number=number)
        if wanted in DIALOGUE:
            modem.script.on_point = killer(pid, wanted)
        status = lab.ask("keep", points=in_outbox, marks=str(lab.folder / "marks"), pid=str(pid))
        modem.script.on_point = None
        modem.let_go()
        assert status == KILLED, f"{wanted}: {status} {lab.errors()}"
        kills += 1
    lab.run("only", number="")
    lab.run("finish_modem")

    assert judge(modem.script.taken, lab.report(), points) == []
    assert kills == len(points)
    figure("modem kill -9", f"{kills} kills, 0 duplicates, 0 lost, 0 lies")


def test_sms_that_was_kept_but_not_deleted_is_taken_in_once(lab, modem):
    modem.script.stored[4] = INBOUND
    lab.run("setup_modem", port=modem.path, cells=["+79160000000"])
    lab.run("hand_over")
    arguments = {"marks": str(lab.folder / "marks"), "pid": str(lab.folder / "pid")}

    status = lab.ask("keep", points={"inbound": "inbound_stored"}, **arguments)
    deleted_before = list(modem.script.deleted)
    modem.let_go()
    lab.run("finish_modem")

    assert (status, deleted_before) == (KILLED, [])
    assert lab.report()["inbound"] == ["#07#"]
    assert modem.script.stored == {}


def test_command_serves_the_modem_and_ends_at_sigterm(lab, modem):
    modem.script.stored[4] = INBOUND
    lab.run("setup_modem", port=modem.path, cells=["+79160000000"])
    lab.run("hand_over")
    heard = threading.Event()
    modem.script.on_point = lambda point: heard.set() if point == "end" else None

    with (lab.folder / "command.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "modem"], env=lab.env, cwd=ROOT, stdout=log, stderr=log
        )
        sent = heard.wait(60)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    assert (sent, code) == (True, 0), (lab.folder / "command.log").read_text()
    told = lab.report()
    assert (told["messages"]["+79160000000"], told["inbound"]) == (["sent", ""], ["#07#"])
    assert (lab.folder / "command.log").read_text().endswith("modem: stopped\n")
