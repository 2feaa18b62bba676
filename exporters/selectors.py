"""Read what ``/metrics`` serves. Nothing here writes, and nothing asks a CMS."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from exporters.compression import Segment
from exporters.exposition import ExporterRow
from exporters.models import Exporter, Snapshot
from remosa.lib.prepared import PreparedQuery

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
_of_one = PreparedQuery(lambda: Exporter.objects.filter(platform=0).filter(pk=0).values_list(*COLUMNS))
_of_platform = PreparedQuery(
    lambda: Exporter.objects.filter(platform=0, is_enabled=True).order_by("pk").values_list(*COLUMNS)
)


def served_exporter(*, platform_id: int, exporter_id: int) -> list[tuple[ExporterRow, Parts]]:
    """What is known of an exporter of the platform, and its families; empty when it has no such exporter."""
    return _served(_of_one.rows(platform_id, exporter_id))


def served_platform(platform_id: int) -> list[tuple[ExporterRow, Parts]]:
    """What is known of each enabled exporter of the platform, and its families; the order is by id."""
    return _served(_of_platform.rows(platform_id))


def _served(rows: list[tuple[Any, ...]]) -> list[tuple[ExporterRow, Parts]]:
    found = []
    for values in rows:
        row = dict(zip(COLUMNS, values, strict=True))
        exporter = Exporter(interval_s=row["interval_s"], timeout_s=row["timeout_s"])
        version = row["snapshot__version"]
        known = ExporterRow(
            platform_id=row["platform_id"],
            exporter_id=row["pk"],
            up=bool(row["is_up"]) and not row["suspect_reason"],
            observed_at=row["snapshot__taken_at"],
            max_age=exporter.max_age,
            last_success_at=row["last_success_at"],
            poll_duration_s=row["snapshot__duration_s"],
            targets=row["snapshot__targets"] or {},
            errors=row["snapshot__errors_total"] or {},
            refused_series=row["refused_series"],
            version=version or "",
        )
        found.append((known, _cache.parts(row["pk"], version) if version else {}))
    return found


def _unpack(body: bytes, parts: list[list[Any]]) -> Parts:
    """Cut the stored body into its families."""
    families, at = {}, 0
    for name, size, length, crc in parts:
        families[name] = Segment(body[at : at + size], length, crc)
        at += size
    return families
