"""Life of a command to a device::

    requested -> queued -> sent -> delivered -> replied -> verified
        |          |         |         |           +-----> refused      the device said no
        |          |         +---------+-----------+-----> unverified   no proof in time
        |          |         +---------------------------> not_executed the network gave it up
        |          +--> failed        every gateway refused it for good
        |          +--> unknown       it may have left
        |                  +--> sent | delivered | replied | verified | not_executed
        |                  +--> needs_operator -> closed_by_operator | verified
        +----------+--> blocked | cancelled | expired | superseded

Reports and replies come late, twice and in the wrong order; evidence only ever moves a command
forward, so every order ends in the same state. ``requested`` waits for its turn on the actuator.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from remosa.lib.lifecycle import Lifecycle


class CommandState(models.TextChoices):
    REQUESTED = "requested", _("waiting for its turn")
    QUEUED = "queued", _("queued")
    SENT = "sent", _("sent")
    DELIVERED = "delivered", _("delivered")
    REPLIED = "replied", _("replied")
    VERIFIED = "verified", _("verified")
    REFUSED = "refused", _("refused by the device")
    UNVERIFIED = "unverified", _("no proof in time")
    NOT_EXECUTED = "not_executed", _("not executed")
    FAILED = "failed", _("not sent")
    UNKNOWN = "unknown", _("outcome unknown")
    NEEDS_OPERATOR = "needs_operator", _("needs a person")
    CLOSED_BY_OPERATOR = "closed_by_operator", _("closed by a person")
    BLOCKED = "blocked", _("blocked")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("expired")
    SUPERSEDED = "superseded", _("no longer needed")


S = CommandState
NEVER_SENT = frozenset({S.BLOCKED, S.CANCELLED, S.EXPIRED, S.SUPERSEDED})
PROOFS = frozenset({S.REPLIED, S.VERIFIED})
LATER = PROOFS | {S.REFUSED, S.UNVERIFIED, S.NOT_EXECUTED}

COMMAND = Lifecycle(
    {
        S.REQUESTED: NEVER_SENT | {S.QUEUED},
        S.QUEUED: NEVER_SENT | {S.SENT, S.DELIVERED, S.FAILED, S.UNKNOWN} | LATER - {S.UNVERIFIED},
        S.SENT: LATER | {S.DELIVERED},
        S.DELIVERED: LATER - {S.NOT_EXECUTED},
        S.REPLIED: frozenset({S.VERIFIED, S.REFUSED, S.UNVERIFIED}),
        S.UNKNOWN: PROOFS | {S.SENT, S.DELIVERED, S.REFUSED, S.NOT_EXECUTED, S.NEEDS_OPERATOR},
        S.NEEDS_OPERATOR: frozenset({S.CLOSED_BY_OPERATOR, S.VERIFIED}),
        **{state: frozenset() for state in NEVER_SENT},
        S.VERIFIED: frozenset(),
        S.REFUSED: frozenset(),
        S.UNVERIFIED: frozenset(),
        S.NOT_EXECUTED: frozenset(),
        S.FAILED: frozenset(),
        S.CLOSED_BY_OPERATOR: frozenset(),
    }
)

IN_FLIGHT = (S.QUEUED, S.SENT, S.DELIVERED, S.UNKNOWN)  # at most one per actuator
AWAITING_REPLY = (S.QUEUED, S.SENT, S.DELIVERED, S.UNKNOWN)
MAY_HAVE_ACTED = (
    S.SENT, S.DELIVERED, S.REPLIED, S.VERIFIED, S.UNVERIFIED, S.UNKNOWN, S.NEEDS_OPERATOR, S.CLOSED_BY_OPERATOR,
)  # fmt: skip


class RestorationState(models.TextChoices):
    """An output that must be on again::

    arming -> dark -> restoring -> kept
       |        +--------+---> broken -> kept   people were told; it goes on being tried
       +--------+--------+--------+---> cancelled   nothing was switched off, or a person leaves it off
    """

    ARMING = "arming", _("the way back is being prepared")
    DARK = "dark", _("switched off for now")
    RESTORING = "restoring", _("being switched on")
    KEPT = "kept", _("on again")
    BROKEN = "broken", _("not on again: needs a person")
    CANCELLED = "cancelled", _("cancelled")


R = RestorationState
RESTORATION = Lifecycle(
    {
        R.ARMING: frozenset({R.DARK, R.CANCELLED}),
        R.DARK: frozenset({R.RESTORING, R.KEPT, R.BROKEN, R.CANCELLED}),
        R.RESTORING: frozenset({R.KEPT, R.BROKEN, R.CANCELLED}),
        R.BROKEN: frozenset({R.KEPT, R.CANCELLED}),
        R.KEPT: frozenset(),
        R.CANCELLED: frozenset(),
    }
)
RESTORATION_LIVE = (R.ARMING, R.DARK, R.RESTORING, R.BROKEN)  # at most one per output


class DeviceState(models.TextChoices):
    """What the last observation said. UNKNOWN is never OFFLINE."""

    ONLINE = "online", _("online")
    OFFLINE = "offline", _("offline")
    UNKNOWN = "unknown", _("no data")


class OnboardingState(models.TextChoices):
    """Life of a client's table::

    uploaded -> checked -> storing -> stored
       |           |          +----> checked     the platform has changed: look again
       |           |          +----> failed      given up after several tries
       +-----------+---------------> cancelled
       +---------------------------> refused     no table, or too large
    """

    UPLOADED = "uploaded", _("being checked")
    CHECKED = "checked", _("checked")
    STORING = "storing", _("being stored")
    STORED = "stored", _("stored")
    REFUSED = "refused", _("not taken")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


ONBOARDING = Lifecycle(
    {
        OnboardingState.UPLOADED: frozenset(
            {
                OnboardingState.CHECKED,
                OnboardingState.REFUSED,
                OnboardingState.FAILED,
                OnboardingState.CANCELLED,
            }
        ),
        OnboardingState.CHECKED: frozenset({OnboardingState.STORING, OnboardingState.CANCELLED}),
        OnboardingState.STORING: frozenset(
            {OnboardingState.STORED, OnboardingState.CHECKED, OnboardingState.FAILED}
        ),
        OnboardingState.STORED: frozenset(),
        OnboardingState.REFUSED: frozenset(),
        OnboardingState.FAILED: frozenset(),
        OnboardingState.CANCELLED: frozenset(),
    }
)
