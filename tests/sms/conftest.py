"""Fixtures of the SMS tests."""

from pathlib import Path
from typing import Any

import pytest

from sms.models import Gateway
from sms.outbox import Pump
from tests.factories import NOW
from tests.sms.fakes import FakeGateway, make_fake, use_fake_gateway


class Clock:
    """Wall and monotonic time that pass only when told."""

    def __init__(self) -> None:
        self.wall, self.seconds = NOW, 1000.0

    def now(self) -> Any:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def passes(self, span: Any) -> None:
        self.wall += span
        self.seconds += span.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pump(clock: Clock) -> Pump:
    """A pump on the test's clock whose backoff never waits."""
    return Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.0)


@pytest.fixture
def fake(settings: Any, tmp_path: Path) -> type[FakeGateway]:
    """The fake backend, empty, and a spool of its own."""
    settings.SMS_SPOOL_DIR = str(tmp_path / "spool")
    return use_fake_gateway(settings)


@pytest.fixture
def gateway(north: Any, fake: type[FakeGateway]) -> Gateway:
    """North's own gateway."""
    return make_fake(north)
