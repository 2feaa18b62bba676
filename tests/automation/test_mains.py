"""No mains at the site is a reason not to reboot, from the socket's own SMS to the refusal, and back."""

from devices.models import DeviceEvent
from platforms.models import Platform
from sms.ports import InboundText
from sms.services.inbound import receive
from tests.automation.world import World, refusals


def says(world: World, text: str) -> None:
    """The socket of the first player writes, unasked."""
    number = world.socket_of(world.players[0]).msisdn
    message = InboundText(ref=f"{world.now}", sender=number, body=text)
    receive(gateway=world.gateway, text=message, now=world.now)


def test_mains_lost_stops_the_reboot_and_mains_back_lets_it_go(db: None) -> None:
    world = World(players=3)
    player = world.players[0]
    world.turns(2)
    says(world, "MAINS LOST")
    world.hang(player)
    world.turns(16)
    case = world.case_of(player)

    assert case is not None
    assert "power_no_mains" in refusals(case)
    assert world.sent() == []

    says(world, "MAINS OK")
    world.turns(3)

    assert world.sent() == [world.socket_of(player).msisdn]
    assert list(DeviceEvent.objects.order_by("at").values_list("kind", flat=True)) == [
        "mains_lost",
        "mains_back",
    ]


def test_a_notice_that_comes_twice_is_one_event_and_an_old_one_changes_nothing(db: None) -> None:
    world = World(players=1, with_job=False)
    socket = world.socket_of(world.players[0])
    says(world, "MAINS LOST")
    world.after(0.5)
    says(world, "MAINS LOST")
    world.after(5)
    says(world, "MAINS OK")

    socket.refresh_from_db()
    assert socket.facts["mains"] == "ok"
    assert DeviceEvent.objects.count() == 2
    assert socket.facts["facts_at"]["mains"] == world.now.isoformat()


def test_mains_lost_that_only_a_status_tells_is_an_event_too(north: Platform) -> None:
    world = World(players=1, with_job=False, platform=north)
    says(world, "OUT1 ON; T=23C; MAINS OK; GSM 21")
    world.after(30)
    says(world, "OUT1 ON; T=23C; MAINS LOST; GSM 21")

    assert list(DeviceEvent.objects.values_list("kind", "severity")) == [("mains_lost", "warning")]
