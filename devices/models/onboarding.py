"""A client's table on its way in: read, checked, shown to a person, stored."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.states import OnboardingState
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class Onboarding(models.Model):
    """One uploaded table. ``content`` is kept until the end of its life; ``report`` is for people.

    ``done`` of ``total`` rows were looked at in the present phase. ``lease_until`` is set while a worker
    has it; an abandoned one is taken up again, which is harmless: storing is one transaction.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="onboardings", verbose_name=_("platform")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    filename = models.CharField(_("file"), max_length=200)
    content = models.BinaryField(blank=True, default=b"")
    digest = models.CharField(max_length=64)
    state = models.CharField(
        _("state"),
        max_length=16,
        choices=OnboardingState.choices,
        default=OnboardingState.UPLOADED,
        editable=False,
    )
    state_changed_at = models.DateTimeField(_("since"))
    created_at = models.DateTimeField(_("created"))
    done = models.PositiveIntegerField(_("rows looked at"), default=0)
    total = models.PositiveIntegerField(_("rows"), default=0)
    report = models.JSONField(_("report"), default=dict)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("table of a client")
        verbose_name_plural = _("tables of clients")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "lease_until"], name="onboarding_waiting"),  # the sweep
        ]

    def __str__(self) -> str:
        return self.filename
