"""What changes exporters. Public calls for the apps above; everything else is private."""

from exporters.services.accounts import create_exporter, poll_now, remove_exporter, update_exporter
from exporters.services.leases import Work, claim_due, note_progress, release_leases, renew_leases
from exporters.services.rounds import refresh_snapshot, store_round
from exporters.services.targets import (
    AddReport,
    Refused,
    add_targets,
    adopt_found,
    correct_target,
    remove_targets,
)

__all__ = [
    "AddReport",
    "Refused",
    "Work",
    "add_targets",
    "adopt_found",
    "claim_due",
    "correct_target",
    "create_exporter",
    "note_progress",
    "poll_now",
    "refresh_snapshot",
    "release_leases",
    "remove_exporter",
    "remove_targets",
    "renew_leases",
    "store_round",
    "update_exporter",
]
