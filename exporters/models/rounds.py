"""Rounds of polling, and the snapshot that Prometheus is served from."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from exporters.models.exporters import Exporter
from platforms.querysets import PlatformQuerySet


class PollRound(models.Model):
    """One round of one exporter, as it went. Old rounds are pruned."""

    PLATFORM_PATH = "exporter__platform"
    OWNER_PATHS = ()

    exporter = models.ForeignKey(Exporter, models.CASCADE, related_name="rounds", verbose_name=_("exporter"))
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"))
    is_up = models.BooleanField(_("CMS answered"))
    suspect_reason = models.CharField(_("in doubt because"), max_length=64, blank=True)
    targets = models.PositiveIntegerField(_("targets"))
    online = models.PositiveIntegerField(_("online"), default=0)
    offline = models.PositiveIntegerField(_("offline"), default=0)
    unknown = models.PositiveIntegerField(_("no data"), default=0)
    errors = models.JSONField(_("errors by reason"), default=dict)
    duration_s = models.FloatField(_("lasted, seconds"))
    latency_s = models.FloatField(_("time of an answer, seconds"), null=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("poll round")
        verbose_name_plural = _("poll rounds")
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["exporter", "-started_at"], name="round_of_exporter")]

    def __str__(self) -> str:
        return f"{self.exporter} {self.started_at:%Y-%m-%d %H:%M:%S}"


class Snapshot(models.Model):
    """What ``/metrics`` serves for one exporter, as of ``taken_at``; replaced by every round.

    ``body`` holds the deflated text of each metric family, one after another; ``parts`` says where:
    ``[[family, deflated bytes, plain bytes, CRC-32], ...]``. ``version`` changes with the body.
    ``targets``: {state: count}. ``errors_total``: counter of poll errors by reason, for ever.
    """

    PLATFORM_PATH = "exporter__platform"
    OWNER_PATHS = ()

    exporter = models.OneToOneField(Exporter, models.CASCADE, related_name="snapshot")
    taken_at = models.DateTimeField()
    version = models.CharField(max_length=32)
    body = models.BinaryField(default=bytes)
    parts = models.JSONField(default=list)
    targets = models.JSONField(default=dict)
    errors_total = models.JSONField(default=dict)
    duration_s = models.FloatField(default=0.0)
    series = models.PositiveIntegerField(default=0)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")

    def __str__(self) -> str:
        return f"{self.exporter} {self.taken_at:%Y-%m-%d %H:%M:%S}"


class FoundDevice(models.Model):
    """An id that the CMS reports by itself and nobody has added yet."""

    PLATFORM_PATH = "exporter__platform"
    OWNER_PATHS = ()

    exporter = models.ForeignKey(Exporter, models.CASCADE, related_name="found", verbose_name=_("exporter"))
    external_id = models.CharField(_("number in the CMS"), max_length=100)
    name = models.CharField(_("name"), max_length=200, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("found device")
        verbose_name_plural = _("found devices")
        constraints = [
            models.UniqueConstraint(fields=["exporter", "external_id"], name="found_once_per_exporter")
        ]

    def __str__(self) -> str:
        return self.external_id
