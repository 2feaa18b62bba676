"""Commands that are to be sent at a time, once or again and again."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.inventory import Device
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class CommandSchedule(models.Model):
    """``template_key`` to ``device`` at ``next_at``; ``cron`` (in the platform's time zone) says when after that.

    What was not sent within minutes of its time is skipped, never made up for.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="command_schedules", verbose_name=_("platform")
    )
    device = models.ForeignKey(Device, models.CASCADE, related_name="schedules", verbose_name=_("to"))
    template_key = models.CharField(_("command"), max_length=64)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    cron = models.CharField(
        _("cron"), max_length=100, blank=True, help_text=_("For example 0 8 * * 1-5. Empty: once.")
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    reason = models.CharField(_("why"), max_length=300, blank=True)
    next_at = models.DateTimeField(_("next time"), null=True)
    last_at = models.DateTimeField(_("last time"), null=True, editable=False)
    last_result = models.CharField(_("last result"), max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("scheduled command")
        verbose_name_plural = _("scheduled commands")
        ordering = ["next_at", "pk"]
        indexes = [models.Index(fields=["next_at"], name="command_schedule_due")]

    def __str__(self) -> str:
        return f"{self.template_key} → {self.device}"
