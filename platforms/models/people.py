"""People and their membership of platforms."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform, default_time_zone, validate_time_zone
from platforms.querysets import PlatformQuerySet
from platforms.roles import Role


class User(AbstractUser):
    """A person. The superadmin is ``is_superuser``; every other right comes from a Membership."""

    email = models.EmailField(_("e-mail"), blank=True)
    language = models.CharField(_("language"), max_length=8, choices=settings.LANGUAGES, default="ru")
    time_zone = models.CharField(
        _("time zone"), max_length=64, default=default_time_zone, validators=[validate_time_zone]
    )
    telegram_id = models.BigIntegerField(_("Telegram id"), null=True, blank=True, unique=True)
    phone = models.CharField(_("phone"), max_length=16, blank=True)
    wants_sms = models.BooleanField(
        _("SMS when something needs me"), default=False,
        help_text=_("Urgent notices only, at the expense of the platform that they concern."),
    )  # fmt: skip

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]  # lazy, as everywhere in Django
        verbose_name_plural = _("people")  # type: ignore[assignment]
        constraints = [
            models.UniqueConstraint(
                models.functions.Lower("email"),
                name="user_email_is_unique",
                condition=~models.Q(email=""),
                violation_error_message=_("Another person already has this e-mail."),
            )
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Membership(models.Model):
    """A person's role on one platform: the truth from which the guardian grants are derived."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships", verbose_name=_("person")
    )
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="memberships", verbose_name=_("platform")
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["platform", "user"]
        constraints = [
            models.UniqueConstraint(fields=["user", "platform"], name="membership_one_role_per_platform")
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"
