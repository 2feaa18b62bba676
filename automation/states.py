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
