"""The ladder of a job: what is tried in which order, each step with its own wait for proof. Pure.

Behind the last step there is always a person. Steps are data of the job::

    [{"do": "webhook", "webhook": 3, "wait_s": 180},
     {"do": "cycle", "wait_s": 900},
     {"do": "cycle", "minutes": 5, "wait_s": 900}]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MOST_STEPS = 8
LONGEST_WAIT_S = 86_400
MOST_MINUTES = 720  # that any model leaves an output off


class Do(StrEnum):
    """What a step does: ``notice`` and ``wait`` switch nothing, so they need neither guards nor approval."""

    CYCLE = "cycle"
    WEBHOOK = "webhook"
    NOTICE = "notice"
    WAIT = "wait"


OWN = {Do.CYCLE: {"minutes"}, Do.WEBHOOK: {"webhook"}, Do.NOTICE: set(), Do.WAIT: set()}


@dataclass(frozen=True)
class Rung:
    """One step. ``minutes`` None: as long as the job's command says; ``wait`` is for the proof that it helped."""

    do: Do
    wait: timedelta = timedelta(minutes=15)
    webhook: int | None = None
    minutes: int | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is switched by it."""
        return self.do in (Do.NOTICE, Do.WAIT)

    def as_data(self) -> dict[str, Any]:
        """As it is stored."""
        found = {"do": str(self.do), "webhook": self.webhook, "minutes": self.minutes}
        return {name: value for name, value in found.items() if value is not None} | {
            "wait_s": self.wait.total_seconds()
        }


CYCLE = Rung(Do.CYCLE)


def rung_of(stored: Mapping[str, Any]) -> Rung:
    """The step that was stored."""
    wait = timedelta(seconds=stored["wait_s"])
    return Rung(Do(stored["do"]), wait, stored.get("webhook"), stored.get("minutes"))


def validate_ladder(steps: Any) -> None:
    """ValidationError that names the first step that is no step."""
    if not isinstance(steps, list):
        raise ValidationError(_('Write a list of steps such as [{"do": "cycle", "wait_s": 900}].'))
    if len(steps) > MOST_STEPS:
        raise ValidationError(_("At most %(most)d steps.") % {"most": MOST_STEPS})
    for number, step in enumerate(steps, start=1):
        if wrong := _what_is_wrong(step):
            raise ValidationError(_("Step %(number)d: %(wrong)s") % {"number": number, "wrong": wrong})


def _what_is_wrong(step: Any) -> str:
    if not isinstance(step, dict) or step.get("do") not in list(Do):
        return _("say what it does: cycle, webhook, notice or wait.")
    do = Do(step["do"])
    if strange := set(step) - {"do", "wait_s"} - OWN[do]:
        return _("it knows no “%(name)s”.") % {"name": min(map(str, strange))}
    wait_s = step.get("wait_s", 0)
    if not _is_number(wait_s, int | float) or not 1 <= wait_s <= LONGEST_WAIT_S:
        return _("say how long it waits: from 1 second to 24 hours.")
    if do is Do.WEBHOOK and not _is_number(step.get("webhook"), int):
        return _("choose a webhook of this platform.")
    minutes = step.get("minutes", 1)
    if not _is_number(minutes, int) or not 1 <= minutes <= MOST_MINUTES:
        return _("give a whole number from 1 to %(most)d minutes.") % {"most": MOST_MINUTES}
    return ""


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
