"""Tables of ``platforms``: people, clients, limits, switches, tokens, audit."""

from platforms.models.audit import AuditEvent, AuditHead
from platforms.models.idempotency import KeyedCall
from platforms.models.invitations import Invitation
from platforms.models.ledger import LedgerEntry
from platforms.models.limits import QuotaReservation, Usage
from platforms.models.people import Membership, User
from platforms.models.platform import Platform, PlatformGroupObjectPermission, PlatformUserObjectPermission
from platforms.models.signin import Authenticator, RecoveryCode, TokenFamily
from platforms.models.switches import KillSwitch
from platforms.models.tokens import ApiToken

__all__ = [
    "ApiToken",
    "AuditEvent",
    "AuditHead",
    "Authenticator",
    "Invitation",
    "KeyedCall",
    "KillSwitch",
    "LedgerEntry",
    "Membership",
    "Platform",
    "PlatformGroupObjectPermission",
    "PlatformUserObjectPermission",
    "QuotaReservation",
    "RecoveryCode",
    "TokenFamily",
    "Usage",
    "User",
]
