"""What django-q2 runs for notifications."""

from notifications.services import deliver_due


def deliver() -> None:
    """Send what is due; also run by the minute sweep."""
    deliver_due()
