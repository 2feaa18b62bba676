"""Write down what was seen of devices, many at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When

from devices.models import Device
from devices.states import DeviceState

BATCH = 500  # rows per statement: SQLite's limit of variables is not far


@dataclass(frozen=True)
class Observed:
    """One observation: ``state`` of DeviceState at ``observed_at``; ``facts`` replace those of the same name."""

    device_id: int
    state: str
    observed_at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)


def record_observations(seen: Iterable[Observed], *, source: str) -> int:
    """Bring devices up to date; the number of devices whose state changed.

    An observation older than what is known changes nothing. UNKNOWN keeps the time of the last real
    observation: "nobody could ask" is not an observation.
    """
    items: dict[int, Observed] = {}
    for item in seen:
        known = items.get(item.device_id)
        if known is None or item.observed_at >= known.observed_at:
            items[item.device_id] = item
    changed = 0
    with transaction.atomic():
        for ids in _batches(sorted(items)):
            rows = Device.objects.filter(pk__in=ids).only("pk", "state", "observed_at", "facts")
            changed += _write([(row, items[row.pk]) for row in rows], source=source)
    return changed


def _write(pairs: list[tuple[Device, Observed]], *, source: str) -> int:
    current = [
        (row, item) for row, item in pairs if row.observed_at is None or item.observed_at >= row.observed_at
    ]
    flips = [(row, item) for row, item in current if row.state != item.state]
    same: dict[datetime, list[int]] = defaultdict(list)
    facts_changed = []
    for row, item in current:
        if row.state == item.state and item.state != DeviceState.UNKNOWN:
            same[item.observed_at].append(row.pk)
        merged = {**row.facts, **item.facts}
        if merged != row.facts:
            row.facts = merged
            facts_changed.append(row)
    for observed_at, ids in same.items():
        Device.objects.filter(pk__in=ids).update(observed_at=observed_at)
    flipped: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for row, item in flips:
        flipped[item.state, item.observed_at].append(row.pk)
    for (state, at), ids in flipped.items():
        seen = {} if state == DeviceState.UNKNOWN else {"observed_at": at}
        Device.objects.filter(pk__in=ids).update(state=state, state_since=at, state_source=source, **seen)
    Device.objects.bulk_update(facts_changed, ["facts"], batch_size=BATCH)
    return len(flips)


def mark_unknown(device_ids: Iterable[int], *, at: datetime, source: str) -> int:
    """Nobody could ask: these devices are UNKNOWN from ``at`` on; those already unknown keep their time."""
    changed = 0
    for ids in _batches(sorted(device_ids)):
        changed += (
            Device.objects.filter(pk__in=ids)
            .exclude(state=DeviceState.UNKNOWN)
            .update(state=DeviceState.UNKNOWN, state_since=at, state_source=source)
        )
    return changed


def clamp_future(now: datetime) -> int:
    """What a clock that ran ahead wrote down was seen now at the latest; how many devices that were.

    Else a device would stay as it was until the true time has caught up.
    """
    ahead = Device.objects.filter(observed_at__gt=now)
    since = Case(When(state_since__gt=now, then=Value(now)), default=F("state_since"))
    return ahead.update(observed_at=now, state_since=since)


def adopt_names(names: Mapping[int, tuple[str, str]]) -> int:
    """``{device id: (placeholder, name)}``: name the devices that still bear the placeholder; how many.

    A name that a person gave stays.
    """
    return sum(
        Device.objects.filter(pk=device_id, name=placeholder).update(name=name[:200])
        for device_id, (placeholder, name) in names.items()
    )


def _batches(ids: list[int]) -> Iterable[list[int]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
