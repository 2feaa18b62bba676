"""The poller: asks every exporter's CMS on its own interval, many at once, from one process.

Nothing here waits for anything else: each round is a task of its own, through one shared door that
keeps connections open, and the database is only touched in two threads (one for leases, one for
results). Several pollers share the work by leases. When the database is away the poller waits and
tries again; what it can then no longer store belongs to whoever holds the lease by then.
"""

import asyncio
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connections

from exporters.errors import PollerError, Reason
from exporters.models import PollRound
from exporters.ports import Poller, Progress, RoundResult
from exporters.rounds import failed_round
from exporters.services import Work, claim_due, note_progress, release_leases, renew_leases, store_round
from remosa.lib.backoff import backoff
from remosa.lib.clock import utcnow
from remosa.lib.http import Door
from remosa.lib.memory import return_large_blocks
from remosa.lib.registry import backend

logger = logging.getLogger(__name__)

STORE_TRIES = 6
OVERRUN_S = 5.0  # a poller keeps its time itself; this ends one that does not


@dataclass(frozen=True)
class Pace:
    """How a poller works. ``lease_s``: after how long without a sign of life another one takes over."""

    lease_s: float = 30.0
    tick_s: float = 0.25  # between two looks for exporters that are due
    progress_s: float = 2.0  # between two notes of how far a round is; shorter rounds make none
    grace_s: float = 3.0  # for rounds that run when the process is told to stop
    rounds_at_once: int = 200


@dataclass
class Round:
    """A round that was done, for whoever asked for it by hand. ``stored`` is None when it came too late."""

    work: Work
    stored: PollRound | None = None


class DatabaseThread:
    """One thread with a connection of its own: ``await thread(service, key=value)``."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def __call__(self, work: Callable[..., Any], **arguments: Any) -> Any:
        call = partial(_with_fresh_connection, work, arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """End the thread, its connection first."""
        self._pool.submit(connections.close_all)
        self._pool.shutdown()


def _with_fresh_connection(work: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    close_old_connections()
    try:
        return work(**arguments)
    finally:
        close_old_connections()


def owner_name() -> str:
    """A name that no other poller has had or will have; it says where the process runs."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def open_loop(pace: Pace, *, owner: str = "") -> AsyncIterator["PollLoop"]:
    """A ``PollLoop`` with its door and threads, closed in good order."""
    return_large_blocks()
    leases, results = DatabaseThread("leases"), DatabaseThread("results")
    try:
        # no limit for all: each round has its own, and a CMS that hangs must not use up the others' share
        async with Door(limit=0) as door:
            yield PollLoop(door=door, leases=leases, results=results, pace=pace, owner=owner or owner_name())
    finally:
        leases.close()
        results.close()


@dataclass
class PollLoop:
    """One poller. ``run`` until told to stop, or ``run_once``; not both."""

    door: Door
    leases: DatabaseThread
    results: DatabaseThread
    pace: Pace
    owner: str
    _running: dict[int, asyncio.Task[Round]] = field(default_factory=dict)
    _progress: dict[int, Progress] = field(default_factory=dict)
    _storing: set[int] = field(default_factory=set)  # asked already: storing gives the lease back by itself

    async def run(self, stop: asyncio.Event) -> None:
        """Poll whatever is due until ``stop``; rounds that run then get ``pace.grace_s`` to end."""
        keepers = [asyncio.create_task(work()) for work in (self._keep_leases, self._tell_progress)]
        failures = 0
        try:
            while not stop.is_set():
                pause_s = self.pace.tick_s
                try:
                    await self._start_due()
                    failures = 0
                except DatabaseTrouble as exc:
                    failures += 1
                    pause_s += backoff(failures, base_s=1.0, cap_s=15.0, jitter=_chance()).total_seconds()
                    logger.warning("poller waits for the database: %s", exc)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            await self._finish(keepers)

    async def run_once(self, *, only: Collection[int] | None = None) -> list[Round]:
        """Poll everything that is due now (``only`` these exporters), each once; the rounds."""
        keepers = [asyncio.create_task(work()) for work in (self._keep_leases, self._tell_progress)]
        done: dict[int, Round | None] = {}  # None: another poller has taken it over
        try:
            while tasks := await self._start_due(without=set(done), only=only):
                await asyncio.wait(tasks.values())
                done |= {key: None if task.cancelled() else task.result() for key, task in tasks.items()}
        finally:
            await self._finish(keepers)
        return [done_round for _key, done_round in sorted(done.items()) if done_round is not None]

    async def _start_due(
        self, *, without: Collection[int] = (), only: Collection[int] | None = None
    ) -> dict[int, asyncio.Task[Round]]:
        """Begin the rounds that are due, as far as there is room; the new ones."""
        room = self.pace.rounds_at_once - len(self._running)
        if room <= 0:
            return {}
        works: list[Work] = await self.leases(
            claim_due,
            owner=self.owner,
            now=utcnow(),
            lease=timedelta(seconds=self.pace.lease_s),
            limit=room,
            without={*without, *self._running},
            only=only,
        )
        started = {work.exporter_id: asyncio.create_task(self._do(work)) for work in works}
        self._running |= started
        return started

    async def _do(self, work: Work) -> Round:
        """One whole round: ask, and store what came of it. Raises nothing but cancellation."""
        try:
            started_at, started = utcnow(), time.monotonic()
            self._progress[work.exporter_id] = work.settings.progress
            result, note = await self._ask(work, started)
            self._storing.add(work.exporter_id)
            stored = await self._store(work, result, started_at=started_at, note=note)
            return Round(work, stored)
        finally:
            self._running.pop(work.exporter_id, None)
            self._progress.pop(work.exporter_id, None)
            self._storing.discard(work.exporter_id)

    async def _ask(self, work: Work, started: float) -> tuple[RoundResult, str]:
        """The answers, and a sentence for people where there is one."""
        reason, note = Reason.BAD_SETTINGS, work.trouble
        if not work.trouble:
            try:
                poller: Poller = backend("EXPORTERS", work.kind)()
                async with asyncio.timeout(work.settings.round_timeout_s + OVERRUN_S):
                    return await poller.poll(self.door, work.settings, work.targets), ""
            except (PollerError, ImproperlyConfigured) as exc:
                note = str(exc)
            except TimeoutError:
                reason = Reason.TIMEOUT
            except Exception:  # a defect of one kind of poller must not end the others
                logger.exception("round failed exporter=%s", work.exporter_id)
                reason = Reason.INTERNAL
        return failed_round(work.targets, reason, duration_s=time.monotonic() - started), note

    async def _store(
        self, work: Work, result: RoundResult, *, started_at: datetime, note: str
    ) -> PollRound | None:
        """Write the round down; tried again while the database is in trouble, then given up loudly."""
        finished_at = utcnow()
        for attempt in range(1, STORE_TRIES + 1):
            try:
                return await self.results(
                    store_round,
                    exporter_id=work.exporter_id,
                    result=result,
                    started_at=started_at,
                    finished_at=finished_at,
                    owner=self.owner,
                    note=note,
                )
            except DatabaseTrouble as exc:
                logger.warning("round not stored yet exporter=%s: %s", work.exporter_id, exc)
                await asyncio.sleep(backoff(attempt, base_s=0.5, cap_s=8.0, jitter=_chance()).total_seconds())
            except Exception:  # a row that cannot be written must not end the others
                logger.exception("round not stored exporter=%s", work.exporter_id)
                return None
        logger.error("round lost exporter=%s", work.exporter_id)  # its lease runs out: it is asked again
        return None

    async def _tell_progress(self) -> None:
        """Let people see how far long rounds are."""
        told: dict[int, tuple[int, int]] = {}
        while True:
            await asyncio.sleep(self.pace.progress_s)
            now = {key: (progress.done, progress.total) for key, progress in self._progress.items()}
            news = {key: place for key, place in now.items() if key in told and told[key] != place}
            told = now
            try:
                if news:
                    await self.leases(note_progress, owner=self.owner, rounds=news)
            except DatabaseTrouble as exc:
                logger.warning("progress not noted: %s", exc)

    async def _keep_leases(self) -> None:
        """Renew the leases of running rounds; a round whose lease is lost is dropped."""
        while True:
            await asyncio.sleep(self.pace.lease_s / 3)
            if not self._running:
                continue
            ids = set(self._running)
            try:
                until = utcnow() + timedelta(seconds=self.pace.lease_s)
                ours = await self.leases(renew_leases, owner=self.owner, exporter_ids=ids, until=until)
            except DatabaseTrouble as exc:
                logger.warning("leases not renewed: %s", exc)
                continue
            for exporter_id in ids - ours - self._storing:
                if task := self._running.get(exporter_id):
                    logger.warning("lease lost exporter=%s", exporter_id)
                    task.cancel()

    async def _finish(self, keepers: list[asyncio.Task[None]]) -> None:
        """Let running rounds end, drop the rest, and give back what is still ours."""
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self.pace.grace_s)
        for task in [*tasks, *keepers]:
            task.cancel()
        await asyncio.gather(*tasks, *keepers, return_exceptions=True)
        try:
            await self.leases(release_leases, owner=self.owner, now=utcnow())
        except DatabaseTrouble as exc:
            logger.warning("leases not given back, they run out by themselves: %s", exc)


def _chance() -> float:
    return random.random()  # noqa: S311  spreads retries, guards nothing
