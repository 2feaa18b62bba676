"""A fleet and its fate, drawn from a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.automation.fleet.truth import Player, Site, Socket, Truth

DAY = 24 * 60.0
CMS_MODES = ("down", "all_offline", "half", "empty")


@dataclass(frozen=True)
class Rates:
    """How often, per day."""

    faults_per_player: float = 0.15
    flapping_share: float = 0.02
    mains_per_site: float = 0.06
    network_per_site: float = 0.06
    cms_outages: float = 1.0
    gateway_outages: float = 0.7
    stops: float = 0.4
    worker_restarts: float = 2.0
    poller_restarts: float = 1.0
    outbox_restarts: float = 1.0
    clock_jumps: float = 1.0


def build(truth: Truth, *, devices: int, platforms: int, cms: int) -> None:
    """Players on sites of one to six; most on a socket of their own, some two on one."""
    dice, number = truth.random, 0
    for where in range(platforms):
        platform = f"p{where}"
        names = [f"{platform}/cms{n}" for n in range(cms)]
        truth.cms_mode.update(dict.fromkeys(names, "ok"))
        share = devices // platforms
        made = 0
        while made < share:
            site = f"{platform}/site{len(truth.sites)}"
            truth.sites[site] = Site()
            name = dice.choice(names)
            socket = ""
            for n in range(min(share - made, dice.choice((1, 2, 3, 3, 4, 6)))):
                number += 1
                if not socket or n % 2 == 0 or dice.random() > 0.15:
                    socket = f"+7901{number:07d}"
                    truth.sockets[socket] = Socket(socket, platform, site)
                key = f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
                truth.players[key] = Player(key, platform, site, socket, name)
                made += 1


class Fate:
    """Everything that will happen, put on the truth's own calendar."""

    def __init__(self, truth: Truth, *, minutes: float, rates: Rates, seed: int) -> None:
        self.truth, self.minutes, self.rates = truth, minutes, rates
        self.dice = random.Random(seed)
        self.down: set[str] = set()  # "worker", "poller", "outbox"; "gateway:p0"
        self.stopped: set[str] = set()  # platforms
        self.clock_offset = 0.0  # minutes that the product's clock is ahead

    def draw(self) -> None:
        """Draw all of it."""
        truth, rates = self.truth, self.rates
        for key in truth.players:
            self._often(rates.faults_per_player, lambda key=key: self._fail(key))
            if self.dice.random() < rates.flapping_share:
                self._flap(key)
        for site in truth.sites:
            self._often(
                rates.mains_per_site, lambda site=site: truth.cut_mains(site, lasts=self._span(5, 180))
            )
            self._often(
                rates.network_per_site, lambda site=site: truth.cut_network(site, lasts=self._span(5, 180))
            )
        for cms in truth.cms_mode:
            self._often(
                rates.cms_outages,
                lambda cms=cms: truth.break_cms(cms, self.dice.choice(CMS_MODES), lasts=self._span(5, 90)),
            )
        for platform in sorted({player.platform for player in truth.players.values()}):
            self._often(
                rates.gateway_outages, lambda p=platform: self._away("gateway", p, self._span(10, 60))
            )
            self._often(rates.stops, lambda p=platform: self._stop(p))
        self._often(rates.worker_restarts, lambda: self._away("worker", "*", self._span(1, 40)))
        self._often(rates.poller_restarts, lambda: self._away("poller", "*", self._span(1, 30)))
        self._often(rates.outbox_restarts, lambda: self._away("outbox", "*", self._span(1, 20)))
        self._often(rates.clock_jumps, self._jump)

    def _often(self, per_day: float, event: Callable[[], None]) -> None:
        moment = 30.0
        while per_day > 0:
            moment += self.dice.expovariate(per_day / DAY)
            if moment > self.minutes - 110:  # the last hours are quiet, so that every story ends
                return
            self.truth.at(moment, event)

    def _span(self, least: float, most: float) -> float:
        return self.dice.uniform(least, most)

    def _fail(self, key: str) -> None:
        kind = self.dice.choices(("hang", "dead", "blip"), (75, 8, 17))[0]
        self.truth.fail(key, kind, **({"lasts": self._span(1, 30)} if kind == "blip" else {}))

    def _flap(self, key: str) -> None:
        moment = self._span(60, max(61, self.minutes - 500))
        for _turn in range(self.dice.randint(6, 20)):
            lasts = self._span(1, 7)
            self.truth.at(moment, lambda lasts=lasts: self.truth.fail(key, "blip", lasts=lasts))
            moment += lasts + self._span(1, 6)

    def _away(self, what: str, subject: str, lasts: float) -> None:
        name = what if subject == "*" else f"{what}:{subject}"
        if name not in self.down:
            self.truth.trouble(
                what,
                subject,
                lasts=lasts,
                on=lambda: self.down.add(name),
                off=lambda: self.down.discard(name),
            )

    def _stop(self, platform: str) -> None:
        if platform not in self.stopped:
            self.truth.trouble(
                "stop", platform, lasts=self._span(20, 150),
                on=lambda: self.stopped.add(platform), off=lambda: self.stopped.discard(platform),
            )  # fmt: skip

    def _jump(self) -> None:
        """The clock is wrong for a while, by an hour or a day, then right again."""
        if self.clock_offset:
            return
        wrong = self.dice.choice((-60.0, 60.0, 65.0, -15.0, 15.0, 1440.0))
        self.truth.trouble(
            "clock", "*", lasts=self._span(4, 40),
            on=lambda: setattr(self, "clock_offset", wrong), off=lambda: setattr(self, "clock_offset", 0.0),
        )  # fmt: skip
