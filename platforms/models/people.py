"""People and their membership of platforms."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform, default_time_zone, validate_time_zone
from platforms.querysets import PlatformQuerySet
from platforms.roles import Role
from remosa.lib.fields import MsisdnField


class User(AbstractUser):  # type: ignore[django-manager-missing]  # django_otp ships no types
    """A person. The superadmin is ``is_superuser``; every other right comes from a Membership.

    Sessions and JWTs carry a hash of the password and of ``access_epoch``: whatever changes one of the
    two ends them all at the next request.
    """

    email = models.EmailField(_("e-mail"), blank=True)
    language = models.CharField(_("language"), max_length=8, choices=settings.LANGUAGES, default="ru")
    time_zone = models.CharField(
        _("time zone"), max_length=64, default=default_time_zone, validators=[validate_time_zone]
    )
    telegram_id = models.BigIntegerField(_("Telegram id"), null=True, blank=True, unique=True)
    phone = MsisdnField(_("phone"), max_length=16, blank=True)
    access_epoch = models.PositiveIntegerField(default=0, editable=False)
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

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's own hash of the password, and of the epoch."""
        proof = f"{self.password}:{self.access_epoch}"
        return salted_hmac("platforms.session", proof, secret=secret, algorithm="sha256").hexdigest()


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
