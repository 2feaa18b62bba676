"""Alerts that others send us: who may send, how their labels name devices, each episode, what could not be read."""

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from automation.mapping import PLACEHOLDER
from automation.states import AlertState
from devices.models import Device
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet
from remosa.lib.fields import EncryptedTextField

HEADER_NAME = RegexValidator(r"^[A-Za-z0-9-]{1,64}$", _("A header's name has letters, digits and hyphens."))


class AlertSource(models.Model):
    """One Grafana, Alertmanager or Prometheus that may post alerts to ``/hooks/alerts/<id>/``.

    ``version`` grows with each change of its mappings, so that processes may keep them.
    """

    class Kind(models.TextChoices):
        GRAFANA = "grafana", "Grafana"
        ALERTMANAGER = "alertmanager", "Alertmanager"
        PROMETHEUS = "prometheus", "Prometheus"

    class Auth(models.TextChoices):
        HMAC_TIME = "hmac_time", _("signature with time (HMAC)")
        HMAC = "hmac", _("signature (HMAC)")
        BEARER = "bearer", _("token (Bearer)")
        BASIC = "basic", _("user name and password (Basic)")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="alert_sources", verbose_name=_("platform")
    )
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.GRAFANA)
    auth = models.CharField(
        _("proves itself by"), max_length=16, choices=Auth.choices, default=Auth.BEARER,
        help_text=_("Grafana can sign with a time; Alertmanager and Prometheus show a token."),
    )  # fmt: skip
    username = models.CharField(_("user name"), max_length=100, blank=True, default="remosa")
    secret = EncryptedTextField(_("secret"), blank=True, default="")
    signature_header = models.CharField(
        _("header of the signature"), max_length=64, default="X-Grafana-Alerting-Signature", validators=[HEADER_NAME]
    )  # fmt: skip
    timestamp_header = models.CharField(
        _("header of the time"), max_length=64, default="X-Grafana-Alerting-Timestamp", validators=[HEADER_NAME]
    )  # fmt: skip
    is_enabled = models.BooleanField(_("enabled"), default=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    refused_at = models.DateTimeField(_("last refused"), null=True, editable=False)
    refused_why = models.CharField(_("why refused"), max_length=32, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert source")
        verbose_name_plural = _("alert sources")
        ordering = ["platform", "name"]
        constraints = [
            models.UniqueConstraint(fields=["platform", "name"], name="alert_source_name_per_platform")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.auth in (self.Auth.HMAC, self.Auth.HMAC_TIME) and self.kind != self.Kind.GRAFANA:
            raise ValidationError({"auth": _("Only Grafana signs what it sends. Choose the token.")})
        if self.auth == self.Auth.BASIC and (not self.username or ":" in self.username):
            raise ValidationError({"username": _("Write a user name without a colon.")})

    @property
    def url(self) -> str:
        """Where it posts."""
        return f"{settings.PUBLIC_URL}/hooks/alerts/{self.pk}/"


class AlertMapping(models.Model):
    """One rule, tried in order: labels that fit ``only`` name a device by ``template``, or are ``device`` itself."""

    class By(models.TextChoices):
        MAC = "mac", "MAC"
        EXTERNAL_ID = "external_id", _("number in the CMS")
        UID = "uid", "UID"
        NAME = "name", _("name")
        DEVICE = "device", _("always this device")

    PLATFORM_PATH = "source__platform"
    OWNER_PATHS = ()

    source = models.ForeignKey(
        AlertSource, models.CASCADE, related_name="mappings", verbose_name=_("alert source")
    )
    position = models.PositiveSmallIntegerField(_("order"), default=100)
    only = models.JSONField(_("only with labels"), default=dict, blank=True)
    by = models.CharField(_("names the device by"), max_length=16, choices=By.choices, default=By.MAC)
    template = models.CharField(
        _("text"), max_length=200, blank=True, help_text=_("Labels in braces, for example {mac} or {hall}-{screen}.")
    )  # fmt: skip
    device = models.ForeignKey(
        Device, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("device")
    )

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("mapping")
        verbose_name_plural = _("mappings")
        ordering = ["source", "position", "pk"]

    def __str__(self) -> str:
        return f"{self.template or self.device} → {self.get_by_display()}"

    def clean(self) -> None:
        if not isinstance(self.only, dict) or not all(isinstance(text, str) for text in self.only.values()):
            raise ValidationError({"only": _('Write an object such as {"hall": "A"}.')})
        if self.by == self.By.DEVICE:
            if self.device is None:
                raise ValidationError({"device": _("Choose the device.")})
            if not self.only:
                raise ValidationError({"only": _("Say by which labels this device is meant.")})
            if self.source_id and self.device.platform_id != self.source.platform_id:
                raise ValidationError({"device": _("This belongs to another platform.")})
            self.template = ""
            return
        self.device = None
        if not PLACEHOLDER.search(self.template):
            raise ValidationError({"template": _("Write at least one label in braces, for example {mac}.")})


class AlertDelivery(models.Model):
    """One body that was taken; the same body again (``digest``) is known by this row."""

    PLATFORM_PATH = "source__platform"
    OWNER_PATHS = ()

    source = models.ForeignKey(
        AlertSource, models.CASCADE, related_name="deliveries", verbose_name=_("alert source"), db_index=False
    )
    digest = models.CharField(max_length=64)
    received_at = models.DateTimeField(_("received"))
    alerts = models.PositiveIntegerField(_("alerts"), default=0)
    rejected = models.PositiveIntegerField(_("could not be read"), default=0)
    truncated = models.PositiveIntegerField(_("left out by the sender"), default=0)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery of alerts")
        verbose_name_plural = _("deliveries of alerts")
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["source", "-received_at"], name="alert_delivery_of_source")]
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="alert_delivery_once")]

    def __str__(self) -> str:
        return f"{self.received_at:%Y-%m-%d %H:%M:%S}"


class Alert(models.Model):
    """One episode of one alert: (source, fingerprint, start). What it says only ever goes forward.

    ``signal`` is why its sender itself does not know (no data, error, series gone …); "" for a plain
    alert. Only a plain alert is evidence.
    """

    class Signal(models.TextChoices):
        PLAIN = "", _("measured")
        TEST = "test", _("test message")
        UPDATED = "updated", _("rule was changed")
        PAUSED = "paused", _("rule was paused")
        MISSING = "missing_series", _("series is gone")
        NO_DATA = "no_data", _("no data")
        ERROR = "error", _("source failed")

    class Unmapped(models.TextChoices):
        MAPPED = "", _("mapped")
        NO_RULE = "no_rule", _("no mapping fits")
        NO_DEVICE = "no_device", _("there is no such device")
        AMBIGUOUS = "ambiguous", _("several devices fit")
        NOT_NEEDED = "not_needed", _("names no device")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    source = models.ForeignKey(
        AlertSource, models.CASCADE, related_name="alerts", verbose_name=_("alert source"), db_index=False
    )
    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="+", verbose_name=_("platform"), db_index=False
    )
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    starts_at = models.DateTimeField(_("started"))
    ends_at = models.DateTimeField(_("ended"), null=True)
    state = models.CharField(
        _("state"), max_length=16, choices=AlertState.choices, default=AlertState.FIRING, editable=False
    )
    signal = models.CharField(_("based on"), max_length=16, choices=Signal.choices, blank=True, default="")
    name = models.CharField(_("alert"), max_length=200)
    summary = models.CharField(_("summary"), max_length=500, blank=True)
    labels = models.JSONField(_("labels"), default=dict)
    annotations = models.JSONField(_("annotations"), default=dict)
    link = models.CharField(_("link"), max_length=1000, blank=True)
    device = models.ForeignKey(
        Device, models.SET_NULL, null=True, blank=True, related_name="alerts", verbose_name=_("device")
    )
    unmapped = models.CharField(_("mapping"), max_length=16, choices=Unmapped.choices, blank=True, default="")
    first_received_at = models.DateTimeField(_("first received"))
    received_at = models.DateTimeField(_("last received"))
    times = models.PositiveIntegerField(_("times"), default=1)
    doubt_told_at = models.DateTimeField(
        null=True, editable=False
    )  # people heard that its sender does not know

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-starts_at", "-pk"]
        indexes = [
            models.Index(fields=["platform", "state", "-starts_at"], name="alert_list"),
            models.Index(
                fields=["source", "received_at"],
                name="alert_doubt_untold",
                condition=models.Q(signal__in=["missing_series", "no_data", "error"], doubt_told_at=None),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "fingerprint", "starts_at"], name="alert_once_per_episode"
            )
        ]

    def __str__(self) -> str:
        return self.name


class AlertChange(models.Model):
    """The history of an alert: each state that it reached, once."""

    PLATFORM_PATH = "alert__platform"
    OWNER_PATHS = ("alert__device__owner", "alert__device__shares__user")

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="changes", db_index=False)
    state = models.CharField(_("state"), max_length=16, choices=AlertState.choices)
    at = models.DateTimeField(_("time"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of an alert")
        verbose_name_plural = _("changes of alerts")
        ordering = ["at", "pk"]
        constraints = [models.UniqueConstraint(fields=["alert", "state"], name="alert_change_once")]

    def __str__(self) -> str:
        return self.state


class RejectedAlert(models.Model):
    """What came in a good delivery and is no alert that we can read: shown, and not acted on."""

    PLATFORM_PATH = "source__platform"
    OWNER_PATHS = ()

    source = models.ForeignKey(
        AlertSource, models.CASCADE, related_name="rejected", verbose_name=_("alert source")
    )
    received_at = models.DateTimeField(_("received"))
    reason = models.CharField(_("reason"), max_length=64)
    content = models.TextField(_("content"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert that could not be read")
        verbose_name_plural = _("alerts that could not be read")
        ordering = ["-received_at", "-pk"]

    def __str__(self) -> str:
        return self.reason
