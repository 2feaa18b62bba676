"""What changes devices and commands. Public calls for the apps above; everything else is private."""

from devices.services.commands import (
    cancel_command,
    close_unknown,
    dispatch_waiting,
    may_send,
    preview,
    refusal_at_barrier,
    request_command,
)
from devices.services.events import record_event
from devices.services.inventory import create_device, find_device, link_power, remove_device, unlink_power
from devices.services.moves import (
    move_device,
    proof_since,
    recheck_passed,
    replace_player,
    replace_sim,
    replace_socket,
    return_to_service,
)
from devices.services.observations import (
    Observed,
    adopt_names,
    clamp_future,
    mark_unknown,
    record_observations,
)
from devices.services.onboarding import (
    cancel_onboarding,
    may_be_stored,
    start_onboarding,
    store_onboarding,
    table_of,
)
from devices.services.outcomes import (
    assign_reply,
    confirm,
    record_delivery,
    record_failed,
    record_refused_at_barrier,
    record_reply,
    record_sent,
    record_unknown,
    sweep_commands,
)
from devices.services.restorations import power_cycle, see_to
from devices.services.shares import change_share, end_share, may_share, share_device

__all__ = [
    "Observed",
    "adopt_names",
    "assign_reply",
    "cancel_command",
    "cancel_onboarding",
    "change_share",
    "clamp_future",
    "close_unknown",
    "confirm",
    "create_device",
    "dispatch_waiting",
    "end_share",
    "find_device",
    "link_power",
    "mark_unknown",
    "may_be_stored",
    "may_send",
    "may_share",
    "move_device",
    "power_cycle",
    "preview",
    "proof_since",
    "recheck_passed",
    "record_delivery",
    "record_event",
    "record_failed",
    "record_observations",
    "record_refused_at_barrier",
    "record_reply",
    "record_sent",
    "record_unknown",
    "refusal_at_barrier",
    "remove_device",
    "replace_player",
    "replace_sim",
    "replace_socket",
    "request_command",
    "return_to_service",
    "see_to",
    "share_device",
    "start_onboarding",
    "store_onboarding",
    "sweep_commands",
    "table_of",
    "unlink_power",
]
