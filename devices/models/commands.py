"""Commands: what was asked of a device, and each step of what became of it."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.catalogue import CommandTemplate
from devices.models.inventory import Device
from devices.models.restorations import Restoration
from devices.states import IN_FLIGHT, CommandState
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class Command(models.Model):
    """The intent; how it travels is the transport's business. ``state`` is moved by the lifecycle only."""

    class Source(models.TextChoices):
        PERSON = "person", _("person")
        API = "api", _("API")
        JOB = "job", _("job")
        SCHEDULE = "schedule", _("schedule")
        RESTORE = "restore", _("restoring power")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user", "target__owner", "target__shares__user")
    HISTORY = "events"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="commands", verbose_name=_("platform")
    )
    device = models.ForeignKey(Device, models.PROTECT, related_name="commands", verbose_name=_("to"))
    target = models.ForeignKey(
        Device,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="repairs",
        verbose_name=_("in order to repair"),
    )
    template = models.ForeignKey(CommandTemplate, models.PROTECT, related_name="+", verbose_name=_("command"))
    params = models.JSONField(_("parameters"), default=dict)
    body = models.CharField(_("text"), max_length=160)
    effect = models.CharField(_("effect"), max_length=16, choices=CommandTemplate.Effect.choices)
    power = models.CharField(max_length=16, blank=True)
    lane_exempt = models.BooleanField(
        default=False, help_text="A query, or the ON that restores the command before it."
    )
    state = models.CharField(
        _("state"),
        max_length=24,
        choices=CommandState.choices,
        default=CommandState.REQUESTED,
        editable=False,
    )
    state_changed_at = models.DateTimeField(_("since"))
    failure_reason = models.CharField(_("reason"), max_length=100, blank=True)
    source = models.CharField(_("asked by"), max_length=16, choices=Source.choices)
    source_ref = models.CharField(max_length=100, blank=True)
    job_id = models.BigIntegerField(null=True)  # a number, not a key: automation stands above this app
    case_id = models.UUIDField(null=True, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="commands",
        verbose_name=_("person"),
    )
    reason = models.CharField(_("why"), max_length=300, blank=True)
    cause_id = models.UUIDField(_("cause"))
    restoration = models.ForeignKey(
        Restoration,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="commands",
        verbose_name=_("power to be restored"),
    )
    idem_key = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(_("requested"))
    expires_at = models.DateTimeField(_("never sent after"))
    sent_at = models.DateTimeField(_("sent"), null=True)
    reply_until = models.DateTimeField(null=True)
    verify_until = models.DateTimeField(null=True)
    quarantine_until = models.DateTimeField(null=True)
    replied_at = models.DateTimeField(_("replied"), null=True)
    reply_text = models.CharField(_("reply"), max_length=1600, blank=True)
    reply_verdict = models.CharField(max_length=16, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "state_changed_at"], name="command_sweep"),  # the minute sweep
            models.Index(fields=["device", "-created_at"], name="command_of_device"),  # timeline, reply match
            models.Index(fields=["target", "-created_at"], name="command_for_target"),
            models.Index(fields=["platform", "-created_at"], name="command_list"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["platform", "idem_key"], name="command_once_per_key"),
            models.UniqueConstraint(
                fields=["device"],
                name="command_one_in_flight",
                condition=models.Q(state__in=[state.value for state in IN_FLIGHT], lane_exempt=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template.name} → {self.device}"

    @property
    def is_owed(self) -> bool:
        """Whether it brings back what REMOSA itself has switched off: no limit and no end of a contract stops it."""
        story = self.restoration
        return self.source == self.Source.RESTORE and story is not None and story.way != Restoration.Way.WATCH


class CommandEvent(models.Model):
    """One step of a command's life; append-only, written with the step."""

    PLATFORM_PATH = "command__platform"
    OWNER_PATHS = (
        "command__device__owner", "command__device__shares__user",
        "command__target__owner", "command__target__shares__user",
    )  # fmt: skip

    command = models.ForeignKey(Command, models.CASCADE, related_name="events")
    from_state = models.CharField(max_length=24)
    to_state = models.CharField(max_length=24, choices=CommandState.choices)
    at = models.DateTimeField()
    why = models.CharField(max_length=300, blank=True)
    by = models.CharField(max_length=100, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("step of a command")
        verbose_name_plural = _("steps of commands")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"
