"""Runs the processes of a one-machine installation as one program: all start, all stop.

Each child leads its own session, so that Ctrl-C in the terminal reaches only the supervisor, which
then ends everybody in good order, grandchildren included. A child that dies is started again after
a pause; one that keeps dying ends the whole run, loudly. If the supervisor itself is killed, the
leash (``remosa.leash``) ends the others. Knows nothing of Django.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from remosa.lib.backoff import backoff
from remosa.processes import MARK, adopt_orphans, kill_family, reap_strangers, stop_family

ROOT = Path(__file__).resolve().parent.parent
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_LIMIT = 10 * 1024 * 1024  # bytes; a larger log is started anew, the old one kept once
TAIL_LINES = 20


@dataclass(frozen=True)
class Program:
    """What to run: ``argv`` with ``env`` on top of the supervisor's own environment."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Patience:
    """How long the supervisor waits, in seconds, and how often it tries again."""

    grace_s: float = 10.0  # between SIGTERM and SIGKILL
    ready_s: float = 90.0  # until the console must answer
    restarts: int = 4  # in a row
    healthy_s: float = 60.0  # a child that lived longer has a clean record again
    backoff_s: float = 1.0
    poll_s: float = 0.25


@dataclass
class _Child:
    program: Program
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0  # monotonic, like start_at
    start_at: float = 0.0
    failures: int = 0
    log_start: int = 0  # where this life begins in the log, bytes


class Supervisor:
    """One run of ``programs``. Use it once, from the main thread, as the last thing that a program does."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        log_dir: Path,
        mark: str,
        patience: Patience | None = None,
        complaints: TextIO = sys.stderr,
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._log_dir, self._mark, self._complaints = log_dir, mark, complaints
        self._patience = patience or Patience()
        self._signals = 0
        self._leash: subprocess.Popen[bytes] | None = None

    def run(self, *, is_ready: Callable[[], bool], on_ready: Callable[[], None]) -> int:
        """Start all, call ``on_ready`` once when ``is_ready``, and stay until told to stop.

        Returns the exit code: 0 after SIGINT, SIGTERM or SIGHUP, 1 when a child keeps dying or
        nothing gets ready in time. No process is left either way.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._count)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only wakes the loop
        old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            adopt_orphans()
            self._tie_leash()
            return self._watch(wake_read, is_ready=is_ready, on_ready=on_ready)
        finally:
            self._stop()
            signal.set_wakeup_fd(old_wakeup)
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # one Ctrl-C too many must not spoil the exit code
            os.close(wake_read)
            os.close(wake_write)

    def _count(self, number: int, frame: object) -> None:
        self._signals += 1

    def _watch(self, wake: int, *, is_ready: Callable[[], bool], on_ready: Callable[[], None]) -> int:
        ready, deadline = False, time.monotonic() + self._patience.ready_s
        while not self._signals:
            for child in self._children:
                if not self._keep_alive(child):
                    return 1
            self._keep_leash()
            reap_strangers(self._pids())
            if not ready and not self._signals and is_ready():
                ready = True
                on_ready()
            elif not ready and time.monotonic() > deadline:
                self._complain(f"The console did not answer within {self._patience.ready_s:.0f} s.")
                self._show_log(self._children[0])
                return 1
            select.select([wake], [], [], self._patience.poll_s)
            with suppress(BlockingIOError):
                os.read(wake, 4096)
        return 0

    # --- children -------------------------------------------------------------------------------
    def _keep_alive(self, child: _Child) -> bool:
        """Start what is due, notice what died; False when a child has died too often."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child, now)
            return True
        code = child.process.poll()
        if code is None:
            return True
        kill_family([child.process.pid], mark=f"{self._mark}:{child.program.name}")
        self._tell_leash(f"-{child.process.pid}")
        child.process = None
        child.failures = 1 if now - child.started_at > self._patience.healthy_s else child.failures + 1
        self._complain(f"{child.program.name} ended unexpectedly ({_cause(code)}).")
        self._show_log(child)
        if child.failures > self._patience.restarts:
            self._complain(f"{child.program.name} does not stay up; everything is stopped.")
            return False
        pause = backoff(child.failures, base_s=self._patience.backoff_s, cap_s=30.0, jitter=0.99)
        child.start_at = now + pause.total_seconds()
        return True

    def _start(self, child: _Child, now: float) -> None:
        program = child.program
        with self._open_log(program.name) as log:
            child.log_start = log.tell()
            child.process = subprocess.Popen(  # noqa: S603  our own programs
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=os.environ
                | program.env
                | {MARK: f"{self._mark}:{program.name}", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        child.started_at = now
        self._tell_leash(f"+{child.process.pid}")

    def _pids(self) -> list[int]:
        pids = [child.process.pid for child in self._children if child.process is not None]
        return pids + ([self._leash.pid] if self._leash is not None else [])

    # --- the end --------------------------------------------------------------------------------
    def _stop(self) -> None:
        leaders = [child.process.pid for child in self._children if child.process is not None]
        asked = self._signals
        left = stop_family(
            leaders,
            mark=self._mark,
            grace_s=self._patience.grace_s,
            tick=self._collect,
            in_a_hurry=lambda: self._signals > max(asked, 1),
        )
        if left:
            self._complain(f"These processes could not be ended: {sorted(left)}.")
        self._collect()
        self._untie_leash()
        reap_strangers([])

    def _collect(self) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.poll()
        if self._leash is not None:
            self._leash.poll()
        reap_strangers(self._pids())

    def _tie_leash(self) -> None:
        self._leash = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "remosa.leash", self._mark, str(self._patience.grace_s)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

        for child in self._children:
            if child.process is not None:
                self._tell_leash(f"+{child.process.pid}")

    def _keep_leash(self) -> None:
        if self._leash is not None and self._leash.poll() is not None:
            self._tie_leash()

    def _tell_leash(self, word: str) -> None:
        if self._leash is not None and self._leash.stdin is not None:
            with suppress(BrokenPipeError):
                self._leash.stdin.write(f"{word}\n".encode())
                self._leash.stdin.flush()

    def _untie_leash(self) -> None:
        if self._leash is None:
            return
        self._tell_leash("done")
        with suppress(BrokenPipeError):
            self._leash.communicate()
        self._leash = None

    # --- logs -----------------------------------------------------------------------------------
    def _log_path(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def _open_log(self, name: str) -> BinaryIO:
        path = self._log_path(name)
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _show_log(self, child: _Child) -> None:
        path = self._log_path(child.program.name)
        if not path.exists():
            return
        with path.open("rb") as log:
            log.seek(child.log_start)
            lines = deque((line.decode("utf-8", "replace") for line in log), maxlen=TAIL_LINES)
        self._complain(f"Last lines of {path}:")
        for line in lines:
            self._complain(f"    {line.rstrip()}")

    def _complain(self, sentence: str) -> None:
        print(sentence, file=self._complaints, flush=True)


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
