"""What ``devices`` asks of the apps above it: a way to carry commands, and guards that may object."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from devices.models import Command, Device


@dataclass(frozen=True)
class Quote:
    """What sending would cost: ``segments`` of SMS, ``price`` in ``currency``, the ``lane`` it waits in."""

    segments: int
    price: Decimal
    currency: str
    lane: str


class CommandTransport(Protocol):
    """Carries a command to its device. Implementations are named in ``settings.COMMAND_TRANSPORTS``."""

    def send(self, command: "Command", *, now: datetime) -> None:
        """Put the command on its way, inside the caller's transaction: nothing leaves before the commit.

        Raises TransportRefused, nothing else. Outcomes come back through ``devices.services``
        (``record_sent``, ``record_delivery``, ``record_reply`` ...), safe to repeat in any order.
        """

    def cancel(self, command: "Command", *, now: datetime) -> bool:
        """Take back what has not left yet; False when it is too late."""

    def quote(self, command: "Command") -> Quote:
        """What it would cost, without sending anything."""

    def lately(self, device: "Device", *, since: datetime) -> list[datetime]:
        """When commands of jobs took the way that one to ``device`` would take now, or wait for it; oldest first."""


class CommandGuard(Protocol):
    """Asked inside the transaction of the barrier, the last moment before the first byte leaves."""

    def __call__(self, command: "Command", *, now: datetime) -> str | None:
        """None lets it pass; a word of a closed list objects (``kill_switch_platform``, ``case_closed``)."""
