"""Pages of ``automation``: jobs, cases, the why-not journal, alerts, the connection to Prometheus."""

from automation.admin.alerts import AlertAdmin, AlertSourceAdmin, RejectedAlertAdmin, WebhookAdmin
from automation.admin.cases import CaseAdmin, GuardRefusalAdmin
from automation.admin.jobs import JobAdmin
from automation.admin.maintenance import MaintenanceAdmin
from automation.admin.prometheus import PrometheusConnectionAdmin

__all__ = [
    "AlertAdmin",
    "AlertSourceAdmin",
    "CaseAdmin",
    "GuardRefusalAdmin",
    "JobAdmin",
    "MaintenanceAdmin",
    "PrometheusConnectionAdmin",
    "RejectedAlertAdmin",
    "WebhookAdmin",
]
