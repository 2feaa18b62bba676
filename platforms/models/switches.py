"""The kill switch: who stopped automation, where, why and until when."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet


class KillSwitch(models.Model):
    """One stop of automation. It never resumes by itself unless it was given an end."""

    class Scope(models.TextChoices):
        GLOBAL = "global", _("everything")
        PLATFORM = "platform", _("platform")
        JOB = "job", _("job")
        DEVICE = "device", _("device")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    scope = models.CharField(_("scope"), max_length=16, choices=Scope.choices, default=Scope.PLATFORM)
    platform = models.ForeignKey(
        Platform,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="kill_switches",
        verbose_name=_("platform"),
    )
    target_id = models.BigIntegerField(_("job or device number"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    engaged_at = models.DateTimeField(_("stopped at"))
    engaged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("stopped by")
    )
    expires_at = models.DateTimeField(_("until"), null=True, blank=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("released by"),
    )

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("stop of automation")
        verbose_name_plural = _("stops of automation")
        ordering = ["-engaged_at"]
        indexes = [
            # "is anything stopped here?", asked before every automatic action
            models.Index(
                fields=["scope", "platform"], name="switch_engaged", condition=models.Q(released_at=None)
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scope="global", platform=None)
                | (~models.Q(scope="global") & models.Q(platform__isnull=False)),
                name="switch_names_its_platform",
            ),
            models.CheckConstraint(
                condition=models.Q(scope__in=["global", "platform"]) | models.Q(target_id__isnull=False),
                name="switch_names_its_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()}: {self.reason}"
