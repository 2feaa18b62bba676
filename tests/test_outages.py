"""What the CMS says when it is ill must never switch a socket; a true single failure still must."""

from collections.abc import Callable, Iterator

import pytest

from automation.models import Case, GuardRefusal
from devices.models import Command, Device
from remosa.simulator.fleet import demo_fleet
from remosa.simulator.thread import SimulatorThread
from tests.loop import Loop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
MINUTE_S = 0.3
FLEET = demo_fleet()
VICTIM = next(p for p in FLEET.players if FLEET.sockets_by_msisdn[p.socket].model == "D210")

OUTAGES: dict[str, str] = {
    "HTTP 500": "500",
    "HTTP 401": "401",
    "timeout": "timeout",
    "reset": "reset",
    "HTML with 200": "html",
    "broken JSON": "broken",
    "empty body": "blank",
    "empty list": "empty",
    "half the list": "half",
    "all offline at once": "all_offline",
    "one site dark": f"site_dark:{VICTIM.site}",
}


@pytest.fixture
def loop(loop_settings: None) -> Iterator[Loop]:
    with SimulatorThread(minute_s=MINUTE_S) as simulator:
        simulator.world.change_faults({"timeout_s": 1.0})
        yield Loop(simulator, minute_s=MINUTE_S)


def test_no_outage_of_the_cms_switches_a_socket_and_a_true_failure_does(
    loop: Loop, figure: Callable[[str, str], None]
) -> None:
    from exporters.models import Exporter

    Exporter.objects.update(timeout_s=0.3)
    loop.turns(4)
    wrong = 0
    for name, mode in OUTAGES.items():
        loop.simulator.world.change_faults({"cms": mode})
        loop.until(_someone_is_told, what=f"a visible case for: {name}")
        loop.turns(6)
        wrong += len(loop.simulator.world.ledger()) + Command.objects.count()
        assert wrong == 0, f"{name}: {list(GuardRefusal.objects.values())} {loop.report()}"
        loop.simulator.world.change_faults({"cms": "ok"})
        loop.until(_all_is_well, what=f"everything to be well after: {name}")

    loop.simulator.world.hang(VICTIM.id)
    loop.until(
        lambda: Case.objects.filter(device__name=VICTIM.name, state="verified", attempts=1).exists(),
        what="the repair",
    )

    right = [entry for entry in loop.simulator.world.ledger() if entry.number == VICTIM.socket]
    assert len(right) == len(loop.simulator.world.ledger()) == 1
    figure("outages", f"{len(OUTAGES)} kinds, {wrong} wrong commands, {len(right)} of 1 right")


def _someone_is_told() -> bool:
    """One visible case above the devices: the CMS in doubt, or many devices at once."""
    return Case.objects.filter(kind__in=["mass", "upstream"], state="escalated").exists()


def _all_is_well() -> bool:
    live = Case.objects.exclude(state__in=["verified", "cancelled"])
    players = Device.objects.filter(kind="player")
    return not live.exists() and not players.exclude(state="online").exists()
