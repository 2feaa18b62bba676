"""Outgoing and incoming SMS."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from devices.models import Command, Device
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from sms.models.gateways import Gateway
from sms.states import InboundState, SmsState


class SmsMessage(models.Model):
    """One row of the outbox: the sending of a command, or a notice to a person.

    ``fence`` grows with each claim; whoever holds an older one cannot move the row any more.
    """

    class Purpose(models.TextChoices):
        COMMAND = "command", _("command")
        NOTICE = "notice", _("notice")
        TEST = "test", _("test")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = (
        "command__device__owner", "command__device__shares__user",
        "command__target__owner", "command__target__shares__user",
    )  # fmt: skip
    HISTORY = "events"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(Platform, models.CASCADE, related_name="sms", verbose_name=_("platform"))
    gateway = models.ForeignKey(
        Gateway, models.SET_NULL, null=True, blank=True, related_name="messages", verbose_name=_("gateway")
    )
    command = models.OneToOneField(
        Command, models.CASCADE, null=True, blank=True, related_name="sms", verbose_name=_("command")
    )
    purpose = models.CharField(_("purpose"), max_length=16, choices=Purpose.choices)
    to = models.CharField(_("to"), max_length=16)
    body = models.TextField(_("text"), max_length=1600)
    segments = models.PositiveSmallIntegerField(_("parts"))
    state = models.CharField(
        _("state"), max_length=16, choices=SmsState.choices, default=SmsState.QUEUED, editable=False
    )
    state_changed_at = models.DateTimeField(_("since"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    dedupe_key = models.CharField(max_length=200)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField()
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("never sent after"))
    fence = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)
    handed_until = models.DateTimeField(null=True)  # until then it is for the process of ``gateway`` alone
    gateway_ref = models.CharField(_("number at the gateway"), max_length=100, blank=True)
    price = models.DecimalField(_("price"), max_digits=10, decimal_places=4, null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("outgoing SMS")
        verbose_name_plural = _("outgoing SMS")
        ordering = ["-created_at"]
        indexes = [
            models.Index(  # the claim: platforms take turns
                fields=["platform", "next_attempt_at", "created_at"],
                name="sms_due_of_platform",
                condition=models.Q(state=SmsState.QUEUED),
            ),
            models.Index(  # the process of a modem, four times a second
                fields=["gateway", "next_attempt_at"], name="sms_handed",
                condition=models.Q(state=SmsState.QUEUED, handed_until__isnull=False),
            ),
            models.Index(  # the reaper
                fields=["lease_until"], name="sms_leased",
                condition=models.Q(state__in=[SmsState.CLAIMED, SmsState.SENDING]),
            ),
            models.Index(fields=["gateway", "gateway_ref"], name="sms_by_ref"),  # delivery reports
            models.Index(fields=["platform", "-created_at"], name="sms_list"),
        ]  # fmt: skip
        constraints = [models.UniqueConstraint(fields=["platform", "dedupe_key"], name="sms_once_per_key")]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} {self.pk}"


class SmsEvent(models.Model):
    """One step of an SMS's life; append-only."""

    PLATFORM_PATH = "message__platform"
    OWNER_PATHS = (
        "message__command__device__owner", "message__command__device__shares__user",
        "message__command__target__owner", "message__command__target__shares__user",
    )  # fmt: skip

    message = models.ForeignKey(SmsMessage, models.CASCADE, related_name="events")
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16, choices=SmsState.choices)
    at = models.DateTimeField()
    why = models.CharField(max_length=300, blank=True)
    by = models.CharField(max_length=100, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("step of an SMS")
        verbose_name_plural = _("steps of SMS")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class InboundSms(models.Model):
    """An SMS that came in; written down before it is acknowledged to the gateway.

    ``platform`` is that of the device with this number; a stranger's SMS belongs to the gateway's
    platform, or to nobody but the superadmin.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    gateway = models.ForeignKey(
        Gateway, models.SET_NULL, null=True, related_name="inbound", verbose_name=_("gateway")
    )
    platform = models.ForeignKey(
        Platform, models.CASCADE, null=True, related_name="inbound_sms", verbose_name=_("platform")
    )
    device = models.ForeignKey(
        Device, models.SET_NULL, null=True, related_name="inbound_sms", verbose_name=_("device")
    )
    command = models.ForeignKey(
        Command,
        models.SET_NULL,
        null=True,
        related_name="inbound_sms",
        verbose_name=pgettext_lazy("which command an SMS answers", "answers"),
    )
    sender = models.CharField(_("from"), max_length=32)
    body = models.TextField(_("text"), max_length=1600)
    sent_at = models.DateTimeField(_("sent"), null=True)
    received_at = models.DateTimeField(_("received"))
    dedupe_key = models.CharField(max_length=64, unique=True)
    text_key = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001  null: many may have none
    state = models.CharField(
        _("state"), max_length=16, choices=InboundState.choices, default=InboundState.RECEIVED, editable=False
    )
    state_changed_at = models.DateTimeField(_("since"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("incoming SMS")
        verbose_name_plural = _("incoming SMS")
        ordering = ["-received_at"]
        indexes = [
            models.Index(fields=["state", "received_at"], name="inbound_sweep"),
            models.Index(fields=["platform", "-received_at"], name="inbound_list"),
        ]

    def __str__(self) -> str:
        return f"{timezone.localtime(self.received_at):%Y-%m-%d %H:%M} {self.get_state_display()}"
