"""What simulated sockets say: one dialect per family of models, pure.

The texts that vendors publish are used as they stand; where none is public, the plain sentences of
REMOSA's own ``Dialect`` stand in for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Outputs = Mapping[int, bool]


def output_text(lines: Outputs) -> str:
    """``OUT1 ON; OUT2 OFF``."""
    return "; ".join(f"OUT{line} {'ON' if on else 'OFF'}" for line, on in sorted(lines.items()))


@dataclass(frozen=True)
class Dialect:
    """The sentences of one family; these are REMOSA's own."""

    accepted: str = "OK"
    bad_command: str = "ERR FORMAT"
    not_authorised: str = "ERR NOT ADMIN"
    wrong_password: str = "ERR PASSWORD"  # noqa: S105  a sentence
    list_full: str = "ERR FULL"
    mains_lost: str = "MAINS LOST"
    mains_back: str = "MAINS OK"

    def switched(self, lines: Outputs) -> str:
        """These outputs were switched now."""
        return output_text(lines)

    def for_a_time(self, lines: Outputs, minutes: int) -> str:
        """These outputs were switched, and will be switched back."""
        return f"{output_text(lines)} {minutes} MIN" if minutes else f"{output_text(lines)}, RESTART"

    def later(self, outputs: Outputs, *, on: bool, minutes: int) -> str:
        """A delayed change was armed; ``outputs`` are as they are now."""
        return self.accepted

    def status(self, outputs: Outputs, *, mains: bool, temperature_c: int, signal: int) -> str:
        """The answer to a status query."""
        power = self.mains_back if mains else self.mains_lost
        return f"{output_text(outputs)}; T={temperature_c}C; {power}; GSM {signal}"


@dataclass(frozen=True)
class GsmSocket(Dialect):
    """The OEM "GSM power socket"."""

    bad_command: str = "Invalid format, please check and try again later."
    not_authorised: str = "No authorisation user."

    def later(self, outputs: Outputs, *, on: bool, minutes: int) -> str:
        change = "open" if on else "close"
        state = self.status(outputs, mains=True, temperature_c=0, signal=0)
        return f"{state}\nDelay control: function ON\nThe switch will {change} after {minutes} minutes!"

    def status(self, outputs: Outputs, *, mains: bool, temperature_c: int, signal: int) -> str:
        return f"Status: {'ON' if outputs[1] else 'OFF'}"


@dataclass(frozen=True)
class ISocket(Dialect):
    """iSocket 706 and 707."""

    bad_command: str = "command - Error!"
    not_authorised: str = "Invalid access password!"

    def switched(self, lines: Outputs) -> str:
        if set(lines) != {1}:
            return super().switched(lines)
        return f"Power socket {'ON' if lines[1] else 'OFF'}"

    def for_a_time(self, lines: Outputs, minutes: int) -> str:
        if set(lines) != {1} or not minutes:
            return super().for_a_time(lines, minutes)
        return f"Power {'ON' if lines[1] else 'OFF'} for {minutes} min"


OURS = Dialect()
DIALECTS = {"GSM-SOCKET": GsmSocket(), "ISOCKET-706": ISocket()}


def dialect_of(model: str) -> Dialect:
    """How sockets of ``model`` speak."""
    return DIALECTS.get(model, OURS)
