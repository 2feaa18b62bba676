"""Outputs that went dark and must be on again."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.inventory import Device
from devices.states import RESTORATION_LIVE, RestorationState
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class Restoration(models.Model):
    """An obligation: ``line`` of ``device`` (0 = all) has to be on again, and somebody must know until it is.

    Its commands point at it. ``next_at`` is when it wants to be looked at again.
    """

    class Way(models.TextChoices):
        ARMED = "armed", _("the socket switches on by itself")  # a delayed ON is confirmed before the OFF
        PAIR = "pair", _("REMOSA switches on")
        WATCH = "watch", _("a person switches on")  # a lone OFF: only watched

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="restorations", verbose_name=_("platform")
    )
    device = models.ForeignKey(Device, models.PROTECT, related_name="restorations", verbose_name=_("socket"))
    target = models.ForeignKey(
        Device, models.PROTECT, null=True, related_name="+", verbose_name=_("in order to repair")
    )
    line = models.PositiveSmallIntegerField(_("output"), help_text=_("0 means all outputs."))
    way = models.CharField(_("how"), max_length=8, choices=Way.choices)
    minutes = models.PositiveSmallIntegerField(_("minutes off"), default=0)
    state = models.CharField(
        _("state"),
        max_length=16,
        choices=RestorationState.choices,
        default=RestorationState.DARK,
        editable=False,
    )
    state_changed_at = models.DateTimeField(_("since"))
    outcome = models.CharField(_("what became of it"), max_length=100, blank=True)
    source = models.CharField(max_length=16)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    reason = models.CharField(_("why"), max_length=300, blank=True)
    cause_id = models.UUIDField(_("cause"))
    case_id = models.UUIDField(null=True)
    job_id = models.BigIntegerField(null=True)
    idem_key = models.CharField(max_length=200)
    created_at = models.DateTimeField(_("requested"))
    next_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(_("people were told"), null=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("power to be restored")
        verbose_name_plural = _("power to be restored")
        ordering = ["-created_at"]
        indexes = [
            models.Index(  # the sweep
                fields=["next_at"], name="restoration_due",
                condition=models.Q(state__in=[state.value for state in RESTORATION_LIVE]),
            ),
            models.Index(fields=["platform", "-created_at"], name="restoration_list"),
        ]  # fmt: skip
        constraints = [
            models.UniqueConstraint(fields=["platform", "idem_key"], name="restoration_once_per_key"),
            models.UniqueConstraint(
                fields=["device", "line"], name="restoration_one_per_output",
                condition=models.Q(state__in=[state.value for state in RESTORATION_LIVE]),
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.device}:{self.line}"
