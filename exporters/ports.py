"""The port that a kind of CMS implements, and the plain values that cross it.

Retrieving and parsing are apart: a poller moves bytes, a pure function beside it reads them. Three
answers exist for a device, and *unknown* is what remains when nobody could say: it is never *offline*.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from exporters.errors import Reason

if TYPE_CHECKING:  # the pure modules share these values, and have no use for an HTTP client
    from remosa.lib.http import Door

Fact = str | int | float | datetime


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
    0 does not), ``last_online_at`` (aware UTC), and whatever the settings of a generic kind name.
    ``reason`` is "" unless the status is unknown.
    """

    external_id: str
    status: Status
    facts: Mapping[str, Fact] = field(default_factory=dict)
    reason: Reason | str = ""


@dataclass(slots=True)
class Progress:
    """How far a round is: questions that have an answer, or a reason for none, of all of them."""

    done: int = 0
    total: int = 0


@dataclass(slots=True)
class Trace:
    """What the last request and its answer were, for a person who tries settings out."""

    request: str = ""
    answer: str = ""
    body: bytes = b""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How one exporter is polled. ``timeout_s`` bounds a request, ``round_timeout_s`` the whole round.

    ``rate_per_s`` bounds the requests per second, 0 does not. ``is_cautious``: the last rounds failed, so one
    question goes ahead of the others. ``config`` is what a generic kind needs to know besides.
    """

    base_url: str
    secret: str = field(default="", repr=False)
    timeout_s: float = 15.0
    concurrency: int = 10
    round_timeout_s: float = 120.0
    discover: bool = True
    rate_per_s: float = 0.0
    is_cautious: bool = False
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    progress: Progress = field(default_factory=Progress, repr=False, compare=False)
    trace: Trace | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one round brought: exactly one observation per target, in the order of the targets.

    ``found`` are devices that the CMS named and that are no targets. ``errors`` counts by reason, once per
    failed request and once per device with a reason of its own. ``upstream_ok`` says that at least one answer
    was understood (or that there was nothing to ask); ``exporters.rounds`` makes the final judgement.
    ``complete`` is False when a part could not be read, so that absence proves nothing; ``is_truncated`` when
    the CMS may have more devices than its list shows. ``latency_s`` is the median time of an answer.
    """

    observations: tuple[Observation, ...]
    found: tuple[Target, ...]
    errors: Counter[str]
    upstream_ok: bool
    upstream_reason: Reason | str
    complete: bool
    duration_s: float
    is_truncated: bool = False
    latency_s: float | None = None


class Poller(Protocol):
    """One kind of CMS. Stateless: one instance serves every exporter of its kind."""

    fields: tuple[str, ...]
    secret_fields: tuple[str, ...]
    discovers: bool

    def faults(self, config: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the settings of this kind: {name: sentence}."""

    def normalise_id(self, text: str) -> str:
        """The one spelling of a device's id that is stored; ValueError with a sentence when it is none."""

    async def poll(self, door: "Door", settings: PollSettings, targets: Sequence[Target]) -> RoundResult:
        """Ask for every target, in the given order; raises ``PollerError`` and nothing else.

        Targets that the round had no time for, or that came after the CMS asked us to slow down, are unknown:
        give those with the oldest observation first, then none of them waits for ever.
        """
