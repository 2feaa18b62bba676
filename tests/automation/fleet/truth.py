"""What truly happens to a fleet: players hang, sites lose power, CMSs lie, sockets obey.

Imports nothing of the product.

Time is minutes since the start, as a number. Every spell in which a player cannot be seen is written down
with all its causes, every fault with its end, every SMS with what it did: the oracle judges by these.
"""

import heapq
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

CYCLE = re.compile(r"#12#0#(\d{1,3})#1#")
BOOT = 1.5  # minutes from power to the CMS
REPLY = 0.4  # minutes from an SMS to its answer
FOREVER = float("inf")


@dataclass
class Spell:
    """The CMS cannot see a player, because of ``causes``."""

    start: float
    causes: set[str]
    end: float = FOREVER


@dataclass
class Fault:
    """One failure of one player: ``hang`` (a power cycle helps), ``dead`` (it does not), ``blip`` (ends alone)."""

    player: str
    kind: str
    start: float
    end: float = FOREVER
    ended_by: str = ""


@dataclass
class Player:
    """``key`` is its MAC."""

    key: str
    platform: str
    site: str
    socket: str
    cms: str
    fault: Fault | None = None
    boots_until: float = 0.0
    spells: list[Spell] = field(default_factory=list)


@dataclass
class Site:
    mains: bool = True
    network: bool = True


@dataclass
class Socket:
    number: str
    platform: str
    site: str
    cut_until: float = 0.0


@dataclass(frozen=True)
class Sms:
    """One SMS that a gateway let out; ``reached`` whether the socket obeyed."""

    at: float
    number: str
    text: str
    platform: str
    reached: bool


@dataclass
class Trouble:
    """Something that is not a player's fault: ``kind`` of ``subject`` from ``start`` to ``end``."""

    kind: str
    subject: str
    start: float
    end: float


class Truth:
    """The fleet as it is."""

    def __init__(self, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.players: dict[str, Player] = {}
        self.sites: dict[str, Site] = {}
        self.sockets: dict[str, Socket] = {}
        self.cms_mode: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.troubles: list[Trouble] = []
        self.sms: list[Sms] = []
        self.doubtful: list[
            tuple[float, str]
        ] = []  # (time, number) of SMS of which nobody was told the outcome
        self.texts: list[tuple[str, str]] = []  # (number, text) on their way to the inbox
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    # --- time ----------------------------------------------------------------------------------
    def at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def advance(self, to: float) -> None:
        """Play every event until ``to``."""
        while self._events and self._events[0][0] <= to:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = to

    # --- what is seen --------------------------------------------------------------------------
    def causes(self, player: Player) -> set[str]:
        """Why the player does not talk to its CMS just now; empty while it does."""
        site, socket = self.sites[player.site], self.sockets[player.socket]
        found = set()
        if not site.mains:
            found.add("mains")
        if not site.network:
            found.add("network")
        if socket.cut_until > self.now:
            found.add("cut")
        if player.fault is not None:
            found.add("fault")
        if player.boots_until > self.now:
            found.add("boot")
        return found

    def is_online(self, key: str) -> bool:
        return not self.causes(self.players[key])

    def _look(self, player: Player) -> None:
        causes = self.causes(player)
        spell = player.spells[-1] if player.spells and player.spells[-1].end == FOREVER else None
        if causes and spell is None:
            player.spells.append(Spell(self.now, causes))
        elif causes and spell is not None:
            spell.causes |= causes
        elif spell is not None:
            spell.end = self.now

    def fed_by(self, number: str) -> list[Player]:
        return [player for player in self.players.values() if player.socket == number]

    # --- failures of players -------------------------------------------------------------------
    def fail(self, key: str, kind: str, *, lasts: float = FOREVER) -> None:
        """A player fails, unless it is down already."""
        player = self.players[key]
        if self.causes(player):
            return
        fault = Fault(key, kind, self.now)
        player.fault = fault
        self.faults.append(fault)
        self._look(player)
        if lasts < FOREVER:
            self.at(self.now + lasts, lambda: self._end(fault, "itself"))

    def repair(self, key: str) -> None:
        """A person comes and makes it work."""
        fault = self.players[key].fault
        if fault is not None:
            self._end(fault, "person")

    def _end(self, fault: Fault, by: str) -> None:
        player = self.players[fault.player]
        if player.fault is fault:
            player.fault = None
            fault.end, fault.ended_by = self.now, by
            self._look(player)

    # --- outages -------------------------------------------------------------------------------
    def trouble(
        self, kind: str, subject: str, *, lasts: float, on: Callable[[], None], off: Callable[[], None]
    ) -> None:
        """Something else goes wrong for a while."""
        self.troubles.append(Trouble(kind, subject, self.now, self.now + lasts))
        on()
        self.at(self.now + lasts, off)

    def cut_mains(self, site: str, *, lasts: float) -> None:
        if self.sites[site].mains:
            self.trouble(
                "mains",
                site,
                lasts=lasts,
                on=lambda: self._mains(site, on=False),
                off=lambda: self._mains(site, on=True),
            )

    def _mains(self, site: str, *, on: bool) -> None:
        self.sites[site].mains = on
        for player in self._of_site(site):
            if on:
                self._start(player)
            elif player.fault is not None and player.fault.kind == "hang":
                self._end(player.fault, "mains")
            self._look(player)
        for socket in self.sockets.values():
            if socket.site == site:
                text = "MAINS OK" if on else "MAINS LOST"
                self.at(
                    self.now + 0.2, lambda number=socket.number, text=text: self.texts.append((number, text))
                )

    def cut_network(self, site: str, *, lasts: float) -> None:
        if self.sites[site].network:
            self.trouble(
                "network",
                site,
                lasts=lasts,
                on=lambda: self._network(site, on=False),
                off=lambda: self._network(site, on=True),
            )

    def _network(self, site: str, *, on: bool) -> None:
        self.sites[site].network = on
        for player in self._of_site(site):
            self._look(player)

    def _of_site(self, site: str) -> Iterator[Player]:
        return (player for player in self.players.values() if player.site == site)

    def break_cms(self, cms: str, mode: str, *, lasts: float) -> None:
        if self.cms_mode[cms] == "ok":
            self.trouble(
                f"cms_{mode}", cms, lasts=lasts,
                on=lambda: self.cms_mode.update({cms: mode}), off=lambda: self.cms_mode.update({cms: "ok"}),
            )  # fmt: skip

    def troubled(self, kind: str, subject: str, start: float, end: float) -> bool:
        """Whether such a trouble touched the time between ``start`` and ``end``; kinds match by their beginning."""
        return any(
            one.kind.startswith(kind)
            and one.subject in (subject, "*")
            and one.start <= end
            and one.end >= start
            for one in self.troubles
        )

    # --- SMS -----------------------------------------------------------------------------------
    def accept_sms(self, number: str, text: str, *, platform: str, lost: bool) -> None:
        """A gateway lets an SMS out."""
        socket = self.sockets.get(number)
        works = socket is not None and self.sites[socket.site].mains and not lost
        self.sms.append(Sms(self.now, number, text, platform, works))
        command = CYCLE.fullmatch(text)
        if not works or command is None or socket is None:
            return
        minutes = int(command[1])
        socket.cut_until = self.now + minutes
        for player in self.fed_by(number):
            if player.fault is not None and player.fault.kind == "hang":
                self._end(player.fault, "power cycle")
            self._look(player)
        self.at(socket.cut_until, lambda: self._power_back(socket))
        if self.random.random() > 0.05:
            reply = f"OUT1 OFF {minutes} MIN"
            self.at(self.now + REPLY, lambda: self.texts.append((number, reply)))

    def _power_back(self, socket: Socket) -> None:
        for player in self.fed_by(socket.number):
            self._start(player)

    def _start(self, player: Player) -> None:
        player.boots_until = self.now + BOOT
        self._look(player)
        self.at(player.boots_until, lambda: self._look(player))
