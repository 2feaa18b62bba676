"""What becomes of a message after one try. Pure: no database, no clock, no log.

The decision stands on what the gateway's answer proves (``GatewayError.outcome``) and on how many
tries and how much time are left. ``unknown`` is never tried again: it may have left.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from remosa.lib.backoff import backoff
from sms.errors import GatewayError
from sms.states import SmsState


@dataclass(frozen=True)
class Settlement:
    """Where the message goes; ``spent`` None means that its units stay reserved for another try."""

    state: SmsState
    spent: bool | None
    reason: str = ""
    next_attempt_at: datetime | None = None


@dataclass(frozen=True)
class Tries:
    """What is left for a message: ``made`` tries of ``allowed``, until ``expires_at``."""

    made: int
    allowed: int
    expires_at: datetime


def settle(
    error: GatewayError | None, tries: Tries, *, other_gateway: bool, jitter: float, now: datetime
) -> Settlement:
    """Decide after one try; ``error`` None is an acceptance.

    ``other_gateway`` says that another gateway is well: a gateway that refuses everybody (wrong key)
    is then no reason to give up. ``jitter`` in [0, 1) spreads the next try.
    """
    if error is None:
        return Settlement(SmsState.SENT, spent=True)
    if error.outcome == "unknown":
        return Settlement(SmsState.UNKNOWN, spent=True, reason=error.reason)
    if error.outcome == "rejected" and not (error.breaks and other_gateway):
        return Settlement(SmsState.FAILED, spent=False, reason=error.reason)
    if tries.made >= tries.allowed:
        return Settlement(SmsState.FAILED, spent=False, reason=f"{error.reason}: no tries left")
    at = now if error.breaks else now + _wait(error, tries.made, jitter=jitter)
    if at >= tries.expires_at:
        return Settlement(SmsState.FAILED, spent=False, reason=f"{error.reason}: no time left")
    return Settlement(SmsState.QUEUED, spent=None, reason=error.reason, next_attempt_at=at)


def _wait(error: GatewayError, made: int, *, jitter: float) -> timedelta:
    """Our backoff, or the gateway's own wish when that is longer."""
    return max(backoff(max(made, 1), jitter=jitter), timedelta(seconds=error.retry_after_s or 0.0))
