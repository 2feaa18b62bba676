"""A client of REMOSA, and the object permissions on it."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from platforms.querysets import PlatformQuerySet
from platforms.roles import Perm
from remosa.lib.clock import time_zones


def default_time_zone() -> str:
    """The time zone of a new platform (environment variable TZ)."""
    return settings.DEFAULT_PLATFORM_TIME_ZONE


def validate_time_zone(value: str) -> None:
    """Refuse what is not an IANA name."""
    if value not in time_zones():
        raise ValidationError(
            _("“%(value)s” is not a time zone. Use an IANA name such as Europe/Moscow."),
            params={"value": value},
        )


validate_currency = RegexValidator(r"\A[A-Z]{3}\Z", _("Three capital letters, for example RUB."))


class Platform(models.Model):
    """One client: isolated from all others, with limits on devices and SMS."""

    PLATFORM_PATH = "pk"
    OWNER_PATHS = ("memberships__user",)

    name = models.CharField(_("name"), max_length=200, unique=True)
    is_active = models.BooleanField(_("active"), default=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default=default_time_zone, validators=[validate_time_zone]
    )
    device_limit = models.PositiveIntegerField(_("device limit"), default=100)
    series_limit = models.PositiveIntegerField(
        _("limit of series for Prometheus"),
        default=500_000,
        help_text=_("An exporter whose series would go beyond it is not shown to Prometheus, and says so."),
    )
    sms_limit = models.PositiveIntegerField(
        _("SMS limit per month"),
        default=1000,
        help_text=_("SMS parts per calendar month in the platform's time zone."),
    )
    sms_people_share_ratio = models.FloatField(
        _("share kept for people"),
        default=0.2,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_("The part of the SMS limit that automation may not use (0 to 1)."),
    )
    sms_price_out = models.DecimalField(
        _("price of a sent SMS part"), max_digits=10, decimal_places=4, null=True, blank=True,
        validators=[MinValueValidator(0)], help_text=_("What the client pays. Empty: what the gateway takes."),
    )  # fmt: skip
    sms_price_in = models.DecimalField(
        _("price of a received SMS part"), max_digits=10, decimal_places=4, null=True, blank=True,
        validators=[MinValueValidator(0)], help_text=_("What the client pays. Empty: what the gateway takes."),
    )  # fmt: skip
    currency = models.CharField(_("currency"), max_length=3, default="RUB", validators=[validate_currency])
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("platform")
        verbose_name_plural = _("platforms")
        ordering = ["name"]
        permissions = [(perm.value, perm.label) for perm in Perm if perm != Perm.VIEW]

    def __str__(self) -> str:
        return self.name


class PlatformUserObjectPermission(UserObjectPermissionBase):
    """guardian's direct-key table: a permission of one user on one platform."""

    content_object = models.ForeignKey(Platform, on_delete=models.CASCADE)

    class Meta(UserObjectPermissionBase.Meta):
        verbose_name = _("platform permission of a user")


class PlatformGroupObjectPermission(GroupObjectPermissionBase):
    """guardian's direct-key table: a permission of one role's group on one platform."""

    content_object = models.ForeignKey(Platform, on_delete=models.CASCADE)

    class Meta(GroupObjectPermissionBase.Meta):
        verbose_name = _("platform permission of a role")
