"""GSM modems: how each one feels, which parts it has handed to the network, which parts of texts it has heard."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.querysets import PlatformQuerySet
from sms.models.gateways import Gateway
from sms.models.messages import InboundSms, SmsMessage


class ModemStatus(models.Model):
    """What the process of a modem last knew about it. ``seen_at`` is its heartbeat."""

    class State(models.TextChoices):
        STARTING = "starting", _("starting")
        READY = "ready", _("ready")
        STOPPED = "stopped", _("not running")
        NO_PORT = "no_port", _("port cannot be opened")
        PORT_BUSY = "port_busy", _("port is used by another process")
        PORT_LOST = "port_lost", _("port lost")
        NO_ANSWER = "no_answer", _("does not answer")
        RESTARTED = "restarted", _("restarted by itself")
        REFUSES = "refuses", _("refuses commands")
        NO_SIM = "no_sim", _("no SIM card")
        SIM_BUSY = "sim_busy", _("SIM card is not ready yet")
        PIN_REQUIRED = "pin_required", _("SIM card wants its PIN")
        PIN_REFUSED = "pin_refused", _("PIN was refused; it is not tried again")
        PUK_REQUIRED = "puk_required", _("SIM card is locked and wants its PUK")
        NO_NETWORK = "no_network", _("no network")

    PLATFORM_PATH = "gateway__platform"
    OWNER_PATHS = ()

    gateway = models.OneToOneField(
        Gateway, models.CASCADE, primary_key=True, related_name="modem", verbose_name=_("gateway")
    )
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.STOPPED)
    state_changed_at = models.DateTimeField(_("since"), null=True)
    detail = models.CharField(_("detail"), max_length=200, blank=True)
    owner = models.CharField(_("process"), max_length=64, blank=True)
    seen_at = models.DateTimeField(_("last seen"), null=True)
    model_name = models.CharField(_("model"), max_length=60, blank=True)
    signal_dbm = models.SmallIntegerField(_("signal, dBm"), null=True)
    registration = models.CharField(_("registration"), max_length=16, blank=True)
    operator = models.CharField(_("operator"), max_length=60, blank=True)
    balance_text = models.CharField(_("balance, as the operator says it"), max_length=300, blank=True)
    balance_at = models.DateTimeField(_("balance asked"), null=True)
    resets = models.PositiveIntegerField(_("resets"), default=0)
    tried_pin = models.CharField(
        max_length=64, blank=True, editable=False
    )  # keyed digest of what was refused

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("modem")
        verbose_name_plural = _("modems")

    def __str__(self) -> str:
        return f"{self.gateway}: {self.get_state_display()}"


class SentPart(models.Model):
    """One PDU of a message, written down before it is handed to the modem. ``mr`` is the network's number of it."""

    PLATFORM_PATH = "message__platform"
    OWNER_PATHS = ()

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="+")
    message = models.ForeignKey(SmsMessage, models.CASCADE, related_name="sent_parts")
    to = models.CharField(max_length=21)
    part = models.PositiveSmallIntegerField()
    parts = models.PositiveSmallIntegerField()
    handed_at = models.DateTimeField()
    mr = models.PositiveSmallIntegerField(null=True)  # None: nobody knows whether the network took it
    status = models.PositiveSmallIntegerField(null=True)  # TP-Status of its last report

    objects = PlatformQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["gateway", "to", "-handed_at"], name="sent_part_by_number")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.part}/{self.parts}"


class InboundPart(models.Model):
    """One part of a longer incoming text; kept for a while after it was put together, to know repeats."""

    PLATFORM_PATH = "gateway__platform"
    OWNER_PATHS = ()

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="+")
    sender = models.CharField(max_length=32)
    ref = models.PositiveIntegerField()
    part = models.PositiveSmallIntegerField()
    parts = models.PositiveSmallIntegerField()
    units = models.BinaryField()  # UTF-16-BE: a part may end with half of a character
    sent_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    digest = models.CharField(max_length=64, unique=True)
    inbound = models.ForeignKey(InboundSms, models.CASCADE, null=True, related_name="+")

    objects = PlatformQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["gateway", "sender", "ref", "parts"], name="inbound_part_kin")]

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"
