"""Actions other than commands: where webhooks lead, and each call with its end."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.models.cases import Case
from automation.states import CallState
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from remosa.lib.fields import EncryptedTextField


class Webhook(models.Model):
    """An address that jobs may call; each call is signed with ``secret``."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="webhooks", verbose_name=_("platform")
    )
    name = models.CharField(_("name"), max_length=200)
    url = models.CharField(
        _("address"), max_length=500, validators=[RegexValidator(r"^https?://[^\s@]+$", _("Write an address: https://…"))]
    )  # fmt: skip
    secret = EncryptedTextField(_("signing secret"), blank=True, default="")
    is_enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["platform", "name"]
        constraints = [models.UniqueConstraint(fields=["platform", "name"], name="webhook_name_per_platform")]

    def __str__(self) -> str:
        return self.name


class ActionCall(models.Model):
    """One action of one case, from the decision to its end. ``key`` is unique: a deed is asked for once."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("case__device__owner", "case__device__shares__user")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(Platform, models.CASCADE, related_name="+", verbose_name=_("platform"))
    case = models.ForeignKey(Case, models.CASCADE, related_name="calls", verbose_name=_("case"))
    kind = models.CharField(_("kind"), max_length=32)
    key = models.CharField(max_length=200, unique=True)
    config = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)
    state = models.CharField(
        _("state"), max_length=16, choices=CallState.choices, default=CallState.QUEUED, editable=False
    )
    state_changed_at = models.DateTimeField(_("since"))
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    by = models.CharField(
        _("asked by"), max_length=100, blank=True
    )  # the person; the job itself asks as nobody
    created_at = models.DateTimeField(_("created"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="call_due",
                condition=models.Q(state=CallState.QUEUED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M}"
