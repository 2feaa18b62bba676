"""The laboratory of the kill matrix: one database, its gateways with their ledgers, and the judge."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.sms.gateway_server import MODES, GatewayServer

POINTS = (
    "enqueue_before_commit",
    "enqueue_after_commit",
    "claim_before_commit",
    "after_claim",
    "barrier_before_commit",
    "after_barrier",
    "after_post",
    "result_before_commit",
    "after_result",
)
IN_PRODUCER = POINTS[:2]
KILLED = -signal.SIGKILL
SAYS_NOT_SENT = {"failed", "cancelled", "expired", "queued", "blocked", "superseded", "requested"}
SAYS_SENT = {"sent", "delivered"}
UNFINISHED = {"queued", "claimed", "sending", "requested"}
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cell:
    """One square of the matrix: where the process dies, and how the gateway behaves."""

    point: str
    mode: str
    repeat: int = 0
    is_notice: bool = False  # a message to people, not a command

    @property
    def name(self) -> str:
        return f"{'notice/' * self.is_notice}{self.point}/{self.mode}/{self.repeat}"


@dataclass(frozen=True)
class Findings:
    """What the judge found; each entry says which cell."""

    runs: int
    kills: int
    duplicates: tuple[str, ...]
    lost: tuple[str, ...]
    lies: tuple[str, ...]
    quota: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not (self.duplicates or self.lost or self.lies or self.quota)

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.kills} kills, {len(self.duplicates)} duplicates, "
            f"{len(self.lost)} lost, {len(self.lies)} lies"
        )


class Lab:
    """``with Lab(database_url, folder) as lab``: a forking program on that database, and one server per mode."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder, self.marks = folder, folder / "marks"
        self.env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "SECRET_KEY": "kill-matrix-" + "0" * 50,
            "FIELD_ENCRYPTION_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=",
            "AUDIT_KEYS": "audit-" + "0" * 50,
            "EGRESS_ALLOW": "127.0.0.0/8",
            "OUTBOX_LEASE_S": "1.0",
            "OUTBOX_SEND_DEADLINE_S": "0.4",
            "LOG_LEVEL": "CRITICAL",
        }

    def __enter__(self) -> Self:
        self.marks.mkdir(parents=True)
        self._stack = ExitStack()
        self.servers = {mode: self._stack.enter_context(GatewayServer(mode)) for mode in MODES}
        self._errors = self._stack.enter_context((self.folder / "errors.log").open("w+"))
        self._program = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, ROOT / "tests" / "sms" / "kill_child.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self.env,
                cwd=ROOT,
                text=True,
            )
        )
        return self

    def __exit__(self, *details: object) -> None:
        self._program.stdin.close()
        self._stack.__exit__(*details)

    def ask(self, job: str, **arguments: Any) -> int | str:
        """Have one job done; how its process ended."""
        self._program.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, f"the program ended: {self.errors()}"
        return json.loads(answer)["status"]

    def run(self, job: str, **arguments: Any) -> None:
        """Have one job done that must succeed."""
        status = self.ask(job, **arguments)
        assert status == 0, f"{job} ended with {status}: {self.errors()}"

    def errors(self) -> str:
        self._errors.flush()
        return (self.folder / "errors.log").read_text()[-4000:]

    def matrix(self, cells: Iterable[Cell], *, pump: str = "honest") -> Findings:
        """Kill a process in every cell, let the producers repeat themselves and two workers clean up; judge."""
        cells = list(cells)
        self.run("setup", cells={cell.name: self.servers[cell.mode].url for cell in cells})
        kills = self._produce(cells) + self._kill_workers(cells, pump)
        self.run("finish", workers=2, pump=pump)
        return self.judge(cells, kills)

    def _produce(self, cells: list[Cell]) -> int:
        """Ask for each command; producers that die are repeated, those that live are repeated all the same."""
        kills = 0
        for cell in cells:
            if cell.point in IN_PRODUCER:
                status = self.ask("produce", cells=[cell.name], die_at=cell.point)
                assert status == KILLED, f"{cell.name} was not killed: {status} {self.errors()}"
                kills += 1
        for _repeat in range(2):
            self.run("produce", cells=[cell.name for cell in cells], die_at=None)
        return kills

    def _kill_workers(self, cells: list[Cell], pump: str) -> int:
        """One worker after the other dies at the point of a cell, until one lives."""
        points = {cell.name: cell.point for cell in cells}
        kills = 0
        while (status := self.ask("work", points=points, marks=str(self.marks), pump=pump)) == KILLED:
            kills += 1
        assert status == 0, self.errors()
        return kills

    def report(self) -> dict[str, Any]:
        """What the database says."""
        path = self.folder / "report.json"
        self.run("report", path=str(path))
        return json.loads(path.read_text(encoding="utf-8"))

    def unfinished(self) -> bool:
        """Whether some message has not come to its end."""
        told = self.report()
        return any(row["state"] in UNFINISHED for row in told["messages"] + told["commands"])

    def taken(self) -> Counter[str]:
        """How often each message became an SMS, by our id."""
        return Counter(request.json["ref"] for server in self.servers.values() for request in server.taken)

    def judge(self, cells: list[Cell], kills: int) -> Findings:
        return judge([cell.name for cell in cells], self.report(), self.taken(), kills=kills)


def judge(cells: list[str], told: Mapping[str, Any], taken: Mapping[str, int], *, kills: int) -> Findings:
    """Hold what the database says against what the ledgers say."""
    commands = {row["cell"]: row for row in told["commands"]}
    messages = {row["cell"]: row for row in told["messages"]}
    duplicates, lost, lies, quota = [], [], [], []
    for cell in cells:
        command, message = commands.get(cell), messages.get(cell)
        is_notice = cell.startswith("notice/")
        if message is None or (command is None) != is_notice:
            lost.append(f"{cell}: no row")
            continue
        of_command = command["state"] if command else message["state"]
        states, sends = {of_command, message["state"]}, taken.get(message["id"], 0)
        seen = f"{cell}: {sends} sent, command {of_command}, message {message['state']} ({message['reason']})"
        if sends > 1:
            duplicates.append(seen)
        if states & UNFINISHED:
            lost.append(seen)
        if (sends and states & SAYS_NOT_SENT) or (not sends and states & SAYS_SENT):
            lies.append(seen)
        spent = message["segments"] if message["state"] in SAYS_SENT | {"unknown", "undelivered"} else 0
        if told["usage"].get(cell) != [0, spent]:
            quota.append(f"{seen}: usage {told['usage'].get(cell)}")
    if len(told["commands"]) != len(commands) or len(told["messages"]) != len(messages):
        duplicates.append("a cell has two rows")
    return Findings(
        len(cells),
        kills,
        duplicates=tuple(duplicates),
        lost=tuple(lost),
        lies=tuple(lies),
        quota=tuple(quota),
    )
