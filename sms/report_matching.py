"""Which of our parts a status report means. Pure: no database, no clock, no log.

The network names a part by ``mr``, a number from 0 to 255 that wraps and may begin anew with the modem;
so the number called and the times decide too. A part whose ``mr`` never reached us (the line broke after
the body) is meant only by a report that fits nothing else and was taken over about when it left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SURE = timedelta(hours=1)  # service centres whose clocks are further off than this are not believed about it
EARLIEST, LATEST = timedelta(minutes=-2), timedelta(minutes=10)  # of a take-over, seen from our hand-over


@dataclass(frozen=True)
class Candidate:
    """A part to the number that the report names. ``mr`` None: nobody knows whether it was taken over."""

    key: int
    mr: int | None
    handed_at: datetime
    is_settled: bool = False


def match(mr: int, sent_at: datetime | None, candidates: Sequence[Candidate]) -> int | None:
    """The key of the part that is meant; None when none is, or when it cannot be told."""
    same = [found for found in candidates if found.mr == mr]
    if sent_at is None:
        return max(same, key=lambda found: found.handed_at).key if same else None
    nearest = min(same, key=lambda found: abs(sent_at - found.handed_at), default=None)
    if nearest is not None and abs(sent_at - nearest.handed_at) <= SURE:
        return nearest.key
    lost = [
        found
        for found in candidates
        if found.mr is None and not found.is_settled and EARLIEST <= sent_at - found.handed_at <= LATEST
    ]
    if len(lost) == 1:
        return lost[0].key
    return nearest.key if nearest is not None and not lost else None
