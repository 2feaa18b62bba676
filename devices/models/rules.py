"""Reply rules that a platform adds for its own devices."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from devices.models.catalogue import DeviceModel
from devices.replies import ReplyRule, ReplyRuleError
from platforms.models import Platform
from platforms.querysets import PlatformQuerySet


class OwnReplyRule(models.Model):
    """What one text of one model means on one platform; asked before the rules of the model itself."""

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    platform = models.ForeignKey(
        Platform, models.CASCADE, related_name="reply_rules", verbose_name=_("platform")
    )
    model = models.ForeignKey(DeviceModel, models.CASCADE, related_name="own_rules", verbose_name=_("model"))
    name = models.CharField(_("name"), max_length=64)
    rule = models.JSONField(_("rule"), default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    created_at = models.DateTimeField(_("created"))

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("own reply rule")
        verbose_name_plural = _("own reply rules")
        ordering = ["-pk"]  # the newest is asked first
        constraints = [
            models.UniqueConstraint(fields=["platform", "model", "name"], name="own_rule_name_once")
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.name}"

    def clean(self) -> None:
        try:
            ReplyRule.from_dict(self.rule)
        except ReplyRuleError as exc:
            raise ValidationError({"rule": str(exc)}) from exc
