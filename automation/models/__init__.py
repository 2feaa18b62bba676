"""Tables of ``automation``."""

from automation.models.actions import ActionCall, Webhook
from automation.models.alerts import (
    Alert,
    AlertChange,
    AlertDelivery,
    AlertMapping,
    AlertSource,
    RejectedAlert,
)
from automation.models.cases import ActionRun, Case, CaseEvent, CaseStep, GuardRefusal
from automation.models.jobs import Heartbeat, Job, JobRun, JobState, JobVersion
from automation.models.maintenance import Holiday, Maintenance
from automation.models.prometheus import PrometheusConnection

__all__ = [
    "ActionCall",
    "ActionRun",
    "Alert",
    "AlertChange",
    "AlertDelivery",
    "AlertMapping",
    "AlertSource",
    "Case",
    "CaseEvent",
    "CaseStep",
    "GuardRefusal",
    "Heartbeat",
    "Holiday",
    "Job",
    "JobRun",
    "JobState",
    "JobVersion",
    "Maintenance",
    "PrometheusConnection",
    "RejectedAlert",
    "Webhook",
]
