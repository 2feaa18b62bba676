"""How a simulated socket obeys one SMS: pure, and as strict as the catalogue.

Given the socket's state and an understood command it says what to switch, now or later, and what
to answer, in its model's dialect. Time, radio and players belong to the world.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from remosa.simulator.dialects import Dialect, dialect_of
from remosa.simulator.fleet import SocketSpec

FACTORY_PASSWORD = "1234"  # noqa: S105  printed in the manual
MAX_USERS = 10
RESTART_MINUTES = 1  # of a power cycle whose length stands in the socket itself


@dataclass(frozen=True)
class Understood:
    """One command as the socket reads it, in the words of the catalogue; ``line`` 0 means all outputs."""

    key: str
    category: str
    power: str = ""
    line: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)


Understand = Callable[[str, str], Understood | None]  # (model, text) -> what the catalogue makes of it


@dataclass(frozen=True)
class Change:
    """Switch ``line`` after so many minutes; 0 is now. A later change replaces the armed one of its line."""

    line: int
    on: bool
    after_minutes: int = 0


@dataclass(frozen=True)
class Obeyed:
    """What one SMS did: the answer, the switching, and whether armed delays were dropped."""

    reply: str
    changes: tuple[Change, ...] = ()
    drops_delays: bool = False


@dataclass
class Socket:
    """The state of one socket: what it knows and what its outputs do."""

    spec: SocketSpec
    admin: str | None
    outputs: dict[int, bool] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    mains: bool = True
    mains_sms: bool = True
    temperature_c: int = 23
    signal: int = 21

    def __post_init__(self) -> None:
        self.outputs = {line: True for line in self.spec.lines}

    @property
    def dialect(self) -> Dialect:
        return dialect_of(self.spec.model)

    def feeds(self, line: int) -> bool:
        """Whether current flows to what hangs on ``line``."""
        return self.mains and self.outputs[line]


def obey(socket: Socket, *, sender: str, command: Understood | None) -> Obeyed:
    """Apply one SMS to what the socket knows, and say what it switches and answers.

    A stranger gets no effect; a user's number may switch and ask, only the administrator may
    configure. Outputs are left to the caller, who owns the clock.
    """
    say = socket.dialect
    if command is not None and command.key == "register_admin" and socket.admin is None:
        socket.admin = sender
        return Obeyed(say.accepted)
    if not _may(socket, sender, command):
        return Obeyed(say.not_authorised)
    if command is None:
        return Obeyed(say.bad_command)
    if command.category in ("numbers", "notices", "danger"):
        return _configure(socket, command)
    if command.category == "status":
        return Obeyed(_status(socket, command))
    if command.key == "delay_off":
        return Obeyed(say.accepted, drops_delays=True)
    return _switch(socket, command)


def _may(socket: Socket, sender: str, command: Understood | None) -> bool:
    if sender == socket.admin:
        return True
    return sender in socket.users and command is not None and command.category in ("power", "delay", "status")


def _configure(socket: Socket, command: Understood) -> Obeyed:
    say = socket.dialect
    if command.key in ("add_user", "add_users", "add_users_level2"):
        users = socket.users | set(command.params.get("phones") or [command.params["phone"]])
        if len(users) > MAX_USERS:
            return Obeyed(say.list_full)
        socket.users = users
    elif command.key == "remove_user":
        socket.users.discard(command.params["phone"])
    elif command.key == "remove_all_users":
        socket.users.clear()
    elif command.key == "change_admin":
        socket.admin = command.params["phone"]
    elif command.key in ("mains_sms_on", "mains_sms_off"):
        socket.mains_sms = command.key == "mains_sms_on"
    elif command.key == "factory_reset":
        if str(command.params.get("password", FACTORY_PASSWORD)) != FACTORY_PASSWORD:
            return Obeyed(say.wrong_password)
        socket.admin, socket.mains_sms = None, True
        socket.users.clear()
        return Obeyed(say.accepted, drops_delays=True)
    return Obeyed(say.accepted)


def _status(socket: Socket, command: Understood) -> str:
    if command.key != "status":
        return socket.dialect.accepted
    return socket.dialect.status(
        socket.outputs, mains=socket.mains, temperature_c=socket.temperature_c, signal=socket.signal
    )


def _switch(socket: Socket, command: Understood) -> Obeyed:
    say = socket.dialect
    if "slave" in command.params:
        return Obeyed(say.accepted)  # another socket, that this world does not have
    lines = (command.line,) if command.line in socket.spec.lines else socket.spec.lines
    minutes = int(command.params.get("minutes", 0))
    if command.power in ("on", "off"):
        on = command.power == "on"
        return Obeyed(say.switched(dict.fromkeys(lines, on)), tuple(Change(line, on) for line in lines))
    if command.power in ("cycle", "on_then_off"):
        first = command.power == "on_then_off"
        back = minutes or RESTART_MINUTES
        changes = [
            change for line in lines for change in (Change(line, first), Change(line, not first, back))
        ]
        return Obeyed(say.for_a_time(dict.fromkeys(lines, first), minutes), tuple(changes))
    if command.power in ("on_later", "off_later"):
        on = command.power == "on_later"
        answer = say.later(socket.outputs, on=on, minutes=minutes)
        return Obeyed(answer, tuple(Change(line, on, minutes) for line in lines))
    return Obeyed(say.accepted)  # schedules, thermostat, sensors: accepted, and without effect in this world
