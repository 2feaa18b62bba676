"""What django-q2 runs for platforms."""

from platforms import audit_seal, invitations
from remosa.lib.clock import utcnow


def seal_audit() -> None:
    """Seal the lines of the audit that were written since the last minute."""
    audit_seal.seal_all(now=utcnow())


def mail_invitation(key: str) -> None:
    """Send one invitation's mail."""
    invitations.mail_by_id(key)
