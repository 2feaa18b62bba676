"""Store a round of polling: what it says of the devices, of the CMS, and what is served of it.

All of it is one transaction, so that nobody ever sees devices of one round and the CMS's health of
another. What nobody could say is UNKNOWN; no path leads from a failed question to OFFLINE.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum

from devices.services import (
    Observed,
    adopt_names,
    confirm_unchanged,
    mark_unknown,
    observer_of,
    record_observations,
)
from devices.states import DeviceState
from exporters.compression import segment
from exporters.exposition import (
    DeviceRow,
    Fragments,
    families_of,
    render_each,
    render_fragments,
    render_old_names,
    shape_of,
)
from exporters.facts import lasting, pack, unpack
from exporters.fragments import FragmentCache
from exporters.models import Exporter, ExporterTarget, FoundDevice, PollRound, Snapshot
from exporters.ports import RoundResult
from exporters.rounds import Judgement, judge_round
from exporters.signals import round_finished
from platforms.models import Platform
from remosa.lib.updates import update_each

logger = logging.getLogger(__name__)

KEEP_FOR = timedelta(days=1)
KEEP_ROUNDS = 3000  # about a day of rounds at the usual 30 s; fewer hours where the interval is shorter
_fragments = FragmentCache()
STORED = ("status", "status_since", "noted_at", "stated", "reason", "facts")


@dataclass(slots=True)
class _Row:
    """A target as it is stored; plain, because there may be a hundred thousand."""

    pk: int
    external_id: str
    device_id: int
    device_name: str
    device_state: str
    observer_id: int | None
    status: str
    status_since: datetime | None
    noted_at: datetime | None
    stated: str
    reason: str
    facts: Mapping[str, Any]
    is_changed: bool = False


def store_round(
    *,
    exporter_id: int,
    result: RoundResult,
    started_at: datetime,
    finished_at: datetime,
    owner: str = "",
    note: str = "",
) -> PollRound | None:
    """Judge a round and write it down; None when it came too late (no such exporter, or no longer ``owner``'s).

    Observations count as of ``started_at``: what was true when we asked, at the latest. ``note`` is a
    sentence for people in place of the bare reason. With ``owner`` the lease is given back.
    """
    with transaction.atomic():
        exporter = Exporter.objects.select_for_update().defer("secret").filter(pk=exporter_id).first()
        if exporter is None or (owner and exporter.lease_owner != owner):
            return None
        rows, retired = _load(exporter, result, started_at)
        known = {row.external_id for row in rows}
        kept = tuple(seen for seen in result.observations if seen.external_id in known)
        judged = judge_round(
            replace(result, observations=kept), {row.external_id: row.stated for row in rows}
        )
        numbers = numbers_of(exporter)
        _apply(rows, judged, numbers=numbers, at=started_at, answers_at=exporter.answers_at)
        _retire(retired, at=started_at, answers_at=exporter.answers_at)
        # who did not change is confirmed by the exporter's `answers_at`
        update_each(ExporterTarget, [row for row in [*rows, *retired] if row.is_changed], STORED)
        _tell_devices(exporter, rows, numbers=numbers, at=started_at)
        _write_found(exporter, result, judged, known, at=started_at)
        _write_snapshot(exporter, rows, judged, result, at=started_at)
        _write_exporter(
            exporter, judged, result, started_at=started_at, finished_at=finished_at, note=note,
            release=bool(owner),
        )  # fmt: skip
        round_ = _write_round(exporter, judged, result, started_at=started_at, finished_at=finished_at)
        transaction.on_commit(lambda: round_finished.send_robust(Exporter, exporter_id=exporter_id))
    return round_


def _load(exporter: Exporter, result: RoundResult, started_at: datetime) -> tuple[list[_Row], list[_Row]]:
    """The targets that this round is about, and those whose device is out of service.

    One that was added after the round began waits for the next; unless it bears a status, which this
    round would vouch for without having asked.
    """
    asked = {seen.external_id: seen for seen in result.observations}
    found = (
        ExporterTarget.objects.filter(exporter=exporter)
        .order_by("pk")
        .values_list(
            "pk", "external_id", "device_id", "device__name", "device__state", "device__observer_id", "status",
            "status_since", "noted_at", "stated", "reason", "facts", "created_at", "device__is_active",
        )
        .iterator()
    )  # fmt: skip
    rows, retired = [], []
    shared: dict[Any, Any] = {}  # each row comes with its own "online", and its own time of the last round
    for *values, created_at, is_active in found:
        row = _Row(*values)
        for name in ("device_state", "observer_id", "status", "status_since", "noted_at", "stated", "reason"):
            value = getattr(row, name)
            setattr(row, name, shared.setdefault(value, value))
        if (seen := asked.get(row.external_id)) is not None:
            row.external_id = seen.external_id
            if row.facts == seen.facts:
                row.facts = seen.facts  # most devices say the same again: it is kept once
        if not is_active:
            retired.append(row)
        elif created_at < started_at or row.external_id in asked or row.status != DeviceState.UNKNOWN:
            rows.append(row)
    return rows, retired


def _apply(
    rows: Iterable[_Row],
    judged: Judgement,
    *,
    numbers: Collection[str],
    at: datetime,
    answers_at: datetime | None,
) -> None:
    """Bring the rows up to date; an unknown status keeps the facts, the last stated status and its time."""
    seen_of = {seen.external_id: seen for seen in judged.observations}
    for row in rows:
        seen = seen_of[row.external_id]
        status, reason = str(seen.status), str(seen.reason)
        if status != row.status:
            _set_status(row, status, at=at, answers_at=answers_at)
        if reason != row.reason:
            row.reason, row.is_changed = reason, True
        if status != DeviceState.UNKNOWN and status != row.stated:
            row.stated, row.is_changed = status, True
        if seen.facts or status != DeviceState.UNKNOWN:
            facts = lasting(row.facts, numbers) | pack(seen.facts)  # a number counts for its own answer only
            if facts != row.facts:
                row.facts, row.is_changed = facts, True


def _set_status(row: _Row, status: str, *, at: datetime, answers_at: datetime | None) -> None:
    """A known status has the time of the exporter's answers; without one the row bears its last time itself."""
    if status == DeviceState.UNKNOWN:
        row.noted_at = answers_at or row.noted_at
    row.status, row.status_since, row.is_changed = status, at, True


def _retire(rows: Iterable[_Row], *, at: datetime, answers_at: datetime | None) -> None:
    """Nobody asks for a device that is out of service."""
    for row in rows:
        if row.status != DeviceState.UNKNOWN:
            _set_status(row, DeviceState.UNKNOWN, at=at, answers_at=answers_at)


def numbers_of(exporter: Exporter) -> frozenset[str]:
    """The facts of this exporter that are values of the present, by name."""
    shape = shape_of(exporter.kind, exporter.config)
    return frozenset(series.suffix for series in shape.values) if shape else frozenset()


def _tell_devices(
    exporter: Exporter, rows: Iterable[_Row], *, numbers: Collection[str], at: datetime
) -> None:
    """Pass on what was seen; a device that another CMS answers for is not unknown."""
    source = f"exporter:{exporter.pk}"
    observer = observer_of(exporter.platform_id, source, at=at)
    answered = {
        row.device_id: row for row in rows if row.status != DeviceState.UNKNOWN
    }  # the last one counts
    news = [
        Observed(row.device_id, row.status, at, _told(row.facts, numbers) if row.is_changed else {})
        for row in answered.values()
        if row.is_changed or row.device_state != row.status or row.observer_id != observer.pk
    ]
    record_observations(news, source=source, observer=observer)
    confirm_unchanged(observer, answered=_answered(exporter), at=at)
    adopt_names(
        {
            row.device_id: (row.external_id, name)
            for row in rows
            if row.device_name == row.external_id and (name := row.facts.get("name"))
        }
    )
    unknown = {row.device_id for row in rows if row.status == DeviceState.UNKNOWN} - answered.keys()
    if unknown:
        mark_unknown(unknown - _answered_elsewhere(exporter, at=at), at=at, source=source)


def _told(facts: Mapping[str, Any], numbers: Collection[str]) -> dict[str, Any]:
    """Facts for the device's own page; those that change with every round stay with the target."""
    kept = lasting(facts, numbers)
    return kept | {"player_status": facts["player_status"]} if "player_status" in facts else kept


def _answered(exporter: Exporter) -> QuerySet:
    """The targets whose device the stored round vouches for."""
    return ExporterTarget.objects.filter(exporter=exporter).exclude(status=DeviceState.UNKNOWN)


def _answered_elsewhere(exporter: Exporter, *, at: datetime) -> set[int]:
    """Devices of this exporter without an answer here, for which another one has a fresh one."""
    silent = ExporterTarget.objects.filter(exporter=exporter, status=DeviceState.UNKNOWN)
    others = (
        ExporterTarget.objects.filter(device__in=silent.values("device"), exporter__is_enabled=True)
        .exclude(exporter=exporter)
        .exclude(status=DeviceState.UNKNOWN)
        .select_related("exporter")
        .with_observed_at()
        .only("device_id", "exporter__interval_s", "exporter__timeout_s")
    )
    return {
        other.device_id
        for other in others
        if other.observed_at is not None and at - other.observed_at <= other.exporter.max_age
    }


def _write_exporter(
    exporter: Exporter,
    judged: Judgement,
    result: RoundResult,
    *,
    started_at: datetime,
    finished_at: datetime,
    note: str,
    release: bool,
) -> None:
    was, now = (exporter.is_up, exporter.suspect_reason), (judged.upstream_ok, str(judged.suspicion))
    exporter.is_up, exporter.suspect_reason = now
    exporter.last_error = "" if judged.upstream_ok else (note or str(judged.upstream_reason))[:200]
    exporter.last_round_at, exporter.answers_at = finished_at, started_at
    exporter.is_truncated = result.is_truncated
    exporter.failures = 0 if judged.upstream_ok else exporter.failures + 1
    exporter.round_started_at, exporter.round_done, exporter.round_total = None, 0, 0
    if judged.trustworthy:
        exporter.last_success_at = finished_at
        exporter.up_since = exporter.up_since or finished_at
    else:
        exporter.up_since = None
    columns = [
        "is_up", "suspect_reason", "last_error", "last_round_at", "answers_at", "last_success_at", "up_since",
        "is_truncated", "failures", "refused_series", "round_started_at", "round_done", "round_total",
    ]  # fmt: skip
    if exporter.is_backing_off and exporter.next_poll_at is not None:  # None: somebody wants it now
        exporter.next_poll_at = max(exporter.next_poll_at, started_at + exporter.pause_after_failures())
        columns.append("next_poll_at")
    if release:
        exporter.lease_owner, exporter.lease_until = "", None
        columns += ["lease_owner", "lease_until"]
    exporter.save(update_fields=columns)
    if was != now:
        why = exporter.suspect_reason or judged.upstream_reason or "-"
        logger.log(
            logging.INFO if judged.trustworthy else logging.WARNING,
            "exporter=%s up=%s suspect=%s why=%s", exporter.pk, judged.upstream_ok, judged.suspect, why,
        )  # fmt: skip


def _write_found(
    exporter: Exporter, result: RoundResult, judged: Judgement, known: set[str], *, at: datetime
) -> None:
    """Devices that wait to be added; one that a whole, believable list does not have any more goes."""
    waiting = {found.external_id: found for found in FoundDevice.objects.filter(exporter=exporter)}
    named = {one.external_id: one.name[:200] for one in result.found if one.external_id not in known}
    FoundDevice.objects.bulk_create(
        [
            FoundDevice(exporter=exporter, external_id=key, name=name, first_seen_at=at)
            for key, name in named.items()
            if key not in waiting
        ],
        ignore_conflicts=True,
    )
    for key, found in waiting.items():
        if key in named and found.name != named[key]:
            FoundDevice.objects.filter(pk=found.pk).update(name=named[key])
    is_whole = judged.complete and judged.trustworthy
    gone = [found.pk for key, found in waiting.items() if key in known or (is_whole and key not in named)]
    if gone:
        FoundDevice.objects.filter(pk__in=gone).delete()


def _write_snapshot(
    exporter: Exporter, rows: Iterable[_Row], judged: Judgement, result: RoundResult, *, at: datetime
) -> None:
    """What ``/metrics`` serves until the next round; only devices that changed are rendered anew."""
    stored = Snapshot.objects.filter(exporter=exporter).values_list("errors_total", "version").first()
    before, version = stored or ({}, "")
    errors = Counter(before) + Counter({str(reason): count for reason, count in result.errors.items()})
    families: Mapping[str, Iterable[str]] = {}
    listed = list(rows)
    if (shape := shape_of(exporter.kind, exporter.config)) is not None:
        families = _fragments.families(
            exporter.pk,
            listed,
            version=version,
            shape=(exporter.platform_id, exporter.kind, exporter.config),
            names=families_of(shape),
            render=lambda some: render_each(
                shape, map(_device_row, some), platform_id=exporter.platform_id, exporter_id=exporter.pk
            ),
        )
        if exporter.has_old_names:
            families = {**families, **_as_texts(_old_names(exporter, map(_device_row, listed)))}
    values = {
        **_body_of(exporter, families),
        "taken_at": at,
        "targets": {str(status): count for status, count in judged.counts().items()},
        "errors_total": dict(errors),
        "duration_s": result.duration_s,
    }
    if not Snapshot.objects.filter(exporter=exporter).update(**values):
        Snapshot.objects.create(exporter=exporter, **values)
    transaction.on_commit(lambda: _fragments.note(exporter.pk, values["version"]))


def _old_names(exporter: Exporter, rows: Iterable[DeviceRow]) -> Fragments:
    return render_old_names(rows, platform_id=exporter.platform_id, exporter_id=exporter.pk)


def refresh_snapshot(exporter: Exporter) -> None:
    """Render what is served anew, from the targets as they are: who was taken off is gone at once.

    Nothing becomes younger by it. Call it inside the transaction that changes the targets.
    """
    locked = Exporter.objects.select_for_update().defer("secret").get(pk=exporter.pk)
    kept = Snapshot.objects.filter(exporter=locked).values_list("taken_at", flat=True).first()
    if kept is None:
        return
    rows = ExporterTarget.objects.filter(
        exporter=locked, device__is_active=True, created_at__lte=kept
    ).order_by("pk")  # one that was added later has not been asked for yet
    counts = Counter({str(state): 0 for state in DeviceState.values})
    shown = []
    for external_id, status, facts, name in rows.values_list(
        "external_id", "status", "facts", "device__name"
    ):
        counts[status] += 1
        shown.append(DeviceRow(external_id, status, {"name": name, **unpack(facts)}))
    families: Fragments = {}
    if shape_of(locked.kind, locked.config) is not None:
        families = render_fragments(
            locked.kind, shown, platform_id=locked.platform_id, exporter_id=locked.pk, config=locked.config
        )
        if locked.has_old_names:
            families |= _old_names(locked, shown)
    Snapshot.objects.filter(exporter=locked).update(
        targets=dict(counts), **_body_of(locked, _as_texts(families))
    )
    locked.save(update_fields=["refused_series"])


def _as_texts(families: Fragments) -> dict[str, Iterable[str]]:
    return {name: [text] for name, text in families.items()}


def _body_of(exporter: Exporter, families: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The columns of the snapshot that hold the device families, deflated once.

    An exporter that would take its platform over the limit of series shows none of its devices: a part of
    them would look like devices of which nothing is known. ``exporter.refused_series`` says so.
    """
    series = sum(text.count("\n") for texts in families.values() for text in texts)
    limit, taken = _series_of_platform(exporter)
    exporter.refused_series = series if taken + series > limit else 0
    if exporter.refused_series:
        families, series = {}, 0
    segments = {name: piece for name, texts in families.items() if (piece := segment(texts)).length}
    return {
        "version": uuid.uuid4().hex,
        "body": b"".join(piece.deflated for piece in segments.values()),
        "parts": [[name, len(piece.deflated), piece.length, piece.crc] for name, piece in segments.items()],
        "series": series,
    }


def _series_of_platform(exporter: Exporter) -> tuple[int, int]:
    """(limit, series of the platform's other exporters)."""
    others = Snapshot.objects.filter(exporter__platform=exporter.platform_id).exclude(exporter=exporter)
    limit = Platform.objects.values_list("series_limit", flat=True).get(pk=exporter.platform_id)
    return limit, others.aggregate(total=Sum("series"))["total"] or 0


def _device_row(row: _Row) -> DeviceRow:
    """The row as it is rendered; a device that the CMS gave no name bears ours."""
    return DeviceRow(row.external_id, row.status, {"name": row.device_name, **unpack(row.facts)})


def _write_round(
    exporter: Exporter,
    judged: Judgement,
    result: RoundResult,
    *,
    started_at: datetime,
    finished_at: datetime,
) -> PollRound:
    counts = {str(status): count for status, count in judged.counts().items()}
    keep = min(KEEP_FOR, timedelta(seconds=KEEP_ROUNDS * exporter.interval_s))
    PollRound.objects.filter(exporter=exporter, started_at__lt=started_at - keep).delete()
    return PollRound.objects.create(
        exporter=exporter,
        started_at=started_at,
        finished_at=finished_at,
        is_up=judged.upstream_ok,
        suspect_reason=str(judged.suspicion),
        targets=len(judged.observations),
        errors={str(reason): count for reason, count in result.errors.items()},
        duration_s=result.duration_s,
        latency_s=result.latency_s,
        **counts,
    )
