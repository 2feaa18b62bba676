"""Pages of ``platforms``: clients, their people, tokens, the audit, the ledger, stops of automation."""

from platforms.admin.invitations import InvitationAdmin
from platforms.admin.journal import AuditEventAdmin
from platforms.admin.ledger import LedgerEntryAdmin
from platforms.admin.people import MembershipAdmin, UserAdmin
from platforms.admin.platform import PlatformPage
from platforms.admin.switches import KillSwitchAdmin
from platforms.admin.tokens import ApiTokenAdmin

__all__ = [
    "ApiTokenAdmin",
    "AuditEventAdmin",
    "InvitationAdmin",
    "KillSwitchAdmin",
    "LedgerEntryAdmin",
    "MembershipAdmin",
    "PlatformPage",
    "UserAdmin",
]
