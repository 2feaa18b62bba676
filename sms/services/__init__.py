"""What changes SMS. Public calls for the apps above; everything else is private."""

from sms.services.gateways import callback_addresses, choose_gateway, configuration_faults
from sms.services.inbound import ignore, match_inbound, receive, sweep_inbound
from sms.services.inboxes import due_inboxes, poll_inbox, read_inbox
from sms.services.messages import cancel, enqueue
from sms.services.reports import apply_delivery_report
from sms.services.statuses import ask_statuses, due_status_rounds

__all__ = [
    "apply_delivery_report",
    "ask_statuses",
    "callback_addresses",
    "cancel",
    "choose_gateway",
    "configuration_faults",
    "due_inboxes",
    "due_status_rounds",
    "enqueue",
    "ignore",
    "match_inbound",
    "poll_inbox",
    "read_inbox",
    "receive",
    "sweep_inbound",
]
