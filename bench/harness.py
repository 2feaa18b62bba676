"""What every benchmark needs: a goal, an outcome, alternating repeats, a database of its own.

A benchmark is a file ``bench/<id>.py`` with a ``GOAL`` and a ``run() -> Outcome``. It runs in a process
of its own, so it may choose its settings before Django reads them (``project_on``).
"""

import gc
import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection


class NotRun(Exception):
    """The benchmark cannot run here; the text says why."""


@dataclass(frozen=True)
class Goal:
    """``bound`` that the ratio must not exceed (``at_most``) or must reach."""

    bound: float
    at_most: bool

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='}{self.bound:.3g}"


@dataclass(frozen=True)
class Outcome:
    """The ratio that the goal is about, and the figures behind it (numbers or short texts).

    ``broken`` names whatever else the goal asks for and did not hold: the goal is then missed.
    """

    ratio: float
    details: dict[str, float | str] = field(default_factory=dict)
    broken: str = ""


def alternate(
    ours: Callable[[], object], peer: Callable[[], object], *, repeats: int, warm_up: int = 2
) -> tuple[float, float]:
    """Median seconds of both, run in turns so that a slow minute of the machine hits both alike."""
    for _ in range(warm_up):
        ours()
        peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for side, work in zip(times, (ours, peer), strict=True):
            gc.collect()
            started = time.perf_counter()
            work()
            side.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def exponent(small: float, large: float, *, growth: float) -> float:
    """How the cost grows with the size: 1 is linear. ``growth`` is large size / small size."""
    return math.log(large / small) / math.log(growth)


@contextmanager
def project_on(database_url: str, **environment: str) -> Iterator[None]:
    """The project set up on an empty, migrated database. Once per process."""
    os.environ.update(
        {"DATABASE_URL": database_url, "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "remosa.settings"}
    )
    os.environ.update(environment)
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from django.conf import settings

    settings.DEBUG = False  # it makes Django keep every query
    os.environ.update(as_in_production())
    yield
    from django.db import connections

    connections.close_all()


def as_in_production() -> dict[str, str]:
    """The environment for processes that work as those of ``make run`` do: with DEBUG Django keeps every statement."""
    from django.conf import settings

    return {
        "DEBUG": "false", "SECRET_KEY": settings.SECRET_KEY, "AUDIT_KEYS": ",".join(settings.AUDIT_KEYS),
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
    }  # fmt: skip


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a throw-away PostgreSQL; NotRun where none is installed."""
    from tests.servers.availability import ServerMissing
    from tests.servers.postgres import throwaway_postgres

    try:
        with throwaway_postgres() as server:
            yield server.url
    except ServerMissing as exc:
        raise NotRun(str(exc)) from exc


def run_in_child(name: str, answers: Connection) -> None:
    """Run one benchmark and send what came of it."""
    module = importlib.import_module(f"bench.{name.lower()}")
    try:
        outcome = module.run()
    except NotRun as exc:
        answers.send({"not_run": str(exc)})
        return
    met = module.GOAL.is_met(outcome.ratio) and not outcome.broken
    answers.send(
        {
            "ratio": round(outcome.ratio, 4), "goal": str(module.GOAL), "met": met, "details": outcome.details,
            "broken": outcome.broken,
        }
    )  # fmt: skip


def log(text: str) -> None:
    """Progress for whoever waits; results alone go to stdout."""
    print(text, file=sys.stderr, flush=True)
