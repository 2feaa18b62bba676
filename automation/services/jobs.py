"""Jobs as people edit them: each change is a version, which can be compared and brought back; copies of jobs."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from automation.models import Job, JobVersion
from automation.states import Mode
from devices.models import Device, Site
from exporters.models import Exporter
from platforms import audit

# columns that are no part of the rule
NO_RULE = (
    "id", "platform", "version", "evaluated_at", "broken_reason", "broken_since", "next_at", "created_at",
)  # fmt: skip
STAYS = (
    "name",
    "is_enabled",
    "mode",
)  # an old rule comes back; whether and how the job acts is decided today


def rule_of(job: Job) -> dict[str, Any]:
    """Everything that a person sets, as plain values."""
    return audit.fields_of(job, leave_out=NO_RULE) | {
        "devices": sorted(job.devices.values_list("pk", flat=True))
    }


def keep_version(job: Job, *, by: str, now: datetime) -> JobVersion:
    """Keep the rule as it is under the job's present version; one that is kept already stays as it was."""
    row, _created = JobVersion.objects.get_or_create(
        job=job, number=job.version, defaults={"at": now, "by": by[:100], "rule": rule_of(job)}
    )
    return row


def new_version(job: Job, *, by: str, now: datetime) -> None:
    """The rule has changed: what was decided under the old one is asked again."""
    Job.objects.filter(pk=job.pk).update(version=F("version") + 1, next_at=None)
    job.refresh_from_db(fields=["version", "next_at"])
    keep_version(job, by=by, now=now)


def rule_may_have_changed(job: Job, *, by: str, now: datetime) -> bool:
    """Make a new version where the rule differs from the one that was kept; a new name alone is none."""
    kept = keep_version(job, by=by, now=now)
    changed = {name for name, _old, _new in changes_between(kept.rule, rule_of(job))} - {"name"}
    if changed:
        new_version(job, by=by, now=now)
    return bool(changed)


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(column, before, after) of what differs; a column that one of them does not know is no difference."""
    return [(name, old[name], value) for name, value in new.items() if name in old and old[name] != value]


def versions_of(job: Job) -> list[tuple[JobVersion, list[tuple[str, Any, Any]]]]:
    """The versions of a job, the newest first, each with what it changed."""
    rows = list(job.versions.order_by("number"))
    found = [(row, changes_between(before.rule, row.rule)) for before, row in pairwise(rows)]
    return [*reversed(found), *((row, []) for row in rows[:1])]


def restore(job: Job, version: JobVersion, *, by: Any, now: datetime) -> list[tuple[str, Any, Any]]:
    """Bring an old rule back as a new version; what it changed. ValidationError when it cannot be any more.

    The job's name, whether it is on, and its mode stay as they are.
    """
    with transaction.atomic():
        fresh = Job.objects.select_for_update(no_key=True).get(pk=job.pk)
        before = rule_of(fresh)
        keep_version(fresh, by="", now=now)
        wanted = {name: value for name, value in version.rule.items() if name in before and name not in STAYS}
        devices = Device.objects.of(fresh.platform_id).filter(pk__in=wanted.pop("devices", []))
        if wanted and devices.count() < len(version.rule.get("devices", [])):
            raise ValidationError(_("Devices of that version are gone. Choose the devices anew instead."))
        for name, model in (("exporter", Exporter), ("site", Site)):
            if wanted.get(name) and not model.objects.of(fresh.platform_id).filter(pk=wanted[name]).exists():
                raise ValidationError(_("The exporter or the site of that version is gone."))
        for name, value in wanted.items():
            setattr(fresh, Job._meta.get_field(name).attname, value)
        fresh.full_clean()
        fresh.save()
        fresh.devices.set(devices)
        found = changes_between(before, rule_of(fresh))
        if found:
            new_version(fresh, by=str(by), now=now)
            _record(fresh, "restored", by=by, found=found, number=version.number)
    job.refresh_from_db()
    return found


def clone(job: Job, *, name: str, by: Any, now: datetime) -> Job:
    """A copy that only watches until somebody has looked at it. ValidationError for a name that is taken."""
    with transaction.atomic():
        copy = Job.objects.get(pk=job.pk)
        copy.pk, copy._state.adding = None, True
        copy.name, copy.mode, copy.version = name, Mode.SHADOW, 1
        copy.evaluated_at, copy.next_at, copy.broken_reason, copy.broken_since = None, None, "", None
        copy.full_clean()
        copy.save(force_insert=True)
        copy.devices.set(job.devices.all())
        keep_version(copy, by=str(by), now=now)
        audit.record(
            actor=audit.person(by), verb="job.cloned", target=copy, platform=copy.platform,
            after={**rule_of(copy), "of": job.name}, at=now,
        )  # fmt: skip
    return copy


def _record(job: Job, deed: str, *, by: Any, found: list[tuple[str, Any, Any]], number: int) -> None:
    audit.record(
        actor=audit.person(by), verb=f"job.{deed}", target=job, platform=job.platform,
        before={name: old for name, old, _new in found},
        after={"version": number, **{name: new for name, _old, new in found}},
    )  # fmt: skip
