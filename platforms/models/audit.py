"""The audit: an append-only journal of what people, jobs and machines did."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet


class AuditEvent(models.Model):
    """One line of the journal, signed when it is written (``audit.record``).

    ``seal_*`` are filled by the sealer, in order, after the fact (``audit_seal``). Triggers refuse
    every other change (``audit_triggers``).
    """

    class ActorKind(models.TextChoices):
        PERSON = "person", _("person")
        TOKEN = "token", _("token")
        JOB = "job", _("job")
        WEBHOOK = "webhook", _("webhook")
        DEVICE = "device", _("device")
        SYSTEM = "system", _("REMOSA")

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    id = models.UUIDField(_("line"), primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(_("time"))
    platform = models.ForeignKey(
        Platform, models.PROTECT, null=True, related_name="audit_events", verbose_name=_("platform")
    )
    actor_kind = models.CharField(_("who (kind)"), max_length=16, choices=ActorKind.choices)
    actor_id = models.CharField(_("who (number)"), max_length=64, blank=True)
    actor_label = models.CharField(_("who"), max_length=200)
    verb = models.CharField(_("what"), max_length=64)
    target_type = models.CharField(_("kind of object"), max_length=64, blank=True)
    target_id = models.CharField(_("object (number)"), max_length=64, blank=True)
    target_label = models.CharField(_("object"), max_length=300, blank=True)
    before = models.JSONField(_("before"), null=True)
    after = models.JSONField(_("after"), null=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)
    cause_id = models.UUIDField(_("cause"), null=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    signature = models.CharField(max_length=80, blank=True, editable=False)
    seal_number = models.BigIntegerField(_("number"), null=True, editable=False)
    seal_previous = models.CharField(max_length=80, blank=True, editable=False)
    seal = models.CharField(_("seal"), max_length=80, blank=True, editable=False)
    sealed_at = models.DateTimeField(_("sealed"), null=True, editable=False)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit line")
        verbose_name_plural = _("audit")
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["platform", "-at"], name="audit_of_platform"),  # the journal page
            models.Index(
                fields=["target_type", "target_id", "-at"], name="audit_of_object"
            ),  # an object's history
            models.Index(fields=["cause_id"], name="audit_of_cause"),
            models.Index(  # the sealer
                fields=["platform", "at"], name="audit_unsealed", condition=models.Q(seal_number=None)
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["platform", "seal_number"],
                name="audit_seal_in_order",
                condition=models.Q(seal_number__isnull=False),
            ),
            models.UniqueConstraint(  # NULL is never equal to NULL: the chain without a platform needs its own
                fields=["seal_number"],
                name="audit_seal_in_order_global",
                condition=models.Q(seal_number__isnull=False, platform=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.verb} {self.target_label}"


class AuditHead(models.Model):
    """Where the chain of one platform ends: number and seal of its last sealed line."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    chain = models.CharField(primary_key=True, max_length=32)  # "platform:7" or "global"
    platform = models.ForeignKey(Platform, models.PROTECT, null=True, related_name="+")
    number = models.BigIntegerField(default=0)
    seal = models.CharField(max_length=80, blank=True)
    sealed_at = models.DateTimeField()
    signature = models.CharField(max_length=80)
    exported_number = models.BigIntegerField(default=0)
    exported_at = models.DateTimeField(null=True)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("head of the audit")
        verbose_name_plural = _("heads of the audit")

    def __str__(self) -> str:
        return f"{self.chain} {self.number}"
