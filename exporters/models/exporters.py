"""Exporters and their targets."""

import math
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, F, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from devices.models import Device
from devices.observed import HasObservedAt
from devices.states import DeviceState
from exporters.errors import BadSettings
from exporters.pollers.answers import check_settings
from exporters.ports import PollSettings
from exporters.querysets import ExporterQuerySet
from platforms.models import Platform
from remosa.lib.fields import EncryptedTextField
from remosa.lib.registry import backend

CAUTIOUS_AFTER = 3  # failed rounds in a row; from then on a CMS is asked less often, and carefully


def max_age_of(interval_s: float, timeout_s: float) -> timedelta:
    """How old the evidence of an exporter with this pace may be."""
    return timedelta(seconds=2 * interval_s + timeout_s)


class Exporter(models.Model):
    """One CMS account that is polled on an interval. ``lease_*``: which poller works on it."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="exporters", verbose_name=_("platform")
    )
    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=32)
    base_url = models.CharField(
        _("address of the API"), max_length=500, help_text=_("For example https://cms.example.org")
    )
    secret = EncryptedTextField(_("API key"), blank=True, default="")
    interval_s = models.FloatField(
        _("poll interval"),
        default=30.0,
        validators=[MinValueValidator(0.5), MaxValueValidator(86400)],
    )
    timeout_s = models.FloatField(
        _("timeout"), default=15.0, validators=[MinValueValidator(0.2), MaxValueValidator(300)]
    )
    concurrency = models.PositiveSmallIntegerField(
        _("requests at once"), default=10, validators=[MinValueValidator(1), MaxValueValidator(256)]
    )
    rate_per_s = models.FloatField(
        _("requests per second"),
        default=0.0,
        validators=[MinValueValidator(0), MaxValueValidator(10_000)],
        help_text=_("At most; 0 sets no limit."),
    )
    jitter_s = models.FloatField(
        _("jitter"),
        default=1.0,
        validators=[MinValueValidator(0), MaxValueValidator(3600)],
        help_text=_("A round begins up to so much later, so that exporters do not ask all at once."),
    )
    config = models.JSONField(_("how to ask and read"), default=dict, blank=True)
    has_old_names = models.BooleanField(
        _("also under the old names"),
        default=False,
        help_text=_("Shows every device as json_exporter_device_status and json_exporter_device_info too."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    is_up = models.BooleanField(_("CMS answers"), null=True, editable=False)
    suspect_reason = models.CharField(_("in doubt because"), max_length=64, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=200, blank=True, editable=False)
    last_round_at = models.DateTimeField(_("last poll"), null=True, editable=False)
    last_success_at = models.DateTimeField(_("last success"), null=True, editable=False)
    is_truncated = models.BooleanField(_("list is truncated"), default=False, editable=False)
    failures = models.PositiveIntegerField(_("failed rounds in a row"), default=0, editable=False)
    refused_series = models.PositiveIntegerField(_("series over the limit"), default=0, editable=False)
    answers_at = models.DateTimeField(null=True, editable=False)  # as of when the stored answers are
    up_since = models.DateTimeField(null=True, editable=False)
    next_poll_at = models.DateTimeField(null=True, editable=False)
    lease_owner = models.CharField(max_length=64, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    round_started_at = models.DateTimeField(null=True, editable=False)  # of the round that runs
    round_done = models.PositiveIntegerField(default=0, editable=False)
    round_total = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ExporterQuerySet.as_manager()

    class Meta:
        verbose_name = _("exporter")
        verbose_name_plural = _("exporters")
        ordering = ["platform", "name"]
        indexes = [
            models.Index(fields=["next_poll_at"], name="exporter_due", condition=models.Q(is_enabled=True))
        ]
        constraints = [
            models.UniqueConstraint(fields=["platform", "name"], name="exporter_name_per_platform")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind not in settings.EXPORTERS:
            known = ", ".join(sorted(settings.EXPORTERS))
            raise ValidationError(
                {"kind": _("Unknown kind of exporter. Known: %(known)s.") % {"known": known}}
            )
        for name in ("interval_s", "timeout_s", "concurrency", "rate_per_s", "jitter_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float):
                return  # its field has said so already
            if not math.isfinite(value):
                raise ValidationError({name: _("Enter a number of seconds.")})
        poller = backend("EXPORTERS", self.kind)
        try:
            check_settings(self.poll_settings, needs_secret="secret" in poller.secret_fields)
        except BadSettings as exc:
            raise ValidationError(str(exc)) from exc
        if not isinstance(self.config, dict):
            raise ValidationError({"config": _("Write a JSON object.")})
        if faults := poller().faults(self.config):
            raise ValidationError({"config": [f"{name}: {sentence}" for name, sentence in faults.items()]})

    @property
    def poll_settings(self) -> PollSettings:
        """How a poller is to ask. A round ends within ``round_timeout_s``, so that it is fresh when stored."""
        return PollSettings(
            base_url=self.base_url,
            secret=self.secret,
            timeout_s=self.timeout_s,
            concurrency=self.concurrency,
            round_timeout_s=max(self.interval_s, self.timeout_s),
            rate_per_s=self.rate_per_s,
            is_cautious=self.failures >= CAUTIOUS_AFTER,
            config=self.config,
        )

    @property
    def max_age(self) -> timedelta:
        """Evidence older than this is stale: two poll intervals, and what one round may last."""
        return max_age_of(self.interval_s, self.timeout_s)

    @property
    def is_backing_off(self) -> bool:
        """Whether the CMS failed so often that it is asked less often."""
        return self.failures >= CAUTIOUS_AFTER

    def pause_after_failures(self) -> timedelta:
        """From the start of a failed round to the next one: twice as long each time, as long as the poller is
        not taken for dead."""
        longer = self.interval_s * 2.0 ** min(20, self.failures - CAUTIOUS_AFTER + 1)
        return min(timedelta(seconds=longer), max(2 * self.max_age, timedelta(seconds=self.interval_s)))


class ExporterTarget(HasObservedAt):
    """One device as one CMS knows it, and what the CMS said of it last.

    A known status is the answer of the exporter's last stored round, so its time is that round's; who was
    not answered for is unknown, and bears the time of its last answer itself.
    """

    PLATFORM_PATH = "exporter__platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")
    STATE = ("status", "status_since")
    OBSERVED_AT = Case(
        When(status=DeviceState.UNKNOWN, then=F("noted_at")),
        default=Coalesce(F("exporter__answers_at"), F("noted_at")),
    )

    exporter = models.ForeignKey(Exporter, models.CASCADE, related_name="targets", verbose_name=_("exporter"))
    external_id = models.CharField(_("MAC or number in the CMS"), max_length=100)
    device = models.ForeignKey(Device, models.CASCADE, related_name="targets", verbose_name=_("device"))
    status = models.CharField(
        _("status"), max_length=16, choices=DeviceState.choices, default=DeviceState.UNKNOWN, editable=False
    )
    status_since = models.DateTimeField(_("since"), null=True, editable=False)
    stated = models.CharField(
        _("last stated status"),
        max_length=16,
        choices=DeviceState.choices,
        default=DeviceState.UNKNOWN,
        editable=False,
    )
    reason = models.CharField(_("reason"), max_length=32, blank=True, editable=False)
    facts = models.JSONField(_("facts"), default=dict, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        ordering = ["exporter", "external_id"]
        constraints = [
            models.UniqueConstraint(fields=["exporter", "external_id"], name="target_once_per_exporter")
        ]
        indexes = [
            # most are online: who is not is found without reading them
            models.Index(
                fields=["exporter", "device"],
                condition=~models.Q(status=DeviceState.ONLINE),
                name="target_not_online",
            )
        ]

    def __str__(self) -> str:
        return self.external_id
