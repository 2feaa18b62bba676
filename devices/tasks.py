"""What the queue may run: harmless when lost, late or doubled."""

from typing import Any

from devices.services import onboarding
from remosa.lib.clock import utcnow


def run_onboarding(pk: Any) -> bool:
    """Check or store one client's table."""
    return onboarding.run_onboarding(pk)


def sweep() -> int:
    """Find what a lost wake-up has left behind."""
    return onboarding.sweep_onboardings(now=utcnow())
