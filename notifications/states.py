"""Life of one notice on its way to one person::

queued -> sending -> sent
  ^          +-----> queued     try again later
  |          +-----> failed     refused for good, or tries spent
  +--> muted
  +--> folded                   told in the message that carries another one
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from remosa.lib.lifecycle import Lifecycle


class DeliveryState(models.TextChoices):
    QUEUED = "queued", _("queued")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")
    MUTED = "muted", _("muted")
    FOLDED = "folded", _("sent in a digest")


D = DeliveryState
DELIVERY = Lifecycle(
    {
        D.QUEUED: frozenset({D.SENDING, D.MUTED, D.FOLDED}),
        D.SENDING: frozenset({D.SENT, D.QUEUED, D.FAILED}),
        D.SENT: frozenset(),
        D.FAILED: frozenset(),
        D.MUTED: frozenset(),
        D.FOLDED: frozenset(),
    }
)
