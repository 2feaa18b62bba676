"""Write down what was seen of devices, many at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from devices.models import Device, Observer
from devices.states import DeviceState
from remosa.lib.updates import update_each

BATCH = 500  # rows per statement: SQLite's limit of variables is not far
_TIME = Coalesce(  # Device.OBSERVED_AT for an UPDATE, which knows no joins
    Subquery(Observer.objects.filter(pk=OuterRef("observer")).values("observed_at")), F("noted_at")
)
_NOBODY = {"noted_at": _TIME, "observer": None}  # confirms it any more: it keeps the time that it has


@dataclass(frozen=True)
class Observed:
    """One observation: ``state`` of DeviceState at ``observed_at``; ``facts`` replace those of the same name."""

    device_id: int
    state: str
    observed_at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)


def observer_of(platform_id: int, name: str, *, at: datetime) -> Observer:
    """The observer of this name; one that is new begins with a round ``at``."""
    row, _created = Observer.objects.get_or_create(
        platform_id=platform_id, name=name, defaults={"observed_at": at}
    )
    return row


def dismiss_observer(platform_id: int, name: str) -> None:
    """It looks no more: devices that it confirmed bear their time themselves."""
    Device.objects.filter(observer__platform=platform_id, observer__name=name).update(**_NOBODY)
    Observer.objects.filter(platform=platform_id, name=name).delete()


def confirm_unchanged(observer: Observer, *, answered: QuerySet, at: datetime) -> None:
    """The observer looked again ``at``: every device that points to it is still as it was.

    Who is not among ``answered`` (rows with a ``device``), for whatever reason, is let go first, with the
    time that it has: this is the one place that confirms anything in bulk, so it relies on nobody.
    """
    mine = Device.objects.filter(observer=observer).order_by()
    # a difference of two sets: as NOT EXISTS it can be planned as a search through all for each (SQLite does)
    silent = mine.values("pk").difference(answered.order_by().values("device"))
    Device.objects.filter(pk__in=silent).update(**_NOBODY)
    Observer.objects.filter(pk=observer.pk, observed_at__lt=at).update(observed_at=at)


def record_observations(seen: Iterable[Observed], *, source: str, observer: Observer | None = None) -> int:
    """Bring devices up to date; the number of devices whose state changed.

    An observation older than what is known changes nothing. UNKNOWN keeps the time of the last real
    observation: "nobody could ask" is not an observation. With an ``observer`` the devices point to it
    from now on: those that its next round finds unchanged need not be named here, only in ``confirm_unchanged``.
    """
    items: dict[int, Observed] = {}
    for item in seen:
        known = items.get(item.device_id)
        if known is None or item.observed_at >= known.observed_at:
            items[item.device_id] = item
    changed = 0
    with transaction.atomic():
        for ids in _batches(sorted(items)):
            rows = (
                Device.objects.filter(pk__in=ids).with_observed_at().only("pk", "state", "observer", "facts")
            )
            changed += _write([(row, items[row.pk]) for row in rows], source=source, observer=observer)
    return changed


def _write(pairs: list[tuple[Device, Observed]], *, source: str, observer: Observer | None) -> int:
    current = [
        (row, item) for row, item in pairs if row.observed_at is None or item.observed_at >= row.observed_at
    ]
    flips = [(row, item) for row, item in current if row.state != item.state]
    same: dict[datetime, list[int]] = defaultdict(list)
    facts_changed = []
    for row, item in current:
        is_confirmed = observer is not None and row.observer_id == observer.pk
        if row.state == item.state and item.state != DeviceState.UNKNOWN and not is_confirmed:
            same[item.observed_at].append(row.pk)
        merged = {**row.facts, **item.facts}
        if merged != row.facts:
            row.facts = merged
            facts_changed.append(row)
    for observed_at, ids in same.items():
        Device.objects.filter(pk__in=ids).update(**_as_of(observed_at, observer))
    flipped: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for row, item in flips:
        flipped[item.state, item.observed_at].append(row.pk)
    for (state, at), ids in flipped.items():
        seen = _NOBODY if state == DeviceState.UNKNOWN else _as_of(at, observer)
        unseen = None if state == DeviceState.ONLINE else _unseen_since(at)
        Device.objects.filter(pk__in=ids).update(
            state=state, state_since=at, unseen_since=unseen, state_source=source, **seen
        )
    update_each(Device, facts_changed, ["facts"])
    return len(flips)


def _as_of(at: datetime, observer: Observer | None) -> dict[str, Any]:
    """The columns of a device that was seen ``at``. An observer that is ahead of it, because the clock went
    back, would make it look fresher than it is."""
    return {"noted_at": at, "observer": observer if observer and observer.observed_at <= at else None}


def _unseen_since(at: datetime) -> Case:
    """For a device that is not online from ``at`` on: it may have been down as long as nobody saw it online."""
    return Case(When(state=DeviceState.ONLINE, then=Value(at)), default=F("unseen_since"))


def mark_unknown(device_ids: Iterable[int], *, at: datetime, source: str) -> int:
    """Nobody could ask: these devices are UNKNOWN from ``at`` on; those already unknown keep their time."""
    changed = 0
    for ids in _batches(sorted(device_ids)):
        changed += (
            Device.objects.filter(pk__in=ids)
            .exclude(state=DeviceState.UNKNOWN)
            .update(
                state=DeviceState.UNKNOWN,
                state_since=at,
                unseen_since=_unseen_since(at),
                state_source=source,
                **_NOBODY,
            )
        )
    return changed


def clamp_future(now: datetime) -> int:
    """What a clock that ran ahead wrote down was seen and said now at the latest; how many devices that were.

    Else a device would stay as it was until the true time has caught up.
    """
    with transaction.atomic():
        for device in Device.objects.select_for_update(of=("self",)).filter(heard_at__gt=now):
            _clamp_facts(device, now)
    Observer.objects.filter(observed_at__gt=now).update(observed_at=now)
    names = ("noted_at", "state_since", "unseen_since")
    ahead = Device.objects.filter(Q(*((f"{name}__gt", now) for name in names), _connector=Q.OR))
    return ahead.update(
        **{name: Case(When(**{f"{name}__gt": now}, then=Value(now)), default=F(name)) for name in names}
    )


def _clamp_facts(device: Device, now: datetime) -> None:
    ages = device.facts.get("facts_at", {})
    ahead = {name: now.isoformat() for name, at in ages.items() if datetime.fromisoformat(at) > now}
    facts = {**device.facts, "facts_at": {**ages, **ahead}, "heard_at": now.isoformat()}
    Device.objects.filter(pk=device.pk).update(facts=facts, heard_at=now)


def adopt_names(names: Mapping[int, tuple[str, str]]) -> int:
    """``{device id: (placeholder, name)}``: name the devices that still bear the placeholder; how many.

    A name that a person gave stays.
    """
    table = connection.ops.quote_name(Device._meta.db_table)
    given = [(name[:200], device_id, placeholder) for device_id, (placeholder, name) in names.items()]
    if not given:
        return 0
    with connection.cursor() as cursor:  # in one batch: a first round brings as many names as devices
        cursor.executemany(f"UPDATE {table} SET name = %s WHERE id = %s AND name = %s", given)  # noqa: S608  ours
        return int(cursor.rowcount)


def _batches(ids: list[int]) -> Iterable[list[int]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
