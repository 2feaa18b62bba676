"""Time as an argument: a fleet lives through outages, flapping, restarts and wrong clocks; an oracle judges."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.automation.fleet.driver import Driver
from tests.automation.fleet.oracle import Oracle, Rules
from tests.automation.fleet.plan import DAY, Fate, Rates, build
from tests.automation.fleet.truth import Truth

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def live(
    settings: Any,
    *,
    devices: int,
    platforms: int,
    cms: int,
    days: float,
    step: float,
    seed: int,
    rates: Rates,
) -> Oracle:
    """Let a fleet live for so long; the oracle knows the rest."""
    settings.SMS_GATEWAYS = {**settings.SMS_GATEWAYS, "fleet": "tests.automation.fleet.driver.FleetGateway"}
    truth = Truth(seed=seed)
    build(truth, devices=devices, platforms=platforms, cms=cms)
    fate = Fate(truth, minutes=days * DAY, rates=rates, seed=seed + 1)
    fate.draw()
    driver = Driver(truth, fate, step=step)
    driver.run(days * DAY)
    return Oracle(truth, driver.story, Rules(hold=10, step=step))


def judge(oracle: Oracle, figure: Callable[[str, str], None], *, name: str = "fleet week") -> None:
    wrong = oracle.wrong_commands()
    failures = oracle.true_failures()
    unhandled = [f"{fault}: {why}" for fault in failures if (why := oracle.handled(fault))]
    unexplained = oracle.unexplained()
    figure(
        name,
        f"{len(oracle.truth.players)} devices, {len(wrong)} wrong, {len(failures) - len(unhandled)} of {len(failures)}"
        f" handled, {unexplained.total()} unexplained",
    )
    assert wrong == []
    assert unhandled == []
    assert unexplained == {}, oracle.examples


BUSY = Rates(
    faults_per_player=1.8, flapping_share=0.03, mains_per_site=0.3, network_per_site=0.3, cms_outages=2,
    gateway_outages=3, stops=1, worker_restarts=3, poller_restarts=3, outbox_restarts=4, clock_jumps=2,
)  # fmt: skip


def test_a_small_fleet_lives_through_a_hard_afternoon(
    settings: Any, figure: Callable[[str, str], None]
) -> None:
    oracle = live(settings, devices=80, platforms=2, cms=1, days=5 / 24, step=2.5, seed=3, rates=BUSY)

    judge(oracle, figure)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_large_fleet_lives_through_a_week(settings: Any, figure: Callable[[str, str], None]) -> None:
    oracle = live(settings, devices=2000, platforms=5, cms=2, days=7, step=2.5, seed=1, rates=Rates())

    judge(oracle, figure)
