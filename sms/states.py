"""Lives of SMS.

Outgoing::

    queued -> claimed -> sending -> sent -> delivered
      |  ^       |          |         +--> undelivered   the network gave it up
      |  +-------+          +--> queued                  proven not sent, tries and time left
      |   lease lost        +--> failed                  refused for good, or tries spent
      |   before the        +--> unknown                 lease lost or answer ambiguous: it may have left
      |   barrier                  +--> delivered | undelivered     a report settles it after all
      +--> expired | cancelled
      +--> sending                                       a message to people: nobody is to be asked

A command is ``claimed`` while its guards are asked; a message to people has none, and is claimed and passes
the barrier in one statement.

``sending`` is committed before the first byte leaves (the barrier): who finds an abandoned
``claimed`` row knows that nothing was sent, who finds an abandoned ``sending`` row knows that it
may have been.

Incoming::

    received -> matched | understood | unmatched | ambiguous | ignored
                             unmatched, ambiguous -> matched | understood | ignored

``understood`` answers no command, and needs nobody: what it says stands in the facts and events of its device.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from remosa.lib.lifecycle import Lifecycle


class SmsState(models.TextChoices):
    QUEUED = "queued", _("queued")
    CLAIMED = "claimed", _("taken up")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    DELIVERED = "delivered", _("delivered")
    UNDELIVERED = "undelivered", _("not delivered")
    FAILED = "failed", _("not sent")
    UNKNOWN = "unknown", _("outcome unknown")
    EXPIRED = "expired", _("expired")
    CANCELLED = "cancelled", _("cancelled")


S = SmsState
SMS = Lifecycle(
    {
        S.QUEUED: frozenset({S.CLAIMED, S.SENDING, S.EXPIRED, S.CANCELLED}),
        S.CLAIMED: frozenset({S.SENDING, S.QUEUED, S.CANCELLED, S.EXPIRED}),
        S.SENDING: frozenset({S.SENT, S.QUEUED, S.FAILED, S.UNKNOWN, S.DELIVERED, S.UNDELIVERED}),
        S.SENT: frozenset({S.DELIVERED, S.UNDELIVERED}),
        S.UNKNOWN: frozenset({S.DELIVERED, S.UNDELIVERED}),
        S.DELIVERED: frozenset(),
        S.UNDELIVERED: frozenset(),
        S.FAILED: frozenset(),
        S.EXPIRED: frozenset(),
        S.CANCELLED: frozenset(),
    }
)


class InboundState(models.TextChoices):
    RECEIVED = "received", _("received")
    MATCHED = "matched", _("matched")
    UNDERSTOOD = "understood", _("understood")
    UNMATCHED = "unmatched", _("unmatched")
    AMBIGUOUS = "ambiguous", _("ambiguous")
    IGNORED = "ignored", _("set aside")


I = InboundState  # noqa: E741  the table below reads best with one letter
INBOUND = Lifecycle(
    {
        I.RECEIVED: frozenset({I.MATCHED, I.UNDERSTOOD, I.UNMATCHED, I.AMBIGUOUS, I.IGNORED}),
        I.UNMATCHED: frozenset({I.MATCHED, I.UNDERSTOOD, I.IGNORED}),
        I.AMBIGUOUS: frozenset({I.MATCHED, I.UNDERSTOOD, I.IGNORED}),
        I.MATCHED: frozenset(),
        I.UNDERSTOOD: frozenset(),
        I.IGNORED: frozenset(),
    }
)
WAITS_FOR_A_PERSON = (I.UNMATCHED, I.AMBIGUOUS)
