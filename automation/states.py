"""Lives of cases and of a job's view of one device.

Case::

    open -> acting -> verifying -> verified
      |        |   <-----+   +---> escalated        a person was told
      |        +---------+
      +--> verifying                                back by itself
      open, acting, verifying, escalated -> cancelled          by a person, or its reason is gone
      escalated -> verifying -> verified            it came back after all

A job's phase for one device::

    ok -> pending -> firing -> recovering -> ok     pending -> ok      recovering -> firing

An alert that was sent to us (one episode: source, fingerprint, start). It only ever goes forward,
in whatever order and however often it is told::

    pending -> firing -> resolved       pending -> resolved

A call of an action that is not a command::

    queued -> sending -> done
      ^          +-----> queued      nothing happened: later again
      |          +-----> failed      refused, or tries spent
      |          +-----> unknown     it may have been done: never again by itself
      +--> cancelled                 too late, or the case has ended
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from remosa.lib.lifecycle import Lifecycle


class CaseState(models.TextChoices):
    OPEN = "open", _("open")
    ACTING = "acting", _("acting")
    VERIFYING = "verifying", _("verifying")
    VERIFIED = "verified", _("recovered")
    ESCALATED = "escalated", _("handed to a person")
    CANCELLED = "cancelled", _("cancelled")


C = CaseState
CASE = Lifecycle(
    {
        C.OPEN: frozenset({C.ACTING, C.VERIFYING, C.ESCALATED, C.CANCELLED}),
        C.ACTING: frozenset({C.VERIFYING, C.ESCALATED, C.CANCELLED}),
        C.VERIFYING: frozenset({C.VERIFIED, C.ACTING, C.OPEN, C.ESCALATED, C.CANCELLED}),
        C.ESCALATED: frozenset({C.VERIFYING, C.CANCELLED}),
        C.VERIFIED: frozenset(),
        C.CANCELLED: frozenset(),
    }
)
LIVE = (C.OPEN, C.ACTING, C.VERIFYING, C.ESCALATED)  # one such case per subject
STILL_WANTED = (C.OPEN, C.ACTING)  # a command of the case may leave


class Phase(models.TextChoices):
    OK = "ok", _("fine")
    PENDING = "pending", _("being watched")
    FIRING = "firing", _("condition holds")
    RECOVERING = "recovering", _("recovering")


class Mode(models.TextChoices):
    SHADOW = "shadow", _("watch only")
    SUGGEST = "suggest", _("suggest")
    AUTO = "auto", _("automatic")

    @property
    def rank(self) -> int:
        """A job of a higher rank may do more by itself."""
        return list(Mode).index(self)


class RunState(models.TextChoices):
    PLANNED = "planned", _("planned")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    SKIPPED = "skipped", _("skipped")


RUN = Lifecycle(
    {
        RunState.PLANNED: frozenset({RunState.RUNNING, RunState.SKIPPED, RunState.FAILED}),
        RunState.RUNNING: frozenset({RunState.DONE, RunState.FAILED}),
        RunState.DONE: frozenset(),
        RunState.FAILED: frozenset(),
        RunState.SKIPPED: frozenset(),
    }
)


class AlertState(models.TextChoices):
    PENDING = "pending", _("pending")
    FIRING = "firing", _("firing")
    RESOLVED = "resolved", _("resolved")


ALERT = Lifecycle(
    {
        AlertState.PENDING: frozenset({AlertState.FIRING, AlertState.RESOLVED}),
        AlertState.FIRING: frozenset({AlertState.RESOLVED}),
        AlertState.RESOLVED: frozenset(),
    }
)


class CallState(models.TextChoices):
    QUEUED = "queued", _("queued")
    SENDING = "sending", _("being sent")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    UNKNOWN = "unknown", _("outcome unknown")
    CANCELLED = "cancelled", _("cancelled")


CALL = Lifecycle(
    {
        CallState.QUEUED: frozenset({CallState.SENDING, CallState.CANCELLED}),
        CallState.SENDING: frozenset({CallState.DONE, CallState.QUEUED, CallState.FAILED, CallState.UNKNOWN}),
        CallState.DONE: frozenset(),
        CallState.FAILED: frozenset(),
        CallState.UNKNOWN: frozenset(),
        CallState.CANCELLED: frozenset(),
    }
)
