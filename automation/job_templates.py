"""Jobs that most people want, ready to be looked at and changed. Data: what is not said here is the model's default."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class JobTemplate:
    """``fields`` are columns of a job; one that is made of it only watches at first."""

    key: str
    title: Any
    about: Any
    fields: dict[str, Any] = field(default_factory=dict)


TEMPLATES = (
    JobTemplate(
        "offline_10",
        _("Reboot players offline for 10 minutes"),
        _("The usual one: on air it waits half an hour and asks a person, off air it repairs before the opening."),
        {"hold_s": 600, "fresh_samples": 3, "params": {"minutes": 1}},
    ),
    JobTemplate(
        "offline_5_urgent",
        _("Reboot players offline for 5 minutes, at any hour"),
        _("For screens that must never be out: it repairs at once, by day and by night."),
        {"hold_s": 300, "fresh_samples": 3, "on_air": "act", "off_air": "act", "params": {"minutes": 1}},
    ),
    JobTemplate(
        "ladder",
        _("Tell people, power-cycle, then for longer"),
        _("Step by step: people hear first; then one minute without power, an hour later five; then a person."),
        {
            "hold_s": 600, "fresh_samples": 3, "params": {"minutes": 1},
            "ladder": [
                {"do": "notice", "wait_s": 300}, {"do": "cycle", "minutes": 1, "wait_s": 900},
                {"do": "cycle", "minutes": 5, "wait_s": 900},
            ],
        },
    ),
    JobTemplate(
        "before_opening",
        _("Repair before the opening"),
        _("It leaves screens alone while they are on air, and repairs in the last hour before the opening."),
        {"hold_s": 1800, "on_air": "leave", "off_air": "before", "lead_s": 3600, "params": {"minutes": 1}},
    ),
    JobTemplate(
        "watch_only",
        _("Watch and call a person after 30 minutes"),
        _("It proposes a power cycle and switches nothing by itself."),
        {"hold_s": 1800, "fresh_samples": 3, "on_air_wait_s": 0, "off_air": "act", "params": {"minutes": 1}},
    ),
    JobTemplate(
        "alerts",
        _("Reboot players of which Grafana or Alertmanager says that they are offline"),
        _("It goes by alerts named PlayerOffline; where only the alert speaks, it asks a person."),
        {
            "source": "alert", "alert_labels": {"alertname": "PlayerOffline"}, "hold_s": 600,
            "params": {"minutes": 1},
        },
    ),
)  # fmt: skip


def template_of(key: str) -> JobTemplate | None:
    """The template of that name."""
    return next((one for one in TEMPLATES if one.key == key), None)
