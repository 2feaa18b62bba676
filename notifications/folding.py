"""When many notices become one message. Pure.

A storm must not bury a person: of one platform and by one channel each gets a few messages by themselves, then one
that lists the rest, and after that none before the window is over. The console is no channel that is folded:
there each notice stands by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

WINDOW = timedelta(minutes=10)
ALONE = 3  # messages within the window that carry one notice each


@dataclass(frozen=True)
class Plan:
    """What becomes of what waits: sent ``singly``, ``together`` in one message, or ``later``, at ``at``."""

    how: Literal["singly", "together", "later"]
    at: datetime | None = None


def plan(waiting: int, sent: Sequence[datetime], *, now: datetime) -> Plan:
    """For ``waiting`` notices to one person, after the messages that left at the times ``sent``."""
    lately = [at for at in sent if at > now - WINDOW]
    if len(lately) + waiting <= ALONE:
        return Plan("singly")
    if len(lately) <= ALONE:
        return Plan("together")
    return Plan("later", min(lately) + WINDOW)
