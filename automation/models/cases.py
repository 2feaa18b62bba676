"""Cases: one incident from its evidence to its end, with every step and every refusal."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.models.jobs import Job
from automation.states import LIVE, CaseState, RunState
from devices.models import Command, Device
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class Case(models.Model):
    """One incident of one device, or of many at once (``mass``), or of a CMS (``upstream``).

    ``subject`` names what it is about (``device:12``, ``site:3``, ``exporter:4``, ``platform:1``);
    there is one live case per subject, whatever opened it. It ends verified, cancelled, or with a
    person: ``escalated``.
    """

    class Kind(models.TextChoices):
        DEVICE = "device", _("device")
        MASS = "mass", _("many devices at once")
        UPSTREAM = "upstream", _("the CMS itself")
        JOB = "job", _("a job that cannot run")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")
    HISTORY = "steps"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(Platform, models.CASCADE, related_name="cases", verbose_name=_("platform"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.DEVICE)
    subject = models.CharField(max_length=64)
    title = models.CharField(_("about"), max_length=300)
    device = models.ForeignKey(
        Device, models.PROTECT, null=True, blank=True, related_name="cases", verbose_name=_("device")
    )
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="children", verbose_name=_("part of")
    )
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="cases", verbose_name=_("job"))
    job_version = models.PositiveIntegerField(default=0)
    mode = models.CharField(_("mode"), max_length=16, blank=True)
    state = models.CharField(
        _("state"), max_length=16, choices=CaseState.choices, default=CaseState.OPEN, editable=False
    )
    state_changed_at = models.DateTimeField(_("in this state since"))
    opened_at = models.DateTimeField(_("opened"))
    down_since = models.DateTimeField(_("down since"), null=True)
    back_since = models.DateTimeField(_("back since"), null=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    outcome = models.CharField(_("outcome"), max_length=64, blank=True)
    evidence = models.JSONField(_("evidence"), default=dict)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    notices_sent = models.PositiveSmallIntegerField(default=0)
    deadline_at = models.DateTimeField(_("next deadline"), null=True)
    cause_id = models.UUIDField(default=uuid.uuid4)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("taken by"),
    )
    acknowledged_at = models.DateTimeField(_("taken at"), null=True, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        ordering = ["-opened_at"]
        indexes = [
            models.Index(fields=["platform", "state", "-opened_at"], name="case_board"),
            models.Index(fields=["state", "deadline_at"], name="case_due"),
            models.Index(fields=["device", "-opened_at"], name="case_of_device"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["subject"],
                name="case_one_live_per_subject",
                condition=models.Q(state__in=[s.value for s in LIVE]),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class CaseStep(models.Model):
    """One move of a case's state; append-only."""

    PLATFORM_PATH = "case__platform"
    OWNER_PATHS = ("case__device__owner", "case__device__shares__user")

    case = models.ForeignKey(Case, models.CASCADE, related_name="steps")
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16, choices=CaseState.choices)
    at = models.DateTimeField()
    why = models.CharField(max_length=300, blank=True)
    by = models.CharField(max_length=100, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("step of a case")
        verbose_name_plural = _("steps of cases")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class CaseEvent(models.Model):
    """Something that happened to a case and is told in its timeline: ``kind`` and the words' data."""

    PLATFORM_PATH = "case__platform"
    OWNER_PATHS = ("case__device__owner", "case__device__shares__user")

    case = models.ForeignKey(Case, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    data = models.JSONField(default=dict)
    by = models.CharField(max_length=100, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("event of a case")
        verbose_name_plural = _("events of cases")
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return self.kind


class ActionRun(models.Model):
    """One step of a case: what was planned, the command or call it became, how it ended.

    ``step`` is the step as the job had it then, and ``rung`` its place in the ladder; ``attempt`` counts on
    where a person asks for one more.
    """

    PLATFORM_PATH = "case__platform"
    OWNER_PATHS = ("case__device__owner", "case__device__shares__user")

    case = models.ForeignKey(Case, models.CASCADE, related_name="runs", verbose_name=_("case"))
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    command = models.OneToOneField(
        Command, models.SET_NULL, null=True, related_name="run", verbose_name=_("command")
    )
    call = models.OneToOneField(
        "automation.ActionCall", models.SET_NULL, null=True, related_name="run", verbose_name=_("call")
    )
    rung = models.PositiveSmallIntegerField(_("step"), default=0)
    step = models.JSONField(default=dict)
    state = models.CharField(_("state"), max_length=16, choices=RunState.choices, default=RunState.PLANNED)
    state_changed_at = models.DateTimeField()
    planned_at = models.DateTimeField(_("planned"))
    reason = models.CharField(_("reason"), max_length=100, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("action")
        verbose_name_plural = _("actions")
        ordering = ["-planned_at"]
        constraints = [models.UniqueConstraint(fields=["case", "attempt"], name="run_once_per_attempt")]

    def __str__(self) -> str:
        return f"{self.case} #{self.attempt}"


class GuardRefusal(models.Model):
    """Why an action did not happen: the why-not journal. Repeats of one refusal are counted, not listed."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="refusals", verbose_name=_("platform")
    )
    case = models.ForeignKey(Case, models.CASCADE, null=True, related_name="refusals", verbose_name=_("case"))
    job = models.ForeignKey(Job, models.CASCADE, null=True, related_name="refusals", verbose_name=_("job"))
    device = models.ForeignKey(Device, models.CASCADE, related_name="refusals", verbose_name=_("device"))
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    guard = models.CharField(_("guard"), max_length=32)
    reason = models.CharField(_("reason"), max_length=64)
    data = models.JSONField(default=dict)
    lifts_at = models.DateTimeField(_("lifts"), null=True)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))
    times = models.PositiveIntegerField(_("times"), default=1)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("why not")
        verbose_name_plural = _("why-not journal")
        ordering = ["-last_at"]
        indexes = [models.Index(fields=["platform", "-last_at"], name="refusal_journal")]
        constraints = [
            models.UniqueConstraint(
                fields=["case", "attempt", "guard", "reason"], name="refusal_once_per_attempt"
            )
        ]

    def __str__(self) -> str:
        return f"{self.device}: {self.reason}"
