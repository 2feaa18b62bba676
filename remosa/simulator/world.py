"""The simulated world: players that hang, sockets that cut their power, and the radio in between.

A state machine over an injected monotonic clock. Nothing runs by itself: every call first plays
all events that are due, each at its own time, so the world is exact however rarely it is asked,
and the same seed with the same calls gives the same story. No I/O; safe to share between threads.

    player:  up --hang--> hung            dark = no power at its line
             up, hung, booting --power cut--> dark --power back--> booting --boot time--> up

A hung player stays hung until its power is cut and returns.
"""

import heapq
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from remosa.simulator.faults import NO_FAULTS, Faults
from remosa.simulator.fleet import GATEWAY_MSISDN, DemoFleet, PlayerSpec, demo_fleet
from remosa.simulator.sockets import Change, Socket, Understand, obey

UP, HUNG, BOOTING, DARK = "up", "hung", "booting", "dark"
LEDGER_SIZE = 20_000


class Stranger(Exception):
    """There is no such player or socket in this world."""


class NotNow(Exception):
    """The player is not in a state that allows this."""


@dataclass(frozen=True)
class Habits:
    """How the world behaves by itself; all times in minutes of the world.

    With ``hangs`` a first player hangs after ``first_hang_minutes``, then another one about every
    ``hang_interval_minutes``: never two in one site or one CMS, at most ``max_hung`` at a time, and
    only on sockets of ``hang_models`` (their one-SMS cycle makes the shortest story).
    """

    hangs: bool = True
    first_hang_minutes: float = 8.0
    hang_interval_minutes: float = 45.0
    max_hung: int = 2
    hang_models: tuple[str, ...] = ("D210",)
    boot_minutes: float = 1.5
    announces_return: bool = False  # whether a socket also writes when a timed change is done


HABITS = Habits()
QUIET = Habits(hangs=False)  # players hang only when told to


@dataclass(frozen=True)
class LedgerEntry:
    """One SMS that the gateway accepted; ``copies`` is how often it reaches the number, 0 = lost."""

    n: int
    at: str
    elapsed_s: float
    sender: str
    number: str
    text: str
    copies: int


@dataclass(frozen=True)
class InboxMessage:
    """One SMS that waits in the gateway's inbox."""

    sender: str
    text: str
    at: datetime


@dataclass
class Player:
    """A living player; ``since`` is the wall time of its last change of state."""

    spec: PlayerSpec
    state: str
    since: datetime
    last_up_at: datetime  # meaningful while it is not up
    boot: int = 0  # counts starts, so that an interrupted boot never finishes


class World:
    """The demo fleet in motion.

    ``clock`` gives monotonic seconds, ``minute_s`` is how many of them the world's minute takes.
    ``understand`` reads an SMS text for a socket model by the command catalogue.
    """

    def __init__(
        self,
        *,
        understand: Understand,
        fleet: DemoFleet | None = None,
        minute_s: float = 60.0,
        seed: int = 1,
        clock: Callable[[], float] = time.monotonic,
        started_at: datetime | None = None,
        habits: Habits = HABITS,
        faults: Faults = NO_FAULTS,
        gateway_msisdn: str = GATEWAY_MSISDN,
    ) -> None:
        if minute_s <= 0:
            raise ValueError("minute_s must be positive.")
        self.fleet = fleet or demo_fleet()
        self.minute_s, self.habits, self.faults = minute_s, habits, faults
        self.gateway_msisdn = gateway_msisdn
        self.hangs_by_itself = habits.hangs
        self._understand, self._clock = understand, clock
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._zero = self._now = clock()
        self._started_at = started_at or datetime.now(UTC)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._delays: Counter[tuple[str, int]] = Counter()  # generation of the armed change per output
        self._armed: dict[tuple[str, int], tuple[float, bool]] = {}
        self._last_arrival: dict[tuple[str, str], float] = {}
        self._ledger: deque[LedgerEntry] = deque(maxlen=LEDGER_SIZE)
        self._accepted = 0
        self._inbox: deque[InboxMessage] = deque(maxlen=LEDGER_SIZE)
        self.sockets = {s.msisdn: Socket(s, admin=gateway_msisdn) for s in self.fleet.sockets}
        self.players = {p.id: Player(p, UP, self._wall(), self._wall()) for p in self.fleet.players}
        self._turns = self._shuffled_sockets()
        self._hangs_are_planned = False
        if habits.hangs:
            self._plan_first_hang()

    def _player(self, player_id: str) -> Player:
        if player_id not in self.players:
            raise Stranger(f"There is no player {player_id!r}.")
        return self.players[player_id]

    def _socket(self, msisdn: str) -> Socket:
        if msisdn not in self.sockets:
            raise Stranger(f"There is no socket {msisdn!r}.")
        return self.sockets[msisdn]

    # --- time ----------------------------------------------------------------------------------
    def advance(self) -> None:
        """Play every event that is due."""
        with self._lock:
            now = self._clock()
            while self._events and self._events[0][0] <= now:
                self._now, _, event = heapq.heappop(self._events)
                event()
            self._now = max(self._now, now)

    def _wall(self) -> datetime:
        return self._started_at + timedelta(seconds=self._now - self._zero)

    def _at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _after_minutes(self, minutes: float, event: Callable[[], None]) -> None:
        self._at(self._now + minutes * self.minute_s, event)

    # --- what the CMS may ask -------------------------------------------------------------------
    def is_online(self, player_id: str) -> bool:
        """Whether the player talks to its CMS at this moment."""
        with self._lock:
            self.advance()
            return self._player(player_id).state == UP

    def last_online_at(self, player_id: str) -> datetime:
        """Now for a player that is up, else the moment it was last seen up."""
        with self._lock:
            self.advance()
            player = self._player(player_id)
            return self._wall() if player.state == UP else player.last_up_at

    # --- what people do -------------------------------------------------------------------------
    def hang(self, player_id: str) -> None:
        """Freeze a player. Raises Stranger, and NotNow unless it is up."""
        with self._lock:
            self.advance()
            player = self._player(player_id)
            if player.state != UP:
                raise NotNow(f"Player {player_id} is {player.state}, only one that is up can hang.")
            self._become(player, HUNG)

    def recover(self, player_id: str) -> None:
        """Let a hung player come back by itself. Raises Stranger and NotNow like ``hang``."""
        with self._lock:
            self.advance()
            player = self._player(player_id)
            if player.state != HUNG:
                raise NotNow(f"Player {player_id} is {player.state}, only a hung one can recover.")
            self._become(player, UP)

    def set_mains(self, msisdn: str, on: bool) -> None:
        """Cut or return the mains of a socket; it reports the change when its notices are on."""
        with self._lock:
            self.advance()
            socket = self._socket(msisdn)
            if socket.mains == on:
                return
            socket.mains = on
            self._power_changed(socket)
            if socket.mains_sms and socket.admin:
                say = socket.dialect
                self._radio_from_socket(msisdn, socket.admin, say.mains_back if on else say.mains_lost)

    def set_admin(self, msisdn: str, admin: str | None) -> None:
        """Give a socket another administrator's number, or none."""
        with self._lock:
            self.advance()
            self._socket(msisdn).admin = admin

    def change_faults(self, wishes: Mapping[str, Any]) -> Faults:
        """Apply a partial change of faults; raises BadWish with a clear sentence."""
        with self._lock:
            self.advance()
            self.faults = self.faults.changed(wishes, sites=self.fleet.sites_by_slug)
            return self.faults

    def let_hang(self, by_itself: bool) -> None:
        """Switch the random hangs on or off; what hangs already stays so."""
        with self._lock:
            self.advance()
            self.hangs_by_itself = by_itself
            if by_itself and not self._hangs_are_planned:
                self._plan_first_hang()

    def describe(self) -> dict[str, Any]:
        """The whole world as JSON-ready facts, for the control page and for tests."""
        with self._lock:
            self.advance()
            return {
                "minute_s": self.minute_s,
                "elapsed_s": round(self._now - self._zero, 3),
                "hangs_by_itself": self.hangs_by_itself,
                "not_up": [p.spec.id for p in self.players.values() if p.state != UP],
                "players": [self.describe_player(player_id) for player_id in self.players],
                "sockets": [self.describe_socket(msisdn) for msisdn in self.sockets],
                "faults": asdict(self.faults),
                "accepted_sms": self._accepted,
                "inbox_waiting": len(self._inbox),
            }

    def describe_player(self, player_id: str) -> dict[str, Any]:
        """One player: its description, ``state`` and ``since``. Raises Stranger."""
        with self._lock:
            self.advance()
            player = self._player(player_id)
            return asdict(player.spec) | {"state": player.state, "since": player.since.isoformat()}

    def describe_socket(self, msisdn: str) -> dict[str, Any]:
        """One socket: outputs, mains, and what is armed in how many real seconds. Raises Stranger."""
        with self._lock:
            self.advance()
            socket = self._socket(msisdn)
            armed = [
                {"line": line, "on": on, "in_s": round(due - self._now, 3)}
                for (number, line), (due, on) in sorted(self._armed.items())
                if number == msisdn
            ]
            return asdict(socket.spec) | {
                "outputs": {str(line): on for line, on in socket.outputs.items()},
                "mains": socket.mains,
                "admin": socket.admin,
                "armed": armed,
            }

    # --- SMS ------------------------------------------------------------------------------------
    def accept_sms(self, number: str, text: str, *, sender: str | None = None) -> LedgerEntry:
        """Take an SMS from the gateway (or, with ``sender``, from a stranger's phone) on its way."""
        with self._lock:
            self.advance()
            sender = sender or self.gateway_msisdn
            faults = self.faults
            copies = 0 if self._happens(faults.sms_loss_ratio) else 1
            copies += bool(copies) and self._happens(faults.sms_duplicate_ratio)
            self._accepted += 1
            entry = LedgerEntry(
                n=self._accepted,
                at=self._wall().isoformat(),
                elapsed_s=round(self._now - self._zero, 3),
                sender=sender,
                number=number,
                text=text,
                copies=copies,
            )
            self._ledger.append(entry)
            for _ in range(copies):
                arrival = self._arrival(
                    sender, number, minutes=faults.sms_delay_minutes, reorder=faults.sms_reorder_ratio
                )
                self._at(arrival, lambda: self._reach_socket(sender, number, text))
            return entry

    def put_in_inbox(self, sender: str, text: str) -> None:
        """An SMS from anybody reaches the gateway now."""
        with self._lock:
            self.advance()
            self._inbox.append(InboxMessage(sender, text, self._wall()))

    def read_inbox(self) -> list[InboxMessage]:
        """Take what has arrived, oldest first; like the real gateway, reading empties it."""
        with self._lock:
            self.advance()
            messages = list(self._inbox)
            self._inbox.clear()
            return messages

    def ledger(self) -> list[LedgerEntry]:
        """Every SMS that the gateway accepted, oldest first (the last 20 000)."""
        with self._lock:
            self.advance()
            return list(self._ledger)

    def _happens(self, ratio: float) -> bool:
        return self._random.random() < ratio

    def _arrival(self, sender: str, number: str, *, minutes: float, reorder: float) -> float:
        """When a message gets there: in the order of sending per pair, unless it is reordered."""
        arrival = self._now + minutes * self.minute_s * self._random.uniform(0.5, 1.5)
        if self._happens(reorder):
            return arrival + self.minute_s * self._random.uniform(0.2, 1.0)
        pair = (sender, number)
        arrival = max(arrival, self._last_arrival.get(pair, arrival))
        self._last_arrival[pair] = arrival
        return arrival

    def _reach_socket(self, sender: str, number: str, text: str) -> None:
        socket = self.sockets.get(number)
        if socket is None:
            return
        obeyed = obey(socket, sender=sender, command=self._understand(socket.spec.model, text))
        if obeyed.drops_delays:
            for line in socket.spec.lines:
                self._disarm(number, line)
        for change in obeyed.changes:
            self._switch(socket, change)
        self._radio_from_socket(number, sender, obeyed.reply)

    def _radio_from_socket(self, number: str, recipient: str, text: str) -> None:
        if recipient != self.gateway_msisdn or self._happens(self.faults.reply_loss_ratio):
            return
        minutes, reorder = self.faults.reply_delay_minutes, self.faults.reply_reorder_ratio
        if self._happens(self.faults.reply_late_ratio):
            minutes = self.faults.late_minutes
        for _ in range(1 + self._happens(self.faults.reply_duplicate_ratio)):
            arrival = self._arrival(number, recipient, minutes=minutes, reorder=reorder)
            self._at(arrival, lambda: self._inbox.append(InboxMessage(number, text, self._wall())))

    # --- power ----------------------------------------------------------------------------------
    def _switch(self, socket: Socket, change: Change) -> None:
        if change.after_minutes == 0:
            socket.outputs[change.line] = change.on
            self._power_changed(socket)
            return
        key = (socket.spec.msisdn, change.line)
        self._disarm(*key)
        generation = self._delays[key]
        due = self._now + change.after_minutes * self.minute_s
        self._armed[key] = (due, change.on)
        self._at(due, lambda: self._switch_later(socket, change, generation))

    def _disarm(self, msisdn: str, line: int) -> None:
        self._delays[msisdn, line] += 1
        self._armed.pop((msisdn, line), None)

    def _switch_later(self, socket: Socket, change: Change, generation: int) -> None:
        key = (socket.spec.msisdn, change.line)
        if self._delays[key] != generation:
            return
        self._disarm(*key)
        self._switch(socket, Change(change.line, change.on))
        if self.habits.announces_return and socket.admin:
            text = socket.dialect.switched({change.line: change.on})
            self._radio_from_socket(socket.spec.msisdn, socket.admin, text)

    def _power_changed(self, socket: Socket) -> None:
        for spec in self.fleet.players_of(socket.spec.msisdn):
            player, powered = self.players[spec.id], socket.feeds(spec.line)
            if not powered and player.state != DARK:
                self._become(player, DARK)
            elif powered and player.state == DARK:
                self._start(player)

    def _start(self, player: Player) -> None:
        player.boot += 1
        boot = player.boot
        self._become(player, BOOTING)
        self._after_minutes(
            self.habits.boot_minutes * self._random.uniform(0.9, 1.1), lambda: self._started(player, boot)
        )

    def _started(self, player: Player, boot: int) -> None:
        if player.state == BOOTING and player.boot == boot:
            self._become(player, UP)

    def _become(self, player: Player, state: str) -> None:
        now = self._wall()
        if player.state == UP:
            player.last_up_at = now
        player.state, player.since = state, now

    # --- hangs by themselves --------------------------------------------------------------------
    def _plan_first_hang(self) -> None:
        self._hangs_are_planned = True
        self._after_minutes(self.habits.first_hang_minutes, self._hang_somebody)

    def _shuffled_sockets(self) -> deque[str]:
        names = [s.msisdn for s in self.fleet.sockets if s.model in self.habits.hang_models]
        self._random.shuffle(names)
        return deque(names)

    def _hang_somebody(self) -> None:
        interval = self.habits.hang_interval_minutes * self._random.uniform(0.7, 1.3)
        self._after_minutes(interval, self._hang_somebody)
        hung = [player.spec for player in self.players.values() if player.state == HUNG]
        if not self.hangs_by_itself or len(hung) >= self.habits.max_hung:
            return
        for _ in range(len(self._turns)):  # each socket in its turn, so that nobody is hit twice in a row
            self._turns.rotate(-1)
            victims = self._victims(self._turns[-1], hung)
            if victims:
                self._become(self._random.choice(victims), HUNG)
                return

    def _victims(self, msisdn: str, hung: list[PlayerSpec]) -> list[Player]:
        """Players of a healthy socket, unless their site or CMS already has a hung one."""
        players = [self.players[spec.id] for spec in self.fleet.players_of(msisdn)]
        if any(player.state != UP for player in players):
            return []
        sites, cms = {spec.site for spec in hung}, {spec.cms for spec in hung}
        return [p for p in players if p.spec.site not in sites and p.spec.cms not in cms]
