"""From which of our numbers a socket takes commands. Pure: no database, no clock, no log.

A GSM socket obeys the numbers that were written into it, and drops what comes from others in silence. The
numbers that it knows are kept in the device's label ``senders``, with commas. Without that label nobody
has said anything about it: then only the number of the first gateway counts as known.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from remosa.lib.phones import normalise_msisdn

LABEL = "senders"
SEPARATOR = re.compile(r"[,;\s]+")


class Sending(Protocol):
    """What this module wants to know of a gateway."""

    sender_msisdn: str


Row = TypeVar("Row", bound=Sending)


def recorded(labels: Mapping[str, Any]) -> frozenset[str]:
    """The numbers that a device is recorded to obey, E.164; what is no number is left out."""
    value = labels.get(LABEL) if isinstance(labels, Mapping) else None
    words = value if isinstance(value, list) else SEPARATOR.split(value) if isinstance(value, str) else []
    return frozenset(filter(None, map(_number, words)))


def accepted(rows: Sequence[Row], numbers: frozenset[str]) -> list[Row]:
    """Those of ``rows`` (in the order of trying) whose number is among ``numbers``.

    Without numbers: the first one, and others that send from the same known number.
    """
    if not numbers and rows:
        known = _number(rows[0].sender_msisdn)
        return [row for row in rows if row is rows[0] or (known and _number(row.sender_msisdn) == known)]
    return [row for row in rows if _number(row.sender_msisdn) in numbers]


def _number(text: Any) -> str:
    try:
        return normalise_msisdn(text) if isinstance(text, str) and text else ""
    except ValueError:
        return ""
