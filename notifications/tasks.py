"""What django-q2 runs for notifications."""

from notifications.limits import notify_of_limits
from notifications.services import deliver_due


def deliver() -> None:
    """Send what is due; also run by the minute sweep."""
    deliver_due()


def tell_limits() -> None:
    """Tell of platforms whose SMS run out."""
    notify_of_limits()
