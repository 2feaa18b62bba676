"""How a person proves who they are: a second factor, its recovery codes, and the chains of refresh tokens."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin, TimestampMixin

from remosa.lib.fields import EncryptedTextField


class Authenticator(TimestampMixin, ThrottlingMixin, Device):
    """The app on a person's phone that shows six digits (TOTP). django-otp's device with its key encrypted.

    ``last_step`` is the time step of the last code that was taken: no code is taken twice.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="authenticators")
    key = EncryptedTextField(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(confirmed=True), name="authenticator_one_per_person"
            )
        ]

    def get_throttle_factor(self) -> float:
        """After each wrong code the wait doubles: 1, 2, 4 … seconds."""
        return 1.0


class RecoveryCode(models.Model):
    """A code for the day on which the phone is lost: only its hash is kept, and it works once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.pk}"


class TokenFamily(models.Model):
    """One sign-in by JWT: the chain of its refresh tokens, of which only the newest is good.

    An older one that comes back was stolen, or the newest was: the family ends, access tokens included.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="token_families")
    newest = models.CharField(max_length=64, editable=False)  # jti of the one good refresh token
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revoked_why = models.CharField(max_length=32, blank=True)

    class Meta:
        verbose_name = _("sign-in of a program")
        verbose_name_plural = _("sign-ins of programs")

    def __str__(self) -> str:
        return f"{self.user} {self.created_at:%Y-%m-%d %H:%M}"
