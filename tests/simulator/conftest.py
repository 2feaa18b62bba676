"""Worlds for the simulator's tests: one minute is 60 s of a clock that only the test moves."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from remosa.simulator.commands import catalogue_reader
from remosa.simulator.thread import SimulatorThread
from remosa.simulator.world import QUIET, World
from tests.simulator.clocks import ManualClock

STARTED_AT = datetime(2025, 7, 7, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_world(clock: ManualClock) -> Callable[..., World]:
    def make(**options: Any) -> World:
        defaults = {
            "clock": clock,
            "started_at": STARTED_AT,
            "habits": QUIET,
            "understand": catalogue_reader(),
        }
        return World(**(defaults | options))

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture
def simulator(world: World) -> Iterator[SimulatorThread]:
    with SimulatorThread(world) as running:
        yield running
