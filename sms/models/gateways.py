"""SMS gateways: how to reach one, what it costs, how it feels."""

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from remosa.lib.fields import EncryptedTextField, MsisdnField
from remosa.lib.registry import backend


class Gateway(models.Model):
    """One way to send SMS. Without a platform it is shared by all that have none of their own.

    ``config`` holds what the backend's ``fields`` declare; ``secret`` is its key, encrypted.
    """

    class Breaker(models.TextChoices):
        CLOSED = "closed", _("working")
        OPEN = "open", _("suspended")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, null=True, blank=True, related_name="gateways", verbose_name=_("platform"),
        help_text=_("Empty: shared by all platforms."),
    )  # fmt: skip
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=32)
    config = models.JSONField(_("settings"), default=dict, blank=True)
    secret = EncryptedTextField(_("key"), blank=True, default="")
    sender_msisdn = MsisdnField(
        _("sender number"),
        max_length=16,
        blank=True,
        help_text=_("Sockets accept commands only from numbers they know."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=100, help_text=_("The lowest is tried first.")
    )
    rate_per_minute = models.PositiveIntegerField(_("SMS per minute"), default=60)
    rate_per_day = models.PositiveIntegerField(
        _("SMS per day"), null=True, blank=True,
        help_text=_("Empty: no limit. Operators block SIM cards that send too many: 100 is a careful number."),
    )  # fmt: skip
    validity_s = models.PositiveIntegerField(_("validity"), default=300)
    price = models.DecimalField(_("price per SMS part"), max_digits=10, decimal_places=4, default=0)
    price_in = models.DecimalField(
        _("price per received SMS part"), max_digits=10, decimal_places=4, default=0
    )
    currency = models.CharField(_("currency"), max_length=3, default="RUB")
    poll_interval_s = models.FloatField(_("inbox poll"), default=5.0)
    hook_id = models.UUIDField(_("callback number"), default=uuid.uuid4, unique=True, editable=False)
    hook_secret = EncryptedTextField(_("callback secret"), blank=True, default="")
    changed_at = models.DateTimeField(auto_now=True)  # its settings; what the outbox counts here is no change
    breaker = models.CharField(
        _("state"), max_length=8, choices=Breaker.choices, default=Breaker.CLOSED, editable=False
    )
    breaker_until = models.DateTimeField(null=True, editable=False)
    breaker_since = models.DateTimeField(null=True, editable=False)  # when it last opened
    slot_at = models.DateTimeField(null=True, editable=False)  # when the next place of the rate opens
    rate_day = models.DateField(null=True, editable=False)  # the day (UTC) that rate_day_used counts
    rate_day_used = models.PositiveIntegerField(default=0, editable=False)
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    last_ok_at = models.DateTimeField(_("last worked"), null=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    last_error_at = models.DateTimeField(_("last error at"), null=True, editable=False)
    inbox_polled_at = models.DateTimeField(_("inbox read"), null=True, editable=False)
    reports_polled_at = models.DateTimeField(_("asked for reports"), null=True, editable=False)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("SMS gateway")
        verbose_name_plural = _("SMS gateways")
        ordering = ["priority", "pk"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind not in settings.SMS_GATEWAYS:
            known = ", ".join(sorted(settings.SMS_GATEWAYS))
            raise ValidationError(
                {"kind": _("Unknown kind of gateway. Known: %(known)s.") % {"known": known}}
            )
        faults = backend("SMS_GATEWAYS", self.kind).check(self.config)
        if faults:
            raise ValidationError({"config": [f"{name}: {sentence}" for name, sentence in faults.items()]})
