"""Who polls what: leases by compare-and-set, so that two pollers never poll one exporter at once.

A lease is given back when the round is stored. A poller that dies keeps its leases until they run
out; then any other takes the exporter at once. ``store_round`` asks again whose the lease is, so a
poller that was only thought dead stores nothing.
"""

import random
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import F

from exporters.models import Exporter, ExporterTarget
from exporters.ports import PollSettings, Target
from remosa.lib.fields import UnreadableSecret

JITTER_RATIO = 0.05  # of the interval, at the most: evidence must not grow old by it


@dataclass(frozen=True)
class Work:
    """One round to do. ``trouble`` is a sentence when the settings could not even be read."""

    exporter_id: int
    kind: str
    settings: PollSettings = field(repr=False)
    targets: tuple[Target, ...] = field(repr=False)
    trouble: str = ""


def claim_due(
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    limit: int,
    without: Collection[int] = (),
    only: Collection[int] | None = None,
) -> list[Work]:
    """Take up to ``limit`` due exporters, the longest waiting first; each is ours until ``now + lease``.

    The time of the next round is set here, from the start of this one: so a "poll now" that comes
    while the round runs is not forgotten at its end.
    """
    due = Exporter.objects.due(now).order_by(F("next_poll_at").asc(nulls_first=True), "pk")
    due = due.exclude(pk__in=without) if without else due
    due = due.filter(pk__in=only) if only is not None else due
    taken = []
    for pk, interval_s, jitter_s in list(due.values_list("pk", "interval_s", "jitter_s")[:limit]):
        jitter_s = min(jitter_s, JITTER_RATIO * interval_s) * random.random()  # noqa: S311  no secret
        mine = Exporter.objects.free(now).filter(pk=pk)
        if mine.update(
            lease_owner=owner,
            lease_until=now + lease,
            next_poll_at=now + timedelta(seconds=interval_s + jitter_s),
            round_started_at=now,
            round_done=0,
            round_total=0,
        ):
            taken.append(pk)
    return [_work(exporter) for exporter in Exporter.objects.filter(pk__in=taken).defer("secret")]


def renew_leases(*, owner: str, exporter_ids: Iterable[int], until: datetime) -> set[int]:
    """Keep the leases of running rounds; the exporters that are still ours."""
    ours = Exporter.objects.filter(lease_owner=owner, pk__in=list(exporter_ids))
    ours.update(lease_until=until)
    return set(ours.values_list("pk", flat=True))


def note_progress(*, owner: str, rounds: Mapping[int, tuple[int, int]]) -> None:
    """Write down how far long rounds are: {exporter: (questions done, of how many)}."""
    for exporter_id, (done, total) in rounds.items():
        Exporter.objects.filter(pk=exporter_id, lease_owner=owner).update(round_done=done, round_total=total)


def release_leases(*, owner: str, now: datetime) -> int:
    """Give back every lease of this poller at once; how many rounds another one can begin now."""
    return Exporter.objects.filter(lease_owner=owner).update(
        lease_owner="", lease_until=None, next_poll_at=now, round_started_at=None
    )


def spread(ids: Sequence[str]) -> list[str]:
    """Every fourth place to those who were answered last: a CMS that cannot answer for some devices, which
    therefore come first, is then not taken for one that answers for none."""
    front, back = deque(ids), []
    while front:
        back += [front.popleft() for _place in range(min(3, len(front)))]
        if front:
            back.append(front.pop())
    return back


def _work(exporter: Exporter) -> Work:
    """What a poller needs to know; those who waited longest for an answer come first."""
    rows = exporter.targets.filter(device__is_active=True).order_by(
        ExporterTarget.OBSERVED_AT.asc(nulls_first=True), "pk"
    )
    ids = list(rows.values_list("external_id", flat=True))
    targets = tuple(Target(external_id) for external_id in spread(ids))
    try:
        return Work(exporter.pk, exporter.kind, exporter.poll_settings, targets)
    except (UnreadableSecret, ImproperlyConfigured) as exc:
        return Work(exporter.pk, exporter.kind, PollSettings(""), targets, trouble=str(exc))
