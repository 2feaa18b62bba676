"""Put an exposition together from what the last rounds left: a handful of joins, once per second at the most.

The families of devices were rendered and deflated when their round was stored; only the ages and
the other self-metrics are rendered for the scrape. They are as of the end of the running second, so
that whoever asks within it is served the same bytes, and no age is ever told too young.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache

from exporters.compression import Segment, gzip_of, plain_of, segment
from exporters.exposition import (
    ExporterRow,
    end_mark,
    heading,
    in_order,
    is_value,
    merge,
    render_exporters,
)

BODY_BYTES = 64 * 1024 * 1024


class Bodies:
    """The bodies that were served last, by validator; shared by a process's threads."""

    def __init__(self, max_bytes: int = BODY_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._kept: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def body(self, validator: str, moment: datetime, make: Callable[[], bytes]) -> bytes:
        """The body of this validator as of ``moment``; made when nobody has asked for it yet."""
        with self._lock:
            kept = self._kept.get(validator)
            if kept is not None and kept[0] == moment:
                self._kept.move_to_end(validator)
                return kept[1]
        body = make()
        with self._lock:
            if old := self._kept.pop(validator, None):
                self._bytes -= len(old[1])
            self._kept[validator] = (moment, body)
            self._bytes += len(body)
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                _validator, (_moment, dropped) = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
        return body


def end_of_second(now: datetime) -> datetime:
    """The moment that the ages of a scrape are as of."""
    return now.replace(microsecond=0) + timedelta(seconds=1)


def exposition_of(
    exporters: Sequence[tuple[ExporterRow, Mapping[str, Segment]]],
    *,
    now: datetime,
    openmetrics: bool,
    compressed: bool,
) -> bytes:
    """The whole body: self-metrics as of ``now``, then each family of all exporters in one place.

    Of a snapshot that is too old only what does not claim a present value is shown.
    """
    own = merge(render_exporters([row for row, _parts in exporters], now=now), openmetrics=openmetrics)
    pieces = [segment([own], level=1)]
    shown = [
        {name: lines for name, lines in parts.items() if not (row.is_stale(now) and is_value(name))}
        for row, parts in exporters
    ]
    for name in in_order(name for parts in shown for name in parts):
        pieces += [_heading(name, openmetrics), *(parts[name] for parts in shown if name in parts)]
    pieces.append(_end(openmetrics))
    return gzip_of(pieces) if compressed else plain_of(pieces)


@lru_cache(maxsize=4096)
def _heading(name: str, openmetrics: bool) -> Segment:
    return segment([heading(name, openmetrics=openmetrics)])


@cache
def _end(openmetrics: bool) -> Segment:
    return segment([end_mark(openmetrics=openmetrics)])


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110 12.5.3); nonsense does not."""
    weights = {}
    for offer in header[:1024].lower().split(","):
        coding, _separator, parameters = offer.partition(";")
        weights[coding.strip()] = _weight(parameters)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(parameters: str) -> float:
    name, _equals, value = parameters.replace(" ", "").partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
