"""Works, in which automation leaves a place alone; and days with broadcast hours of their own."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.calendar import open_window
from devices.models import Device, Site
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from remosa.lib.fields import validate_spans


class Maintenance(models.Model):
    """Somebody works there: jobs watch and open cases, and do not act. Without site and device: the whole platform.

    What repeats does so by the wall clock of its site, or of the platform, through changes of the clocks.
    """

    class Repeats(models.TextChoices):
        ONCE = "once", _("once")
        DAILY = "daily", _("every day")
        WEEKLY = "weekly", _("every week")

    EVERY = {Repeats.ONCE: None, Repeats.DAILY: timedelta(days=1), Repeats.WEEKLY: timedelta(days=7)}
    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="maintenances", verbose_name=_("platform")
    )
    site = models.ForeignKey(
        Site,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="maintenances",
        verbose_name=_("only this site"),
    )
    device = models.ForeignKey(
        Device, models.CASCADE, null=True, blank=True, related_name="maintenances", verbose_name=_("only this device")
    )  # fmt: skip
    reason = models.CharField(_("reason"), max_length=300)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    repeats = models.CharField(_("repeats"), max_length=8, choices=Repeats.choices, default=Repeats.ONCE)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("maintenance window")
        verbose_name_plural = _("maintenance windows")
        ordering = ["-starts_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="maintenance_ends_after_start"
            )
        ]

    def __str__(self) -> str:
        return self.reason

    def clean(self) -> None:
        for field in ("site", "device"):
            other = getattr(self, field)
            if other is not None and other.platform_id != self.platform_id:
                raise ValidationError({field: _("This belongs to another platform.")})
        if self.starts_at is None or self.ends_at is None:
            return
        every = self.EVERY.get(self.Repeats(self.repeats)) if self.repeats in self.Repeats else None
        if self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": _("The end must be after the start.")})
        if every is not None and self.ends_at - self.starts_at >= every:
            raise ValidationError({"ends_at": _("It would never end: it repeats before it is over.")})

    @property
    def zone(self) -> ZoneInfo:
        """The wall clock that counts."""
        place = self.site or (self.device.site if self.device is not None else None)
        return ZoneInfo(place.time_zone if place is not None else self.platform.time_zone)

    def open_until(self, now: datetime) -> datetime | None:
        """When the works that go on now end; None when none go on."""
        every = self.EVERY[self.Repeats(self.repeats)]
        found = open_window(self.starts_at, self.ends_at, every=every, zone=self.zone, now=now)
        return found[1] if found else None


class Holiday(models.Model):
    """A day with other broadcast hours than its weekday, or none; of a site, or of the whole platform."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="holidays", verbose_name=_("platform")
    )
    site = models.ForeignKey(
        Site, models.CASCADE, null=True, blank=True, related_name="holidays", verbose_name=_("only this site")
    )
    day = models.DateField(_("day"))
    name = models.CharField(_("name"), max_length=200, blank=True)
    hours = models.JSONField(
        _("broadcast hours"), default=list, blank=True, validators=[validate_spans],
        help_text=_("Empty: not on air on this day."),
    )  # fmt: skip

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("holiday")
        verbose_name_plural = _("holidays")
        ordering = ["-day", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "day"], condition=models.Q(site__isnull=False), name="holiday_once_per_site"
            ),
            models.UniqueConstraint(
                fields=["platform", "day"],
                condition=models.Q(site__isnull=True),
                name="holiday_once_per_platform",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.name}".strip()

    def clean(self) -> None:
        if self.site is not None and self.site.platform_id != self.platform_id:
            raise ValidationError({"site": _("This belongs to another platform.")})
