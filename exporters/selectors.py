"""Read what ``/metrics`` serves. Nothing here writes, and nothing asks a CMS."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import FilteredRelation, Q

from exporters.compression import Segment
from exporters.exposition import ExporterRow
from exporters.models import Exporter, Snapshot
from exporters.models.exporters import max_age_of
from platforms import tokens
from platforms.models import ApiToken
from remosa.lib.planned import PlannedQuery

CACHE_BYTES = 64 * 1024 * 1024
COLUMNS = (
    "pk", "platform_id", "interval_s", "timeout_s", "is_up", "suspect_reason", "last_success_at",
    "refused_series",
    "snapshot__taken_at", "snapshot__version", "snapshot__targets", "snapshot__errors_total",
    "snapshot__duration_s",
)  # fmt: skip

Parts = Mapping[str, Segment]  # {family: its deflated lines}


class SnapshotCache:
    """Bodies of snapshots by exporter, as long as their version stands; shared by a process's threads."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._kept: OrderedDict[int, tuple[str, int, Parts]] = OrderedDict()
        self._lock = threading.Lock()

    def parts(self, exporter_id: int, version: str) -> Parts:
        """The families of this version, or of a newer one that was stored meanwhile."""
        with self._lock:
            kept = self._kept.get(exporter_id)
            if kept is not None and kept[0] == version:
                self._kept.move_to_end(exporter_id)
                return kept[2]
        row = Snapshot.objects.filter(exporter=exporter_id).values_list("version", "body", "parts").first()
        if row is None:
            return {}
        stored_version, body, parts = row[0], bytes(row[1]), _unpack(bytes(row[1]), row[2])
        self._keep(exporter_id, stored_version, len(body), parts)
        return parts

    def _keep(self, exporter_id: int, version: str, size: int, parts: Parts) -> None:
        with self._lock:
            if old := self._kept.pop(exporter_id, None):
                self._bytes -= old[1]
            self._kept[exporter_id] = (version, size, parts)
            self._bytes += size
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                _exporter_id, (_version, dropped, _parts) = self._kept.popitem(last=False)
                self._bytes -= dropped


_cache = SnapshotCache()


def _scrape_of(exporters: Q) -> PlannedQuery:
    """The row of a token, beside each of its platform's ``exporters``; beside nothing where there are none.

    One statement, because it is all that a scrape asks. The exporters are found through the token's own
    platform, so there is no way from it to those of others.
    """
    return PlannedQuery(
        lambda: (
            ApiToken.objects.filter(lookup="")
            .annotate(shown=FilteredRelation("platform__exporters", condition=exporters))
            .order_by("shown__pk")
            .values_list(*tokens.MACHINE, *(f"shown__{column}" for column in COLUMNS))
        )
    )


_of_one = _scrape_of(Q(platform__exporters__pk=0))
_of_platform = _scrape_of(Q(platform__exporters__is_enabled=True))


@dataclass(frozen=True)
class Scrape:
    """What a token opens: ``platform_id`` is its own, 0 when it has none; ``rows`` become ``served``."""

    platform_id: int
    rows: list[tuple[Any, ...]]


def scrape_of_exporter(token: str, exporter_id: int, *, now: datetime) -> Scrape | None:
    """One exporter of the token's platform; None when ``token`` is no live one."""
    lookup = tokens.lookup_of(token)
    return _opened(token, _of_one.rows(exporter_id, lookup) if lookup else [], now=now)


def scrape_of_platform(token: str, *, now: datetime) -> Scrape | None:
    """The enabled exporters of the token's platform, by id; None when ``token`` is no live one."""
    lookup = tokens.lookup_of(token)
    return _opened(token, _of_platform.rows(lookup) if lookup else [], now=now)


def _opened(token: str, rows: list[tuple[Any, ...]], *, now: datetime) -> Scrape | None:
    width = len(tokens.MACHINE)
    own = tokens.judged(token, rows[0][:width], scope="scrape", now=now) if rows else None
    if own is None:
        return None
    return Scrape(own, [row[width:] for row in rows if row[width] is not None])


def served_exporter(*, platform_id: int, exporter_id: int) -> list[tuple[ExporterRow, Parts]]:
    """What is known of an exporter of the platform, and its families; empty when it has no such exporter."""
    return served(Exporter.objects.filter(platform=platform_id, pk=exporter_id).values_list(*COLUMNS))


def served(rows: Iterable[tuple[Any, ...]]) -> list[tuple[ExporterRow, Parts]]:
    """What is known of each exporter (its ``COLUMNS``), and its families."""
    found = []
    for (
        exporter_id, platform_id, interval_s, timeout_s, is_up, suspect_reason, last_success_at, refused_series,
        taken_at, version, targets, errors, duration_s,
    ) in rows:  # fmt: skip
        known = ExporterRow(
            platform_id=platform_id,
            exporter_id=exporter_id,
            up=bool(is_up) and not suspect_reason,
            observed_at=taken_at,
            max_age=max_age_of(interval_s, timeout_s),
            last_success_at=last_success_at,
            poll_duration_s=duration_s,
            targets=targets or {},
            errors=errors or {},
            refused_series=refused_series,
            version=version or "",
        )
        found.append((known, _cache.parts(exporter_id, version) if version else {}))
    return found


def _unpack(body: bytes, parts: list[list[Any]]) -> Parts:
    """Cut the stored body into its families."""
    families, at = {}, 0
    for name, size, length, crc in parts:
        families[name] = Segment(body[at : at + size], length, crc)
        at += size
    return families
