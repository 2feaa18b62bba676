"""Pages of ``automation``: jobs, cases, the why-not journal, the connection to Prometheus."""

from automation.admin.cases import CaseAdmin, GuardRefusalAdmin
from automation.admin.jobs import JobAdmin
from automation.admin.maintenance import MaintenanceAdmin
from automation.admin.prometheus import PrometheusConnectionAdmin

__all__ = ["CaseAdmin", "GuardRefusalAdmin", "JobAdmin", "MaintenanceAdmin", "PrometheusConnectionAdmin"]
