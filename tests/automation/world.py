"""A small world for automation: one CMS, players on sockets, one job, and a clock that only tests move.

The poller's answers are made up; what stores, judges, decides and sends is the product's own code. No
bell rings inside a test's transaction, so every call here is what a bell or the sweep would have made.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from automation.models import Case, Job
from automation.services import evaluation, health
from automation.services.sweep import sweep
from devices.models import Command, Device, PowerLink
from devices.services import record_reply, sweep_commands
from exporters.models import ExporterTarget
from exporters.ports import Observation, RoundResult, Status
from exporters.services import store_round
from platforms.models import Platform
from sms.models import SmsMessage
from sms.outbox import Pump
from tests.factories import (
    NOW,
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_link,
    make_platform,
    make_site,
    make_socket,
)

CONFIRMED = "OUT1 OFF 1 MIN"


class World:
    """``players`` players, each on its own socket and site unless ``per_site`` says otherwise; a turn is a minute."""

    def __init__(
        self,
        *,
        players: int = 6,
        per_site: int = 1,
        platform: Platform | None = None,
        interval_s: float = 60,
        base_url: str = "http://127.0.0.1:9/",
        with_job: bool = True,
        **job: Any,
    ) -> None:
        self.now = NOW
        self.platform = platform or make_platform(sms_people_share_ratio=0, sms_limit=1000)
        self.exporter = make_exporter(self.platform, interval_s=interval_s, timeout_s=15, base_url=base_url)
        self.gateway = make_gateway(self.platform)
        self.players: list[Device] = []
        self.sockets: list[Device] = []
        site = None
        for number in range(players):
            site = make_site(self.platform) if number % per_site == 0 else site
            self.add_player(site=site)
        self.dark: set[int] = set()  # offline in the CMS
        self.silent: set[int] = set()  # the CMS does not say
        self.cms_is_up = True
        self.job = make_job(self.platform, **job) if with_job else None
        self.pump = Pump("world", now=lambda: self.now)

    def add_player(self, *, socket: Device | None = None, line: int = 1, **fields: Any) -> Device:
        device = make_device(self.platform, **fields)
        ExporterTarget.objects.create(exporter=self.exporter, device=device, external_id=device.mac)
        socket = socket or make_socket(self.platform, site=device.site)
        make_link(device, socket, line)
        self.players.append(device)
        self.sockets.append(socket)
        return device

    # --- time and what it brings --------------------------------------------------------------

    def after(self, minutes: float) -> datetime:
        """The clock, so many minutes on."""
        self.now += timedelta(minutes=minutes)
        return self.now

    def poll(self) -> None:
        """One round of the CMS, as of now."""
        seen = tuple(self._observe(player) for player in self.active())
        result = RoundResult(
            observations=seen, found=(), errors=Counter(), upstream_ok=self.cms_is_up,
            upstream_reason="" if self.cms_is_up else "timeout", complete=self.cms_is_up, duration_s=0.1,
        )  # fmt: skip
        store_round(exporter_id=self.exporter.pk, result=result, started_at=self.now, finished_at=self.now)
        self.exporter.refresh_from_db()

    def active(self) -> Iterable[Device]:
        return [player for player in self.players if Device.objects.get(pk=player.pk).is_active]

    def _observe(self, player: Device) -> Observation:
        if player.pk in self.silent or not self.cms_is_up:
            return Observation(player.mac, Status.UNKNOWN, reason="no_data" if self.cms_is_up else "timeout")
        return Observation(player.mac, Status.OFFLINE if player.pk in self.dark else Status.ONLINE)

    def turn(self, minutes: float = 1, *, send: bool = True) -> None:
        """A minute passes: poll, judge and take the next steps, send."""
        before = self.now
        self.after(minutes)
        for minute in range(1, round(minutes) + 1):  # the evaluator is alive in between
            health.beat(now=before + timedelta(minutes=minute))
        self.poll()
        sweep_commands(now=self.now)
        evaluation.evaluate_after_round(self.exporter.pk, now=self.now)
        if send:
            self.pump.run_once()

    def turns(self, count: int, minutes: float = 1, *, send: bool = True) -> None:
        for _turn in range(count):
            self.turn(minutes, send=send)

    def wait(self, minutes: float) -> None:
        """A long time, in steps of five minutes: for what waits, not for what is being watched."""
        self.turns(round(minutes / 5), 5)

    def sweep_turn(self, minutes: float = 1) -> None:
        """A minute in which every bell is lost: only the poller, the outbox and the sweep do anything."""
        self.after(minutes)
        self.poll()
        self.pump.run_once()
        sweep(now=self.now)
        self.pump.run_once()

    # --- what happens -------------------------------------------------------------------------

    def hang(self, *players: Device) -> None:
        self.dark |= {player.pk for player in players}

    def recover(self, *players: Device) -> None:
        self.dark -= {player.pk for player in players or self.players}

    def hush(self, *players: Device) -> None:
        """The CMS says nothing of them any more."""
        self.silent |= {player.pk for player in players}

    def socket_of(self, player: Device) -> Device:
        return PowerLink.objects.select_related("socket__model").get(device=player, valid_to=None).socket

    def reply(self, player: Device, text: str = CONFIRMED) -> str:
        """The socket answers, now."""
        return record_reply(self.socket_of(player), text=text, at=self.now).match

    def until_fired(self, *players: Device, send: bool = True) -> Case:
        """The players hang until the first one's case is there."""
        before = self.case_of(players[0])
        self.turns(2)
        self.hang(*players)
        for _turn in range(30):
            self.turn(send=send)
            case = self.case_of(players[0])
            if case is not None and case != before:
                return case
        raise AssertionError("no case in thirty minutes")

    # --- what came of it ----------------------------------------------------------------------

    def case_of(self, player: Device) -> Case | None:
        """The newest case of a player."""
        return Case.objects.filter(device=player).order_by("-opened_at").first()

    def sent(self) -> list[str]:
        """The numbers to which an SMS left, oldest first."""
        return list(SmsMessage.objects.exclude(sent_at=None).order_by("sent_at").values_list("to", flat=True))

    def commands(self, player: Device) -> list[str]:
        """The states of the commands for a player, oldest first."""
        return list(
            Command.objects.filter(target=player).order_by("created_at").values_list("state", flat=True)
        )

    def change_job(self, **fields: Any) -> None:
        """What the console does: new values, and a new version."""
        Job.objects.filter(pk=self.job.pk).update(version=self.job.version + 1, **fields)
        self.job.refresh_from_db()


def told(case: Case) -> list[str]:
    """The kinds of a case's events, in order."""
    return list(case.events.order_by("pk").values_list("kind", flat=True))


def refusals(case: Case) -> dict[str, int]:
    """Why not: {guard_reason: times}."""
    return {f"{row.guard}_{row.reason}": row.times for row in case.refusals.all()}


def fresh(case: Case) -> Case:
    return Case.objects.get(pk=case.pk)
