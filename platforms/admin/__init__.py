"""Pages of ``platforms``: clients, their people, tokens, the audit, stops of automation."""

from platforms.admin.invitations import InvitationAdmin
from platforms.admin.journal import AuditEventAdmin
from platforms.admin.people import MembershipAdmin, UserAdmin
from platforms.admin.platform import PlatformPage
from platforms.admin.switches import KillSwitchAdmin
from platforms.admin.tokens import ApiTokenAdmin

__all__ = [
    "ApiTokenAdmin",
    "AuditEventAdmin",
    "InvitationAdmin",
    "KillSwitchAdmin",
    "MembershipAdmin",
    "PlatformPage",
    "UserAdmin",
]
