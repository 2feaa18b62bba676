"""What runs on this machine, read from /proc: whose child is whose, and who carries our mark.

A process that we started can leave its group and lose its parent, but it keeps the environment
that it was born with: the mark in it finds every one of them. Without /proc (not Linux) the
answers are empty and only process groups are left to work with.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "REMOSA_RUN"  # environment variable: "<run>:<program>"; the run alone means all its programs
PROC = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
POLL_S = 0.05
KILL_WAIT_S = 5.0  # how long a killed process may take to disappear


@dataclass(frozen=True)
class Process:
    """One living process; zombies are not counted as living."""

    pid: int
    parent: int
    group: int


def living() -> dict[int, Process]:
    """Every living process by pid."""
    found = (_read(entry) for entry in PROC.iterdir() if entry.name.isdigit()) if PROC.is_dir() else ()
    return {process.pid: process for process in found if process is not None}


def family(leaders: Collection[int], *, mark: str) -> set[int]:
    """Living pids that belong to ``leaders``: their groups, their descendants, and all who carry ``mark``."""
    if not PROC.is_dir():
        return {leader for leader in leaders if _group_exists(leader)}
    processes = living()
    ours = {pid for pid, process in processes.items() if process.group in leaders}
    ours |= set(leaders) & set(processes) | _marked(processes, mark)
    while children := {pid for pid, process in processes.items() if process.parent in ours} - ours:
        ours |= children
    return ours - {os.getpid()}


def stop_family(
    leaders: Collection[int],
    *,
    mark: str,
    grace_s: float,
    tick: Callable[[], None] = lambda: None,
    in_a_hurry: Callable[[], bool] = lambda: False,
) -> set[int]:
    """End the whole family and return who is left (nobody, unless the kernel holds them).

    1. SIGTERM to the leaders, who end their own workers in good order.
    2. SIGTERM to everybody left when 60 % of ``grace_s`` has passed.
    3. SIGKILL to everybody left after ``grace_s``, or at once when ``in_a_hurry``.
    ``tick`` is called while waiting, for a parent who must collect its dead.
    """
    started = time.monotonic()
    _send(signal.SIGTERM, leaders)
    asked_all = False
    while left := family(leaders, mark=mark):
        passed_s = time.monotonic() - started
        if passed_s > grace_s + KILL_WAIT_S:
            return left
        if passed_s >= grace_s or in_a_hurry():
            _send_to_groups(signal.SIGKILL, leaders)
            _send(signal.SIGKILL, left)
        elif passed_s >= grace_s * 0.6 and not asked_all:
            asked_all = True
            _send_to_groups(signal.SIGTERM, leaders)
            _send(signal.SIGTERM, left)
        tick()
        time.sleep(POLL_S)  # waits for the kernel, orders nothing
    return set()


def kill_family(leaders: Collection[int], *, mark: str) -> None:
    """SIGKILL what is left of a family whose leader is dead."""
    _send_to_groups(signal.SIGKILL, leaders)
    _send(signal.SIGKILL, family(leaders, mark=mark))


def _send(signal_number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def _send_to_groups(signal_number: int, groups: Iterable[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, all are zombies
            os.killpg(group, signal_number)


def adopt_orphans() -> None:
    """Make grandchildren whose parent dies our own children, so that none can slip away (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_strangers(children: Collection[int]) -> None:
    """Collect dead adopted processes; those in ``children`` are left to whoever started them."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid in children:
            return
        with suppress(ChildProcessError):
            os.waitpid(dead.si_pid, os.WNOHANG)


def _read(entry: Path) -> Process | None:
    try:
        # "pid (name with anything) state ppid pgrp …": count from the last bracket
        state, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if state in "ZX":
        return None
    return Process(int(entry.name), int(parent), int(group))


def _marked(processes: Iterable[int], mark: str) -> set[int]:
    exact, prefix = f"{MARK}={mark}".encode(), f"{MARK}={mark}:".encode()
    found = set()
    for pid in processes:
        with suppress(OSError):
            values = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if any(value == exact or value.startswith(prefix) for value in values):
                found.add(pid)
    return found


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
