"""What django-q2 runs for notifications."""

from notifications.device_events import notify_of_missed_events
from notifications.doubts import notify_of_doubts
from notifications.gateways import notify_of_gateways
from notifications.limits import notify_of_limits
from notifications.services import deliver_due
from remosa.lib.clock import utcnow


def deliver() -> None:
    """Send what is due."""
    deliver_due()


def sweep() -> None:
    """What a lost bell left behind, then what is due."""
    notify_of_gateways()
    notify_of_missed_events(now=utcnow())
    notify_of_doubts()
    deliver_due()


def tell_limits() -> None:
    """Tell of platforms whose SMS run out."""
    notify_of_limits()
