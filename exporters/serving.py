"""Put an exposition together from what the last rounds left. Pure; a handful of joins per scrape.

The families of devices were rendered and deflated when their round was stored; only the ages and
the other self-metrics are rendered for the scrape.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
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
    pieces = [segment(own, level=1)]
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
    return segment(heading(name, openmetrics=openmetrics))


@cache
def _end(openmetrics: bool) -> Segment:
    return segment(end_mark(openmetrics=openmetrics))


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
