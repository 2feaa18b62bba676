"""Devices as the connected Prometheus knows them: their labels and their current values.

What a person sees is bounded twice: the query names the platforms of the devices that they may see,
and a series counts only when its identity (platform, exporter, id) is that of such a device.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from automation.prometheus import Sample, query_vector
from exporters.metric_catalogue import metric_of, words_of
from exporters.models import ExporterTarget

PREFIX = "remosa_exporter_"
NO_FACTS = frozenset(
    {"__name__", "platform_id", "exported_platform_id", "exporter_id", "mac", "device_id", "job", "instance"}
)
ONLINE, OFFLINE, ABSENT = "online", "offline", "absent"
STATES = (ONLINE, OFFLINE, ABSENT)


@dataclass
class SeenDevice:
    """One device: what REMOSA calls it, and what Prometheus has of it now. Absent is not offline."""

    target: ExporterTarget
    labels: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What the status series says; ``absent`` without one."""
        for name, value in self.values.items():
            if name.endswith("_device_status"):
                return ONLINE if value == 1 else OFFLINE
        return ABSENT

    @property
    def shown(self) -> list[tuple[str, str]]:
        """(human name, value with its unit) of everything but the state."""
        return [
            (str(metric_of(name).title), words_of(name, value))
            for name, value in sorted(self.values.items())
            if not name.endswith("_device_status")
        ]

    @property
    def text(self) -> str:
        """What a search looks through."""
        parts = [self.target.external_id, self.target.device.name, *self.labels.values()]
        return "\n".join(parts).casefold()


def seen_devices(targets: models.QuerySet, *, now: datetime) -> list[SeenDevice]:
    """The devices of these targets, in their order; PrometheusUnavailable when nobody could say."""
    rows = list(targets.select_related("device", "exporter"))
    if not rows:
        return []
    platforms = sorted({row.exporter.platform_id for row in rows})
    exporters = sorted({row.exporter_id for row in rows})
    query = (
        f'{{__name__=~"{PREFIX}.+",platform_id=~"{_any_of(platforms)}",exporter_id=~"{_any_of(exporters)}"}}'
    )
    found = {_identity(row): SeenDevice(row) for row in rows}
    for sample in query_vector(query, at=now):
        _add(found, sample)
    return list(found.values())


def _any_of(numbers: Iterable[int]) -> str:
    return "|".join(str(int(number)) for number in numbers)


def _identity(row: ExporterTarget) -> tuple[str, str, str]:
    return str(row.exporter.platform_id), str(row.exporter_id), row.external_id


def _add(found: Mapping[tuple[str, str, str], SeenDevice], sample: Sample) -> None:
    labels = sample.labels
    key = (
        labels.get("platform_id", ""),
        labels.get("exporter_id", ""),
        labels.get("mac") or labels.get("device_id", ""),
    )
    device = found.get(key)
    if device is None:
        return
    name = labels.get("__name__", "")
    if name.endswith("_device_info"):
        device.labels |= {label: value for label, value in labels.items() if label not in NO_FACTS and value}
    else:
        device.values[name] = sample.value


def narrowed(devices: Iterable[SeenDevice], *, search: str = "", state: str = "") -> list[SeenDevice]:
    """Those whose id, name or labels hold every word, and whose state is the wanted one."""
    words = search.casefold().split()
    return [
        device
        for device in devices
        if (not state or device.state == state) and all(word in device.text for word in words)
    ]


def ordered(devices: Iterable[SeenDevice], by: str) -> list[SeenDevice]:
    """Sorted by ``name``, ``id``, ``state``, or the value of a metric; ``-`` in front turns it round.

    Devices without that value come last either way.
    """
    wanted, backwards = by.lstrip("-"), by.startswith("-")

    def key(device: SeenDevice) -> Any:
        if wanted == "name":
            return device.target.device.name.casefold()
        if wanted == "id":
            return device.target.external_id
        if wanted == "state":
            return device.state
        return device.values[wanted]

    rows = list(devices)
    if wanted in ("name", "id", "state"):
        return sorted(rows, key=key, reverse=backwards)
    having = [device for device in rows if wanted in device.values]
    return sorted(having, key=key, reverse=backwards) + [row for row in rows if wanted not in row.values]
