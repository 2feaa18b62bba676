"""How much of a limit is used: one counter row per platform, kind and period, and its reservations."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet


class Usage(models.Model):
    """Units of one limit in one period. ``reserved`` is promised, ``used`` is spent."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="usage", verbose_name=_("platform"))
    kind = models.CharField(_("kind"), max_length=16)
    period = models.CharField(_("period"), max_length=16, help_text=_("YYYY-MM in the platform's time zone."))
    reserved = models.IntegerField(_("reserved"), default=0)
    used = models.IntegerField(_("used"), default=0)
    notified_ratio = models.FloatField(_("warned at"), default=0.0)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        ordering = ["-period"]
        constraints = [
            models.UniqueConstraint(fields=["platform", "kind", "period"], name="usage_one_row_per_period"),
            models.CheckConstraint(
                condition=models.Q(reserved__gte=0, used__gte=0), name="usage_is_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.period}: {self.used}+{self.reserved}"


class QuotaReservation(models.Model):
    """Units promised to one piece of work; settled exactly once."""

    class State(models.TextChoices):
        RESERVED = "reserved", _("reserved")
        COMMITTED = "committed", _("committed")
        RELEASED = "released", _("released")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    key = models.UUIDField(primary_key=True)
    platform = models.ForeignKey(Platform, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16)
    period = models.CharField(max_length=16)
    units = models.PositiveIntegerField()
    is_beyond_limit = models.BooleanField(default=False)  # it did not fit, and had to be
    state = models.CharField(max_length=16, choices=State.choices, default=State.RESERVED)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        indexes = [models.Index(fields=["platform", "kind", "period", "state"], name="reservation_of_period")]

    def __str__(self) -> str:
        return f"{self.kind} {self.units} {self.state}"
