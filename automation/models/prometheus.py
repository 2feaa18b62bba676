"""The connection to Prometheus; for the superadmin only."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from remosa.lib.fields import EncryptedTextField


class PrometheusConnection(models.Model):
    """Where PromQL jobs ask. One row; without it the environment's PROMETHEUS_URL counts."""

    url = models.URLField(_("address"), max_length=500)
    username = models.CharField(
        _("user name"), max_length=100, blank=True, help_text=_("Empty: the key is sent as Bearer.")
    )
    secret = EncryptedTextField(_("key or password"), blank=True, default="")
    timeout_s = models.FloatField(_("timeout"), default=10.0)
    last_ok_at = models.DateTimeField(_("last worked"), null=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)

    class Meta:
        verbose_name = _("Prometheus connection")
        verbose_name_plural = _("Prometheus connection")

    def __str__(self) -> str:
        return self.url
