"""What the queue may run for devices: an id in, a service called. Each may run never, once or often."""

import uuid

from devices.services.restorations import see_to
from remosa.lib.clock import utcnow


def restoration(restoration_id: str) -> None:
    """Something moved in this story."""
    see_to(uuid.UUID(restoration_id), now=utcnow())
