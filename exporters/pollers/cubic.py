"""Cubic: one GET per player, by its MAC (the address of the API is the exporter's).

``GET {base}/api/v0.1/players/status-check?mac=aa:bb:cc:dd:ee:ff`` answers a list; the first entry
has ``status`` ("online" or "offline"), ``name``, ``ip`` and ``outIp``. An empty list says that
Cubic does not know the player, which is not the same as offline.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from exporters.errors import UPSTREAM_REASONS, AskError, ParseError, Reason
from exporters.macs import normalise_mac
from exporters.pollers.answers import Asker, check_settings, clean_text, each, read_json, round_result
from exporters.ports import Fact, Observation, PollSettings, RoundResult, Status, Target
from remosa.lib.http import Door

PATH = "/api/v0.1/players/status-check"
MAX_BYTES = 64 * 1024
FACTS = {"name": "name", "ip": "ip", "outIp": "outip"}  # theirs -> ours


class CubicPoller:
    """The poller of kind ``cubic``; see ``exporters.ports.Poller``."""

    fields = ("base_url",)
    secret_fields: tuple[str, ...] = ()
    discovers = False

    def faults(self, config: Mapping[str, Any]) -> dict[str, str]:
        """There are no further settings."""
        return {}

    def normalise_id(self, text: str) -> str:
        """A MAC as ``aa:bb:cc:dd:ee:ff``."""
        return normalise_mac(text)

    async def poll(self, door: Door, settings: PollSettings, targets: Sequence[Target]) -> RoundResult:
        """Ask for each player on its own, ``settings.concurrency`` at once."""
        check_settings(settings, needs_secret=False)
        asker = Asker(door, settings, max_bytes=MAX_BYTES)

        async def observe(target: Target) -> Observation:
            return await _observe(asker, target.external_id)

        observations = await each(targets, observe, settings)
        errors = Counter(str(seen.reason) for seen in observations if seen.reason)
        return round_result(
            observations,
            asker=asker,
            errors=errors,
            understood=not targets or any(seen.reason not in UPSTREAM_REASONS for seen in observations),
            complete=not any(seen.reason in UPSTREAM_REASONS for seen in observations),
        )


async def _observe(asker: Asker, external_id: str) -> Observation:
    """One player: an observation whatever happens on the way."""
    try:
        mac = normalise_mac(external_id)
    except ValueError:
        return Observation(external_id, Status.UNKNOWN, reason=Reason.BAD_ID)
    try:
        return parse_status(await asker.ask("GET", PATH, params={"mac": mac}), external_id=external_id)
    except (AskError, ParseError) as exc:
        return Observation(external_id, Status.UNKNOWN, reason=exc.reason)


def parse_status(body: bytes, *, external_id: str) -> Observation:
    """Read the answer for one player; ``ParseError`` when it is not a list of objects."""
    answer = read_json(body)
    if not isinstance(answer, list):
        raise ParseError(Reason.WRONG_SHAPE)
    if not answer:
        return Observation(external_id, Status.UNKNOWN, reason=Reason.NO_DATA)
    first = answer[0]
    if not isinstance(first, dict) or _speaks_of_another(first, external_id):
        raise ParseError(Reason.WRONG_SHAPE)
    facts: dict[str, Fact] = {}
    for theirs, ours in FACTS.items():
        if text := clean_text(first.get(theirs)):
            facts[ours] = text
    match first.get("status"):
        case "online":
            return Observation(external_id, Status.ONLINE, facts)
        case "offline":
            return Observation(external_id, Status.OFFLINE, facts)
        case _:
            return Observation(external_id, Status.UNKNOWN, facts, Reason.UNKNOWN_STATUS)


def _speaks_of_another(player: dict[str, object], external_id: str) -> bool:
    """Whether the answer names a MAC, and not the one asked for: a filter that was ignored answers the same
    player for every question."""
    try:
        return normalise_mac(str(player["mac"])) != normalise_mac(external_id)
    except (KeyError, ValueError):
        return False
