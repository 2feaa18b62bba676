"""Tokens of machines and programs, stored as hashes."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from platforms.models.platform import Platform
from platforms.querysets import PlatformQuerySet


class Scope(models.TextChoices):
    READ = "read", pgettext_lazy("what a token allows", "read")
    COMMAND = "command", _("send commands")
    SCRAPE = "scrape", _("scrape metrics")
    INGEST = "ingest", _("write telemetry")
    INTAKE = "intake", _("send alerts")
    EDGE = "edge", _("edge exporter")
    OPERATOR = "operator", _("operator's metrics")


OWN_SCOPES = (Scope.READ, Scope.COMMAND)  # of a person's token
MACHINE_SCOPES = (Scope.SCRAPE, Scope.INGEST, Scope.INTAKE, Scope.EDGE)  # of a platform's token


class ApiToken(models.Model):
    """``rms_<lookup>_<secret>``: the lookup finds the row, the SHA-256 of the whole proves it.

    Bound to a platform (machines), or to a user (a person's program, with that person's rights);
    an ``operator`` token has neither.
    """

    PLATFORM_PATH = "platform"
    OWNER_PATHS = ()

    name = models.CharField(_("name"), max_length=100)
    platform = models.ForeignKey(
        Platform, models.CASCADE, null=True, blank=True, related_name="tokens", verbose_name=_("platform")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        verbose_name=_("person"),
    )
    scopes = models.JSONField(_("scopes"), default=list)
    lookup = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        editable=False,
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (rms_{self.lookup}_…)"

    @property
    def scope_names(self) -> list[str]:
        """What the token may, in the reader's language."""
        names = dict(Scope.choices)
        return [str(names.get(scope, scope)) for scope in self.scopes]
