"""Sites, devices, who shares them, and what powers what."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from devices.models.catalogue import DeviceModel
from devices.observed import HasObservedAt
from devices.states import DeviceState
from platforms.models import Membership, Platform
from platforms.models.platform import default_time_zone, validate_time_zone
from platforms.querysets import PlatformQuerySet
from remosa.lib.fields import MsisdnField, validate_week
from remosa.lib.macs import normalise_mac


class Site(models.Model):
    """A place (площадка) where devices stand."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("devices__owner", "devices__shares__user")

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="sites", verbose_name=_("platform"))
    name = models.CharField(_("name"), max_length=200)
    address = models.CharField(_("address"), max_length=300, blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default=default_time_zone, validators=[validate_time_zone]
    )
    outer_ip = models.GenericIPAddressField(_("outer IP"), null=True, blank=True)
    broadcast_hours = models.JSONField(
        _("broadcast hours"), default=dict, blank=True, validators=[validate_week],
        help_text=_("When screens here must show something. Empty: nobody has told."),
    )  # fmt: skip
    contact_name = models.CharField(_("contact on site"), max_length=200, blank=True)
    contact_phone = models.CharField(_("contact phone"), max_length=32, blank=True)
    notes = models.TextField(_("access notes"), blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("site")
        verbose_name_plural = _("sites")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["platform", "name"], name="site_name_per_platform")]

    def __str__(self) -> str:
        return self.name


class Observer(models.Model):
    """One that looks at many devices at once, again and again: the account at a CMS that is polled.

    The devices that point to it are as they were when it looked last, at ``observed_at``.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(Platform, models.CASCADE, related_name="observers")
    name = models.CharField(max_length=64)  # as in Device.state_source
    observed_at = models.DateTimeField()

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("observer")
        verbose_name_plural = _("observers")
        constraints = [
            models.UniqueConstraint(fields=["platform", "name"], name="observer_name_per_platform")
        ]

    def __str__(self) -> str:
        return self.name


def observed_at(device: str = "") -> Coalesce:
    """As of when the state of a device is known, for queries; ``device`` is the path to it, with ``__``."""
    return Coalesce(F(f"{device}observer__observed_at"), F(f"{device}noted_at"))


class Device(HasObservedAt):
    """Anything out there: a player, a socket, a sensor, an agent.

    ``state`` is what the last observation said, at ``observed_at`` (UTC), from ``state_source``. While
    ``observer`` is set, each of its rounds confirms the state without writing the row.
    """

    class Kind(models.TextChoices):
        PLAYER = "player", _("player")
        SOCKET = "socket", _("GSM socket")
        SENSOR = "sensor", _("sensor")
        AGENT = "agent", _("agent")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ("owner", "shares__user")
    STATE = ("state", "state_since")
    OBSERVED_AT = observed_at()

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    platform = models.ForeignKey(Platform, models.CASCADE, related_name="devices", verbose_name=_("platform"))
    site = models.ForeignKey(
        Site, models.SET_NULL, null=True, blank=True, related_name="devices", verbose_name=_("site")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.PLAYER)
    name = models.CharField(_("name"), max_length=200)
    mac = models.CharField("MAC", max_length=17, blank=True)
    external_id = models.CharField(_("number in the CMS"), max_length=100, blank=True)
    msisdn = MsisdnField(_("SIM number"), max_length=16, blank=True, help_text=_("For example +79001234567."))
    model = models.ForeignKey(
        DeviceModel, models.PROTECT, null=True, blank=True, related_name="devices", verbose_name=_("model")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="owned_devices",
        verbose_name=_("owner"),
    )
    is_active = models.BooleanField(_("active"), default=True)
    state = models.CharField(
        _("state"), max_length=16, choices=DeviceState.choices, default=DeviceState.UNKNOWN, editable=False
    )
    state_since = models.DateTimeField(_("since"), null=True, editable=False)
    unseen_since = models.DateTimeField(null=True, editable=False)  # nobody has seen it online since
    observer = models.ForeignKey(Observer, models.SET_NULL, null=True, editable=False, related_name="devices")
    state_source = models.CharField(_("said by"), max_length=64, blank=True, editable=False)
    facts = models.JSONField(_("facts"), default=dict, blank=True, editable=False)
    recheck_since = models.DateTimeField(
        _("waits for a check since"),
        null=True,
        editable=False,
        help_text=_("It was moved or replaced, and nobody has seen it work since."),
    )
    heard_at = models.DateTimeField(_("last heard by SMS"), null=True, editable=False)
    silence_told_at = models.DateTimeField(null=True, editable=False)  # one notice for each silence
    sim_operator = models.CharField(_("operator"), max_length=64, blank=True)
    sim_iccid = models.CharField(
        "ICCID",
        max_length=22,
        blank=True,
        validators=[RegexValidator(r"^[0-9]{18,22}$", _("18 to 22 digits."))],
    )
    sim_account = models.CharField(_("account at the operator"), max_length=64, blank=True)
    sim_balance = models.DecimalField(_("balance"), max_digits=10, decimal_places=2, null=True, blank=True)
    sim_balance_on = models.DateField(_("balance as of"), null=True, blank=True)
    sim_paid_until = models.DateField(
        _("paid until"), null=True, blank=True, help_text=_("A week before that people are told.")
    )
    sim_told_for = models.DateField(null=True, editable=False)  # the end of payment that people know of
    sim_monthly_status = models.BooleanField(
        _("ask for its status once a month"), default=False,
        help_text=_("One SMS and its answer, when it was silent for 30 days: many SIM cards are closed when unused."),
    )  # fmt: skip
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    notes = models.TextField(_("notes"), blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering = ["name"]
        indexes = [
            models.Index(fields=["platform", "name"], name="device_list"),  # the console's list
            models.Index(fields=["platform", "state"], name="device_by_state"),  # home page counters
            models.Index(
                fields=["platform", "external_id"], name="device_by_external_id"
            ),  # alerts, adoption
            models.Index(  # the watch over SIM cards
                fields=["heard_at"],
                name="socket_last_heard",
                condition=models.Q(kind="socket", is_active=True),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(observer=None) | ~models.Q(state=DeviceState.UNKNOWN),
                name="device_unknown_is_confirmed_by_nobody",
            ),
            models.UniqueConstraint(
                fields=["platform", "mac"], name="device_mac_is_bound_once",
                condition=models.Q(is_active=True) & ~models.Q(mac=""),
                violation_error_message=_("Another device of this platform already has this MAC."),
            ),
            models.UniqueConstraint(
                fields=["msisdn"], name="device_number_is_bound_once",
                condition=models.Q(is_active=True) & ~models.Q(msisdn=""),
                violation_error_message=_("This SIM number is already in use. Check the number."),
            ),
        ]  # fmt: skip

    @property
    def fell_at(self) -> datetime | None:
        """The earliest moment at which a device that is offline may have fallen."""
        return min(filter(None, (self.unseen_since, self.state_since)), default=None)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.mac:
            try:
                self.mac = normalise_mac(self.mac)
            except ValueError as exc:
                raise ValidationError({"mac": str(exc)}) from exc
        if self.kind == self.Kind.SOCKET and self.model_id is None:
            raise ValidationError(
                {"model": _("Choose the model: the same text means different things on others.")}
            )
        if self.site_id and self.platform_id and self.site.platform_id != self.platform_id:
            raise ValidationError({"site": _("This site belongs to another platform.")})

    def age(self, now: datetime) -> timedelta | None:
        """How old the last observation is; None when there was none."""
        return now - self.observed_at if self.observed_at else None


class DeviceShare(models.Model):
    """One person's grant on one device: the only per-device right."""

    class Level(models.TextChoices):
        OWNER = "owner", _("owner")
        ADMIN = "admin", _("admin")
        VIEWER = "viewer", _("viewer")

    PLATFORM_PATH = "device__platform"
    OWNER_PATHS = ("user", "device__owner")

    device = models.ForeignKey(Device, models.CASCADE, related_name="shares", verbose_name=_("device"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="device_shares", verbose_name=_("person")
    )
    level = models.CharField(_("level"), max_length=16, choices=Level.choices, default=Level.VIEWER)
    notifications = models.BooleanField(_("notifications"), default=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("share")
        verbose_name_plural = _("shares")
        constraints = [models.UniqueConstraint(fields=["device", "user"], name="share_once_per_person")]

    def __str__(self) -> str:
        return f"{self.user} · {self.device}"

    def clean(self) -> None:
        if self.user_id is None or self.device_id is None:
            return
        if not Membership.objects.filter(user=self.user_id, platform=self.device.platform_id).exists():
            raise ValidationError({"user": _("Choose a member of the device's platform.")})


class PowerLink(models.Model):
    """``device`` is powered by output ``line`` of ``socket``. A closed link keeps its dates."""

    PLATFORM_PATH = "device__platform"
    OWNER_PATHS = ("device__owner", "device__shares__user")

    device = models.ForeignKey(Device, models.CASCADE, related_name="power_links", verbose_name=_("device"))
    socket = models.ForeignKey(Device, models.PROTECT, related_name="feeds", verbose_name=_("socket"))
    line = models.PositiveSmallIntegerField(_("output"), default=1)
    valid_from = models.DateTimeField(_("from"), auto_now_add=True)
    valid_to = models.DateTimeField(_("until"), null=True, blank=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("power link")
        verbose_name_plural = _("power links")
        constraints = [
            models.UniqueConstraint(
                fields=["device"], name="device_has_one_power_link", condition=models.Q(valid_to=None),
                violation_error_message=_("This device already has a power link. Close that one first."),
            ),
            models.CheckConstraint(condition=~models.Q(device=models.F("socket")), name="link_joins_two_devices"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.device} ← {self.socket}:{self.line}"

    def clean(self) -> None:
        if self.device_id is None or self.socket_id is None:
            return
        if self.device.platform_id != self.socket.platform_id:
            raise ValidationError({"socket": _("Socket and device must be of one platform.")})
        if self.socket.kind != Device.Kind.SOCKET or self.socket.model is None:
            raise ValidationError({"socket": _("Choose a GSM socket with a model.")})
        if not 1 <= self.line <= self.socket.model.lines:
            raise ValidationError(
                {"line": _("This model has outputs 1 to %(lines)s.") % {"lines": self.socket.model.lines}}
            )
