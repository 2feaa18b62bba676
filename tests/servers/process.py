"""Child programs in a process group of their own, started and ended reliably.

Each child becomes the leader of a new session, so that ending it ends whatever it started, and
where ``setpriv`` exists the kernel ends it when the test run dies without saying goodbye.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL_S = 0.02


def wait_until(
    is_true: Callable[[], object], *, deadline_s: float, what: str, poll_s: float = POLL_S
) -> object:
    """Poll ``is_true`` until it answers something true and return that; TimeoutError names ``what``."""
    ends = time.monotonic() + deadline_s
    while True:
        if answer := is_true():
            return answer
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {deadline_s:g} s for {what}")
        time.sleep(poll_s)


def session_members(session_id: int) -> list[int]:
    """The pids of the living processes of one session (zombies do not count)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[3]) == session_id and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return sorted(members)


class Child:
    """One running program. ``log`` is the file that holds its standard output and error."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def family(self) -> list[int]:
        """The living pids of the session that the child leads, itself included."""
        return session_members(self.pid)

    def wait(self, *, deadline_s: float) -> int:
        """The exit code; negative for a signal. TimeoutError when it runs on."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as exc:
            raise TimeoutError(f"pid {self.pid} still runs after {deadline_s:g} s:\n{self.output()}") from exc

    def wait_for_output(self, text: str, *, deadline_s: float) -> str:
        """Wait until the child has printed ``text``; its whole output. RuntimeError if it ends before."""

        def said() -> str | None:
            was_running = self.is_running  # asked first: the last words come before the end
            printed = self.output()
            if text in printed:
                return printed
            if not was_running:
                raise RuntimeError(f"ended with {self.process.returncode} before saying {text!r}:\n{printed}")
            return None

        return str(wait_until(said, deadline_s=deadline_s, what=f"{text!r} in {self.log}"))

    def send(self, signum: int) -> None:
        """Signal the child alone; nothing happens when it has ended."""
        if self.is_running:
            self.process.send_signal(signum)

    def kill_9(self) -> None:
        """Kill the whole session at once, as a power cut would, and reap the child."""
        self._kill_session()

    def stop(self, *, signum: int = signal.SIGTERM, grace_s: float = 10.0) -> int:
        """End the child politely, kill what is left of its session after ``grace_s``; its exit code."""
        self.send(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it had its chance
            self.process.wait(grace_s)
        self._kill_session()
        return self.process.returncode

    def _kill_session(self) -> None:
        """Kill whoever is left, also what was forked meanwhile, and reap the child."""

        def is_extinct() -> bool:
            left = self.family()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(is_extinct, deadline_s=10, what=f"the end of session {self.pid}")
        self.process.wait(10)


def start(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    dies_with_us: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start ``argv`` as the leader of a new session, with no stdin and its output in ``log``.

    ``env`` replaces the whole environment. ``user`` needs root. ``dies_with_us`` is the signal that
    the kernel sends when the thread that started the child ends.
    """
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", dies_with_us.name.removeprefix("SIG"), "--"] if setpriv else []
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*guard, *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            user=user,
            group=None if user is None else _group_of(user),
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
    return Child(process, log)


def _group_of(user: str) -> int:
    import pwd  # POSIX only, and only root comes here

    return pwd.getpwnam(user).pw_gid
