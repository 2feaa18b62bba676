"""The connection to Prometheus; for the superadmin only."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from automation.models import PrometheusConnection
from platforms.admin_base import SuperadminAdmin
from platforms.console.display import ago, pill
from platforms.console.fields import SecretsForm
from remosa.lib.clock import utcnow


class ConnectionForm(SecretsForm):
    """The address and the key, which is never shown."""

    secrets = ("secret",)


@admin.register(PrometheusConnection)
class PrometheusConnectionAdmin(SuperadminAdmin):
    form = ConnectionForm
    list_display = ("url", "state", "last_ok", "last_error")
    fields = ("url", "username", "secret", "timeout_s")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row."""
        return super().has_add_permission(request) and not PrometheusConnection.objects.exists()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, str]:
        """The environment gives the first value."""
        return {"url": settings.PROMETHEUS_URL, **super().get_changeform_initial_data(request)}

    @display(description=_("state"))
    def state(self, row: PrometheusConnection) -> SafeString:
        if row.last_error:
            return pill(_g("does not answer"), "red", row.last_error)
        return pill(_g("answers"), "green") if row.last_ok_at else pill(_g("not asked yet"), "grey")

    @display(description=_("last worked"), ordering="last_ok_at")
    def last_ok(self, row: PrometheusConnection) -> SafeString | str:
        return ago(row.last_ok_at, utcnow())
