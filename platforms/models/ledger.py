"""The ledger: what each SMS cost, and what the client pays for it."""

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet


class LedgerEntry(models.Model):
    """One SMS that was paid for, out or in. Written once, with its settlement; never changed.

    Prices are those of that moment. ``period`` is the month whose limit it counted against, ``day``
    the day within it, both on the platform's own clock. The gateway is kept by name: its row may go.
    """

    class Direction(models.TextChoices):
        OUT = "out", _("sent")
        IN = "in", _("received")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="ledger", verbose_name=_("platform"))
    direction = models.CharField(_("direction"), max_length=4, choices=Direction.choices)
    subject_id = models.UUIDField(_("SMS"))
    purpose = models.CharField(_("purpose"), max_length=16, blank=True)
    at = models.DateTimeField(_("time"))
    period = models.CharField(_("month"), max_length=7)
    day = models.DateField(_("day"))
    gateway_id = models.BigIntegerField(null=True)
    gateway_name = models.CharField(_("gateway"), max_length=100, blank=True)
    units = models.PositiveIntegerField(_("parts"))
    unit_cost = models.DecimalField(_("cost per part"), max_digits=10, decimal_places=4)
    cost_currency = models.CharField(_("currency of the cost"), max_length=3)
    unit_price = models.DecimalField(_("price per part"), max_digits=10, decimal_places=4)
    price_currency = models.CharField(_("currency"), max_length=3)
    is_certain = models.BooleanField(
        _("certain"),
        default=True,
        help_text=_("No: nobody knows whether it left; it may have been paid for."),
    )
    is_beyond_limit = models.BooleanField(
        _("beyond the limit"),
        default=False,
        help_text=_(
            "The limit was used up. It was sent all the same, to switch on again what REMOSA had switched off."
        ),
    )

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(
                fields=["platform", "period", "day"], name="ledger_of_month"
            ),  # statement, usage by day
            models.Index(fields=["platform", "-at"], name="ledger_list"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["direction", "subject_id"], name="ledger_once_per_sms"),
            models.CheckConstraint(
                condition=models.Q(unit_cost__gte=0, unit_price__gte=0), name="ledger_prices_are_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period} {self.direction} {self.units}"

    @property
    def cost(self) -> Decimal:
        """What the gateway takes for all parts."""
        return self.units * self.unit_cost

    @property
    def price(self) -> Decimal:
        """What the client pays for all parts."""
        return self.units * self.unit_price
