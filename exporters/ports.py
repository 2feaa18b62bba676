"""The port that a kind of CMS implements, and the plain values that cross it.

Retrieving and parsing are apart: a poller moves bytes, a pure function beside it reads them. Three
answers exist for a device, and *unknown* is what remains when nobody could say: it is never *offline*.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from exporters.errors import Reason

if TYPE_CHECKING:  # the pure modules share these values, and have no use for an HTTP client
    from remosa.lib.http import Door

Fact = str | int | datetime


class Status(StrEnum):
    """What a CMS said of a device's connection, or that it did not say."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """A device as the CMS knows it: ``external_id`` is the key there, ``name`` is only for people."""

    external_id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One device in one round.

    ``facts`` holds only what this answer said, so it is empty when nothing was answered: ``name``, ``ip``,
    ``outip``, ``player_version``, ``time_zone``, ``activation_state`` (words), ``player_status`` (1 plays,
    0 does not), ``last_online_at`` (aware UTC). ``reason`` is "" unless the status is unknown.
    """

    external_id: str
    status: Status
    facts: Mapping[str, Fact] = field(default_factory=dict)
    reason: Reason | str = ""


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How one exporter is polled. ``timeout_s`` bounds a request, ``round_timeout_s`` the whole round."""

    base_url: str
    secret: str = field(default="", repr=False)
    timeout_s: float = 15.0
    concurrency: int = 10
    round_timeout_s: float = 120.0
    discover: bool = True


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one round brought: exactly one observation per target, in the order of the targets.

    ``found`` are devices that the CMS named and that are no targets. ``errors`` counts by reason, once per
    failed request and once per device with a reason of its own. ``upstream_ok`` says that at least one answer
    was understood (or that there was nothing to ask); ``exporters.rounds`` makes the final judgement.
    ``complete`` is False when a part could not be read, so that absence proves nothing.
    """

    observations: tuple[Observation, ...]
    found: tuple[Target, ...]
    errors: Counter[str]
    upstream_ok: bool
    upstream_reason: Reason | str
    complete: bool
    duration_s: float


class Poller(Protocol):
    """One kind of CMS. Stateless: one instance serves every exporter of its kind."""

    fields: tuple[str, ...]
    secret_fields: tuple[str, ...]
    discovers: bool

    def normalise_id(self, text: str) -> str:
        """The one spelling of a device's id that is stored; ValueError with a sentence when it is none."""

    async def poll(self, door: "Door", settings: PollSettings, targets: Sequence[Target]) -> RoundResult:
        """Ask for every target, in the given order; raises ``PollerError`` and nothing else.

        Targets that the round had no time for, or that came after the CMS asked us to slow down, are unknown:
        give those with the oldest observation first, then none of them waits for ever.
        """
