"""The product at work on a fleet: its own code from the stored round to the outbox, with the truth's clock.

Only the ends are made up: what a CMS answers, and a gateway that lets the SMS out into the truth. Each
turn writes down what the product said, for the oracle, in the truth's time.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from automation.models import Case, GuardRefusal, Job
from automation.services import evaluation, health
from automation.services.sweep import sweep
from automation.states import LIVE
from devices.models import Command, Device, DeviceModel, PowerLink
from devices.services import close_unknown, record_reply
from exporters.models import Exporter, ExporterTarget
from exporters.ports import Observation, RoundResult, Status
from exporters.services import store_round
from platforms import switches
from platforms.models import KillSwitch, Platform, User
from sms.errors import GatewayError
from sms.gateways.base import Backend
from sms.outbox import Pump
from sms.ports import Accepted
from tests.automation.fleet.plan import Fate
from tests.automation.fleet.truth import Truth
from tests.factories import make_exporter, make_gateway, make_job, make_platform, make_site, make_user

START = datetime(2026, 10, 23, 20, 0, tzinfo=UTC)  # the clocks of Europe go back in the night to the 25th
ZONES = ("Europe/Berlin", "Asia/Yekaterinburg", "Europe/Moscow")


class FleetGateway(Backend):
    """Lets an SMS out into the truth, refuses, or leaves it open whether it did."""

    driver: ClassVar["Driver"]

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        driver, truth = FleetGateway.driver, FleetGateway.driver.truth
        platform = driver.platform_of_gateway[self.account.gateway_id]
        if f"gateway:{platform}" in driver.fate.down:
            raise GatewayError("refused", outcome="not_sent")
        luck = truth.random.random()
        if luck < 0.04:
            truth.doubtful.append((truth.now, to))
        if luck < 0.02:
            raise GatewayError("reset", outcome="unknown")  # and nothing left
        truth.accept_sms(to, body, platform=platform, lost=luck > 0.97)
        if luck < 0.04:
            raise GatewayError("reset", outcome="unknown")  # but it did leave
        return Accepted(ref=f"fleet-{client_ref}", parts=1)


@dataclass
class CaseRecord:
    """A case of one player as the oracle needs it; times are the truth's."""

    player: str
    opened: float
    closed: float | None = None
    state: str = "open"
    outcome: str = ""
    key: Any = None
    is_with_people: bool = False  # somebody was called: for itself, or for the many of whom it is one
    said: dict[str, float] = field(default_factory=dict)  # every outcome that it ever had, and since when
    held: dict[str, float] = field(
        default_factory=dict
    )  # groups with whom it waited (site, ...), and since when


@dataclass(frozen=True)
class RefusalRecord:
    """One objection, at one moment."""

    at: float
    player: str
    guard: str
    reason: str


@dataclass
class Story:
    """What the product did and said."""

    cases: dict[Any, CaseRecord] = field(default_factory=dict)
    refusals: list[RefusalRecord] = field(default_factory=list)


def _made(rows: dict[str, Device]) -> dict[str, Device]:
    Device.objects.bulk_create(rows.values())
    return rows


class Driver:
    """Builds the rows of a fleet and turns the product's wheels, ``step`` minutes at a time."""

    def __init__(self, truth: Truth, fate: Fate, *, step: float, **job: Any) -> None:
        self.truth, self.fate, self.step = truth, fate, step
        self.story = Story()
        self.devices: dict[str, Device] = {}
        self.key_of: dict[int, str] = {}
        self.sockets: dict[str, Device] = {}
        self.exporters: dict[str, Exporter] = {}
        self.platforms: dict[str, Platform] = {}
        self.platform_of_gateway: dict[Any, str] = {}
        self.jobs: list[Job] = []
        self.switches: dict[str, KillSwitch] = {}
        self.visits: dict[Any, float] = {}
        self.refused_at: dict[int, datetime] = {}
        self.person: User = make_user("person", is_superuser=True)
        self._build(job)
        FleetGateway.driver = self
        self.pump = Pump("fleet", now=lambda: self.clock, jitter=lambda: 0.5)

    def _build(self, job: dict[str, Any]) -> None:
        """All rows at once: nothing here is under test."""
        truth = self.truth
        for name in sorted({player.platform for player in truth.players.values()}):
            zone = ZONES[len(self.platforms) % len(ZONES)]
            platform = make_platform(name, sms_limit=1_000_000, device_limit=1_000_000, time_zone=zone)
            self.platforms[name] = platform
            self.platform_of_gateway[make_gateway(platform, kind="fleet", rate_per_minute=600).pk] = name
            self.jobs.append(make_job(platform, **job))
        for cms in truth.cms_mode:
            self.exporters[cms] = make_exporter(
                self.platforms[cms.partition("/")[0]], name=cms, interval_s=self.step * 60, timeout_s=15,
                base_url=f"http://127.0.0.1:9/{cms}",
            )  # fmt: skip
        sites = {name: make_site(self.platforms[name.partition("/")[0]], name) for name in truth.sites}
        model = DeviceModel.objects.get(code="D210")
        DeviceModel.objects.filter(pk=model.pk).update(bench_checked_at=START)
        self.sockets = _made(
            {
                socket.number: Device(
                    platform=self.platforms[socket.platform], site=sites[socket.site], kind=Device.Kind.SOCKET,
                    name=socket.number, msisdn=socket.number, model=model,
                )
                for socket in truth.sockets.values()
            }
        )  # fmt: skip
        self.devices = _made(
            {
                player.key: Device(
                    platform=self.platforms[player.platform],
                    site=sites[player.site],
                    name=player.key,
                    mac=player.key,
                )
                for player in truth.players.values()
            }
        )
        self.key_of = {device.pk: key for key, device in self.devices.items()}
        players = truth.players.values()
        ExporterTarget.objects.bulk_create(
            ExporterTarget(
                exporter=self.exporters[one.cms], device=self.devices[one.key], external_id=one.key
            )
            for one in players
        )
        PowerLink.objects.bulk_create(
            PowerLink(device=self.devices[one.key], socket=self.sockets[one.socket], line=1)
            for one in players
        )

    # --- time ----------------------------------------------------------------------------------
    @property
    def clock(self) -> datetime:
        """What the product's clock shows."""
        return START + timedelta(minutes=self.truth.now + self.fate.clock_offset)

    def run(self, minutes: float) -> None:
        end = self.truth.now + minutes
        turn = 0
        while self.truth.now < end:
            self.turn(turn)
            turn += 1

    def turn(self, number: int) -> None:
        """One poll interval passes."""
        self.truth.advance(self.truth.now + self.step)
        down = self.fate.down
        self._switches()
        self._people()
        polled = [] if "poller" in down else [self._poll(name) for name in self.exporters]
        self._inbox()
        if "worker" not in down:
            health.beat(
                now=self.clock, uptime_s=self.truth.now * 60, boot="one boot"
            )  # the sweep's, each minute
            for exporter in polled:
                evaluation.evaluate_after_round(exporter.pk, now=self.clock)
            if number % 2 == 0 or not polled:
                sweep(now=self.clock, uptime=(self.truth.now * 60, "one boot"))
        if "outbox" not in down:
            self.pump.run_once()
        self._write_down()

    def _poll(self, name: str) -> Exporter:
        exporter, mode = self.exporters[name], self.truth.cms_mode[name]
        players = [player for player in self.truth.players.values() if player.cms == name]
        seen = tuple(self._answer(player.key, n, mode) for n, player in enumerate(players))
        up = mode != "down"
        result = RoundResult(
            observations=seen, found=(), errors=Counter(), upstream_ok=up, upstream_reason="" if up else "timeout",
            complete=up, duration_s=0.1,
        )  # fmt: skip
        store_round(exporter_id=exporter.pk, result=result, started_at=self.clock, finished_at=self.clock)
        return exporter

    def _answer(self, key: str, number: int, mode: str) -> Observation:
        if mode == "down":
            return Observation(key, Status.UNKNOWN, reason="timeout")
        if mode == "empty" or (mode == "half" and number % 2):
            return Observation(key, Status.UNKNOWN, reason="no_data")
        if mode == "all_offline" or not self.truth.is_online(key):
            return Observation(key, Status.OFFLINE)
        return Observation(key, Status.ONLINE)

    def _inbox(self) -> None:
        texts, self.truth.texts = self.truth.texts, []
        for number, text in texts:
            record_reply(self.sockets[number], text=text, at=self.clock)

    # --- people --------------------------------------------------------------------------------
    def _switches(self) -> None:
        for name, platform in self.platforms.items():
            if name in self.fate.stopped and name not in self.switches:
                self.switches[name] = switches.engage(
                    scope="platform", platform=platform, reason="works", by=self.person, now=self.clock
                )
            elif name not in self.fate.stopped and name in self.switches:
                switches.release(self.switches.pop(name), by=self.person, now=self.clock)

    def _people(self) -> None:
        """Whoever was called comes after a while, repairs, and says what became of an open command."""
        for record in self.story.cases.values():
            if record.is_with_people and record.closed is None:
                due = self.visits.setdefault(record.key, self.truth.now + self.fate.dice.uniform(30, 200))
                if self.truth.now >= due:
                    self.truth.repair(record.player)
        for command in Command.objects.filter(state="needs_operator"):
            close_unknown(command, by=self.person, executed=False, now=self.clock)

    # --- what the product said -----------------------------------------------------------------
    def _write_down(self) -> None:
        now = self.truth.now
        live = [record.key for record in self.story.cases.values() if record.closed is None]
        rows = Case.objects.filter(kind="device").select_related("parent")
        new = rows.filter(state__in=LIVE).exclude(pk__in=live)
        for case in [*rows.filter(pk__in=live), *new]:
            record = self.story.cases.setdefault(
                case.pk, CaseRecord(self.key_of[case.device_id], now, key=case.pk)
            )
            record.state, record.outcome = case.state, case.outcome
            record.is_with_people = "escalated" in (case.state, case.parent.state if case.parent else "")
            record.said.setdefault(case.outcome, now)
            if case.parent is not None and case.parent.state in LIVE:
                record.held.setdefault(case.parent.evidence["scope"], now)
            if case.state in ("verified", "cancelled"):
                record.closed = now
        for row in GuardRefusal.objects.filter(last_at=self.clock):
            if self.refused_at.get(row.pk) == row.last_at:
                continue  # said when the clock was ahead, and showed this time already
            self.refused_at[row.pk] = row.last_at
            self.story.refusals.append(RefusalRecord(now, self.key_of[row.device_id], row.guard, row.reason))
