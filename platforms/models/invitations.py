"""An invitation to a platform: a link that works once, for some days."""

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet
from platforms.roles import Role


def new_nonce() -> str:
    """What makes one link differ from the next."""
    return secrets.token_hex(16)


class Invitation(models.Model):
    """``email`` is asked to work on ``platform`` as ``role``.

    The link is made from the row and ``SECRET_KEY``; neither the link nor a hash of it is stored. A new
    ``nonce`` ends the older links.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="invitations", verbose_name=_("platform")
    )
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=16, choices=Role.choices, default=Role.VIEWER)
    nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        editable=False,
        verbose_name=_("invited by"),
    )
    created_at = models.DateTimeField(_("invited"), auto_now_add=True)
    expires_at = models.DateTimeField(_("good until"), editable=False)
    mailed_at = models.DateTimeField(_("mailed"), null=True, editable=False)
    mail_error = models.CharField(_("mail error"), max_length=200, blank=True, editable=False)
    accepted_at = models.DateTimeField(_("accepted"), null=True, editable=False)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        editable=False,
        verbose_name=_("accepted by"),
    )
    revoked_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                models.functions.Lower("email"),
                "platform",
                name="invitation_open_once",
                condition=models.Q(accepted_at=None, revoked_at=None),
                violation_error_message=_("This address is invited already. Send that invitation again."),
            )
        ]

    def __str__(self) -> str:
        return self.email
