"""What happened to devices: as they said themselves, or as REMOSA noticed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.inventory import Device
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class DeviceEvent(models.Model):
    """One happening; append-only. ``kind`` is a word like ``mains_lost``, ``alarm``, ``left_dark``."""

    class Severity(models.TextChoices):
        INFO = "info", _("information")
        WARNING = "warning", _("warning")
        CRITICAL = "critical", _("needs you")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="device_events", verbose_name=_("platform")
    )
    device = models.ForeignKey(Device, models.CASCADE, related_name="happenings", verbose_name=_("device"))
    at = models.DateTimeField(_("time"))
    kind = models.CharField(_("what"), max_length=32)
    severity = models.CharField(_("severity"), max_length=16, choices=Severity.choices, default=Severity.INFO)
    data = models.JSONField(default=dict)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("event of a device")
        verbose_name_plural = _("events of devices")
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["device", "-at"], name="event_of_device"),  # timeline
            models.Index(fields=["platform", "-at"], name="event_list"),  # console, jobs
        ]

    def __str__(self) -> str:
        return f"{self.device}: {self.kind}"
