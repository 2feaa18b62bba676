"""Tables of ``automation``."""

from automation.models.cases import ActionRun, Case, CaseEvent, CaseStep, GuardRefusal
from automation.models.jobs import Heartbeat, Job, JobRun, JobState
from automation.models.maintenance import Maintenance
from automation.models.prometheus import PrometheusConnection

__all__ = [
    "ActionRun",
    "Case",
    "CaseEvent",
    "CaseStep",
    "GuardRefusal",
    "Heartbeat",
    "Job",
    "JobRun",
    "JobState",
    "Maintenance",
    "PrometheusConnection",
]
