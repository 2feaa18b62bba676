"""Notices to people, and their way to each."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.models import Case
from notifications.states import DeliveryState
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class Notice(models.Model):
    """Something that people of a platform must know. One per ``dedupe_key``."""

    class Severity(models.TextChoices):
        INFO = "info", _("information")
        WARNING = "warning", _("warning")
        CRITICAL = "critical", _("needs you")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("case__device__owner", "case__device__shares__user")

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="notices", verbose_name=_("platform"))
    severity = models.CharField(_("severity"), max_length=16, choices=Severity.choices)
    kind = models.CharField(_("kind"), max_length=32)
    data = models.JSONField(default=dict)
    case = models.ForeignKey(Case, models.CASCADE, null=True, related_name="notices", verbose_name=_("case"))
    dedupe_key = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(_("time"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["platform", "-created_at"], name="notice_list")]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M}"


class Delivery(models.Model):
    """One notice to one person by one channel."""

    PLATFORM_PATH = "notice__platform"
    OWNER_PATHS = ("user",)

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries", verbose_name=_("notice"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="deliveries", verbose_name=_("person")
    )
    channel = models.CharField(_("channel"), max_length=16)
    state = models.CharField(
        _("state"), max_length=16, choices=DeliveryState.choices, default=DeliveryState.QUEUED, editable=False
    )
    state_changed_at = models.DateTimeField(_("since"))
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    digest = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="folded"
    )  # whose message told it
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="delivery_due",
                condition=models.Q(state=DeliveryState.QUEUED),
            ),
            models.Index(fields=["user", "read_at"], name="delivery_unread"),
            models.Index(fields=["user", "channel", "state_changed_at"], name="delivery_lately"),
        ]
        constraints = [models.UniqueConstraint(fields=["notice", "user", "channel"], name="delivery_once")]

    def __str__(self) -> str:
        return f"{self.channel} → {self.user}"
