"""What django-q2 runs for platforms."""

from datetime import timedelta

from platforms import audit_seal, invitations, password_reset
from platforms.models import KeyedCall
from remosa.lib.clock import utcnow

KEPT = timedelta(days=3)  # for how long an Idempotency-Key gets the same answer


def seal_audit() -> None:
    """Seal the lines of the audit that were written since the last minute."""
    audit_seal.seal_all(now=utcnow())


def forget_keys() -> None:
    """Drop the answers that nobody asks for again."""
    KeyedCall.objects.filter(created_at__lt=utcnow() - KEPT).delete()


def mail_invitation(key: str) -> None:
    """Send one invitation's mail."""
    invitations.mail_by_id(key)


def mail_password_reset(pk: int) -> None:
    """Send somebody the link to a new password; 0 is nobody."""
    password_reset.mail_by_id(pk)
