"""What the queue may run for devices: an id in, a service called. Each may run never, once or often."""

import uuid
from typing import Any

from devices.services import onboarding, sims
from devices.services.restorations import see_to
from remosa.lib.clock import utcnow


def restoration(restoration_id: str) -> None:
    """Something moved in this story."""
    see_to(uuid.UUID(restoration_id), now=utcnow())


def run_onboarding(pk: Any) -> bool:
    """Check or store one client's table."""
    return onboarding.run_onboarding(pk)


def sweep() -> int:
    """Find what a lost wake-up has left behind."""
    now = utcnow()
    told = sims.tell_of_silence(now=now) + sims.tell_of_payment(now=now) + sims.ask_monthly(now=now)
    return told + onboarding.sweep_onboardings(now=now)
