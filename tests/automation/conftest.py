"""What several tests of automation ask for."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.automation.prometheus import FakePrometheus
from tests.automation.receiver import Receiver


@pytest.fixture
def prometheus(settings: Any) -> Iterator[FakePrometheus]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    with FakePrometheus() as fake:
        settings.PROMETHEUS_URL = fake.url
        yield fake


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    made = Receiver()
    yield made
    made.close()
