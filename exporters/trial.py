"""Try an exporter's settings out on the real CMS: one small round that stores nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from exporters.errors import PollerError
from exporters.ports import Observation, Poller, PollSettings, RoundResult, Target, Trace
from remosa.lib.http import Door

DEADLINE_S = 10.0
SHOWN = 10
EXCERPT = 3000


@dataclass(frozen=True)
class Trial:
    """What came of it. ``trouble`` is a sentence or a reason; "" when the answer made sense."""

    trouble: str = ""
    request: str = ""
    answer: str = ""
    excerpt: str = ""
    seen: tuple[Observation, ...] = ()
    found: int = 0
    is_truncated: bool = False
    strange_words: tuple[str, ...] = ()
    errors: dict[str, int] = field(default_factory=dict)


def try_out(poller: Poller, settings: PollSettings, ids: Sequence[str]) -> Trial:
    """Ask for the first of ``ids``, or for whatever the CMS lists; raises nothing that a CMS can cause."""
    trace = Trace()
    deadline = min(settings.timeout_s, DEADLINE_S)
    asked = replace(settings, timeout_s=deadline, round_timeout_s=DEADLINE_S, trace=trace, is_cautious=True)
    try:
        result = asyncio.run(_ask(poller, asked, [Target(one) for one in ids[:SHOWN]]))
    except PollerError as exc:
        return Trial(trouble=str(exc))
    return Trial(
        trouble="" if result.upstream_ok else str(result.upstream_reason),
        request=trace.request,
        answer=trace.answer,
        excerpt=trace.body[:EXCERPT].decode(errors="replace"),
        seen=result.observations,
        found=len(result.found),
        is_truncated=result.is_truncated,
        strange_words=tuple(dict.fromkeys(trace.notes)),
        errors=dict(result.errors),
    )


async def _ask(poller: Poller, settings: PollSettings, targets: list[Target]) -> RoundResult:
    async with Door(limit=0) as door:
        result = await poller.poll(door, settings, targets)
        if targets or not result.found:
            return result
        some = await poller.poll(door, settings, result.found[:SHOWN])
        return replace(some, found=result.found, is_truncated=result.is_truncated)
