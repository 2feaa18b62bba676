"""The jobs that a preset gives a new client: they begin in shadow, whatever the preset would like."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from automation.models import Job
from automation.selectors import rung_words
from automation.sentences import job_sentence
from automation.states import Mode
from devices.models import CommandTemplate
from platforms import audit
from platforms.models import Platform
from platforms.presets import in_words

FIELDS = frozenset({
    "name", "template_key", "params", "ladder", "hold_s", "fresh_samples", "evidence_max_age_s", "max_attempts",
    "cooldown_s", "max_actions_per_day", "max_actions_per_week", "patience_s", "verify_s", "stable_s",
})  # fmt: skip  # no mode, and no leave to darken healthy neighbours: a person gives those


class JobsOfAPreset:
    """The port of ``platforms``."""

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if wrong := set(row) - FIELDS:
                raise ValueError(f"no job of a preset has {', '.join(sorted(wrong))}")
            try:
                _job(row).clean_fields(exclude=["platform"])
            except ValidationError as exc:
                raise ValueError(str(exc.message_dict)) from exc

    def brings(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        templates = CommandTemplate.objects.filter(key__in=[row["template_key"] for row in rows])
        names = {template.key: template.name for template in templates}
        return [_sentence(_job(row), names) for row in rows]

    def apply(self, platform: Platform, rows: Sequence[Mapping[str, Any]], *, by: Any) -> int:
        for row in rows:
            job = _job(row)
            job.platform = platform
            job.full_clean()
            job.save(force_insert=True)
            audit.record(
                actor=audit.person(by),
                verb="job.created",
                target=job,
                platform=platform,
                after=audit.fields_of(job),
            )
        return len(rows)


def _job(row: Mapping[str, Any]) -> Job:
    return Job(**{**row, "name": in_words(row["name"])}, mode=Mode.SHADOW)


def _sentence(job: Job, names: Mapping[str, str]) -> str:
    said = job_sentence(
        scope=_("all players"), source=job.source, comparison="", hold_s=job.hold_s, fresh_samples=job.fresh_samples,
        mode=job.mode, command=names.get(job.template_key, job.template_key), max_attempts=job.max_attempts,
        cooldown_s=job.cooldown_s, verify_s=job.verify_s, steps=rung_words(job.rungs, {}) if job.ladder else (),
    )  # fmt: skip
    return _("Job “%(name)s” in shadow. %(sentence)s") % {"name": job.name, "sentence": said}
