"""Sockets of every model in the simulated world, and the product that commands them; the clock is the test's.

The radio loses, delays, doubles and reorders in both directions, and the gateway sometimes does not know what it
did. What asks, sends, reads and restores is the product's own code.
"""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

from devices.errors import CommandInvalid
from devices.models import Command, Device, Restoration
from devices.services import power_cycle, record_observations, request_command, sweep_commands
from devices.services.observations import Observed
from devices.states import RESTORATION_LIVE
from remosa.simulator.commands import catalogue_reader
from remosa.simulator.faults import Faults
from remosa.simulator.fleet import LINES, DemoFleet, PlayerSpec, SocketSpec
from remosa.simulator.world import QUIET, UP, World
from sms.errors import GatewayError
from sms.gateways.base import Backend
from sms.models import Gateway
from sms.outbox import Pump
from sms.ports import Accepted, InboundText
from sms.services.inbound import receive
from tests.factories import NOW, make_device, make_gateway, make_link, make_platform, make_socket
from tests.simulator.clocks import ManualClock

GATEWAY = "+79000000100"
TROUBLE = Faults(
    sms_loss_ratio=0.15, sms_duplicate_ratio=0.15, sms_reorder_ratio=0.15, reply_loss_ratio=0.15,
    reply_duplicate_ratio=0.1, reply_reorder_ratio=0.1, reply_late_ratio=0.05, sms_delay_minutes=0.3,
    reply_delay_minutes=0.2,
)  # fmt: skip
MODELS = ("D210", "D410", "T40-T20", "T80", "ISOCKET-706")


class WorldGateway(Backend):
    """Hands SMS to the world; now and then it does not take one, or does not say whether it did."""

    world: ClassVar[World]
    chance: ClassVar[Callable[[], float]]

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        luck = self.chance()
        if luck < 0.03:
            raise GatewayError("busy", outcome="not_sent")
        self.world.accept_sms(to, body)
        if luck < 0.06:
            raise GatewayError("reset", outcome="unknown")
        return Accepted(ref=client_ref, parts=1)


class SocketWorld:
    """``sockets`` sockets of the models in turn, one player at each output."""

    def __init__(
        self,
        settings: Any,
        *,
        sockets: int,
        faults: Faults = TROUBLE,
        seed: int = 1,
        models: tuple[str, ...] = MODELS,
    ) -> None:
        settings.SMS_GATEWAYS = {**settings.SMS_GATEWAYS, "world": "tests.devices.socket_world.WorldGateway"}
        self.random, self.clock = random.Random(seed), ManualClock()
        self.platform = make_platform(sms_people_share_ratio=0, sms_limit=10**6, device_limit=10**5)
        self.sockets = [make_socket(self.platform, model=models[n % len(models)]) for n in range(sockets)]
        outputs = [(socket, line) for socket in self.sockets for line in LINES[socket.model.code]]
        self.players = {make_device(self.platform): output for output in outputs}
        for player, (socket, line) in self.players.items():
            make_link(player, socket, line)
        self.world = World(
            understand=catalogue_reader(), fleet=self._fleet(), clock=self.clock, started_at=NOW, habits=QUIET,
            faults=faults, seed=seed, gateway_msisdn=GATEWAY,
        )  # fmt: skip
        self.gateway = make_gateway(self.platform, kind="world", sender_msisdn=GATEWAY, rate_per_minute=10**6)
        make_gateway(self.platform, kind="world", sender_msisdn=GATEWAY, rate_per_minute=10**6, priority=200)
        WorldGateway.world, WorldGateway.chance = self.world, staticmethod(random.Random(seed).random)
        self.pump = Pump("sockets", now=lambda: self.now)
        self.refused = self.inbox = 0

    def _fleet(self) -> DemoFleet:
        sockets = tuple(SocketSpec(s.name, s.msisdn, s.model.code, "site") for s in self.sockets)
        players = tuple(
            PlayerSpec(str(row.pk), "cubic", row.name, "site", "", "", socket.msisdn, line, "UTC", "1")
            for row, (socket, line) in self.players.items()
        )
        return DemoFleet("sockets", (), sockets, players)

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock.now - 1000.0)

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, seconds: float = 20, *, observe: bool = True) -> None:
        """Time passes: read the inbox, look at the players, see to what is due, send."""
        self.clock.now += seconds
        self.world.advance()
        Gateway.objects.update(breaker=Gateway.Breaker.CLOSED, breaker_until=None)
        for message in self.world.read_inbox():
            self.inbox += 1
            text = InboundText(sender=message.sender, body=message.text, sent_at=None, ref=f"{self.inbox}")
            receive(gateway=self.gateway, text=text, now=self.now)
        if observe:
            self.observe()
        sweep_commands(now=self.now)
        self.pump.run_once()

    def ticks(self, minutes: float, *, observe: bool = True) -> None:
        for _number in range(round(minutes * 3)):
            self.tick(observe=observe)

    def observe(self) -> None:
        """What the CMS says of the players."""
        states = {row.pk: self.world.players[str(row.pk)].state == UP for row in self.players}
        seen = [Observed(pk, "online" if up else "offline", self.now) for pk, up in states.items()]
        record_observations(seen, source="world")

    def settle(self, *, hours: int = 30) -> None:
        """Until nothing is open any more, in longer and longer steps."""
        end = self.now + timedelta(hours=hours)
        while self.now < end and (self.live().exists() or self.open_commands()):
            self.tick(30)

    # --- what people and jobs do --------------------------------------------------------------------

    def reboot(self, socket: Device, line: int = 1, minutes: int = 1) -> None:
        """A job reboots one output."""
        try:
            power_cycle(
                device=socket, line=line, minutes=minutes, source="job", idem_key=f"k:{uuid.uuid4()}",
                cause_id=uuid.uuid4(), now=self.now,
            )  # fmt: skip
        except CommandInvalid:
            self.refused += 1

    def ask(self, socket: Device, key: str, **params: Any) -> Command:
        """One command of a job."""
        return request_command(
            device=socket, template_key=key, params=params, source="job", idem_key=f"k:{uuid.uuid4()}",
            cause_id=uuid.uuid4(), now=self.now,
        )  # fmt: skip

    def any_output(self) -> tuple[Device, int]:
        socket = self.random.choice(self.sockets)
        return socket, self.random.choice(LINES[socket.model.code])

    # --- what came of it ----------------------------------------------------------------------------

    def live(self) -> Any:
        return Restoration.objects.filter(state__in=RESTORATION_LIVE)

    def open_commands(self) -> bool:
        return Command.objects.filter(state__in=["requested", "queued", "sent", "delivered"]).exists()

    def dark(self) -> Iterator[tuple[Device, int]]:
        """The outputs that are off."""
        self.world.advance()
        for socket in self.sockets:
            for line, on in self.world.sockets[socket.msisdn].outputs.items():
                if not on:
                    yield socket, line

    def is_known(self, socket: Device, line: int) -> bool:
        """Whether the operator can see why this output is off."""
        if self.live().filter(device=socket, line__in=(0, line)).exists():
            return True
        cycles = Command.objects.filter(device=socket, power="cycle", template__line__in=(0, line))
        cycles = cycles.exclude(
            state__in=["blocked", "cancelled", "expired", "superseded", "failed", "requested"]
        )
        since = self.now - timedelta(minutes=20)
        return cycles.filter(created_at__gt=since).exists()
