"""Paths of the API: the one place that names every resource."""

from typing import Any

from django.urls import include, path, re_path
from django.utils.translation import gettext as _
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.routers import APIRootView, DefaultRouter
from rest_framework.views import APIView

from automation.alerts_api import AlertSourcesView, AlertsView
from automation.api import CasesView, HolidaysView, JobsView, MaintenanceView, WebhooksView, WhyNotView
from automation.prometheus_api import PrometheusDevicesView
from automation.stops_api import StopsView
from devices.api import (
    CommandSchedulesView,
    CommandsView,
    CommandTemplatesView,
    DeviceEventsView,
    DeviceModelsView,
    DevicesView,
    OnboardingsView,
    PowerLinksView,
    RestorationsView,
    SavedFiltersView,
    SharesView,
    SitesView,
)
from exporters.api import ExporterMacsView, ExportersView
from platforms.api.invitations import InvitationsView
from platforms.api.permissions import SignedIn
from platforms.api.signin import RefreshView, RevokeView, SignInView
from platforms.api.views import AuditView, LedgerView, MembersView, PlatformsView, TokensView
from sms.api import GatewaysView, InboundSmsView, SmsView


class RootView(APIRootView):
    """The resources of the API, for people who look around in a browser."""

    permission_classes = [SignedIn]


class Router(DefaultRouter):
    """JSON only, so no suffixes; one root for signed-in people."""

    include_format_suffixes = False
    APIRootView = RootView


class DocsView(SpectacularSwaggerSplitView):
    """The schema to look at and to try, for signed-in people."""

    http_method_names = ["get", "head"]  # it is a page: it has no other form to answer in


class UnknownPath(APIView):
    """Whatever else begins with /api/: a 404 in the one error shape."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound(
            _("There is no such path. Paths of the API end with “/”; /api/docs/ lists them.")
        )


router = Router()
router.register("platforms", PlatformsView, basename="platform")
router.register("members", MembersView, basename="member")
router.register("invitations", InvitationsView, basename="invitation")
router.register("sites", SitesView, basename="site")
router.register("devices", DevicesView, basename="device")
router.register("device-shares", SharesView, basename="device-share")
router.register("device-models", DeviceModelsView, basename="device-model")
router.register("device-filters", SavedFiltersView, basename="device-filter")
router.register("device-links", PowerLinksView, basename="device-link")
router.register("onboardings", OnboardingsView, basename="onboarding")
router.register("command-templates", CommandTemplatesView, basename="command-template")
router.register("commands", CommandsView, basename="command")
router.register("command-schedules", CommandSchedulesView, basename="command-schedule")
router.register("device-events", DeviceEventsView, basename="device-event")
router.register("restorations", RestorationsView, basename="restoration")
router.register("gateways", GatewaysView, basename="gateway")
router.register(
    "sms/inbound", InboundSmsView, basename="sms-inbound"
)  # before "sms", whose numbers it would be
router.register("sms", SmsView, basename="sms")
router.register("exporters", ExportersView, basename="exporter")
router.register("jobs", JobsView, basename="job")
router.register("alerts", AlertsView, basename="alert")
router.register("alert-sources", AlertSourcesView, basename="alert-source")
router.register("webhooks", WebhooksView, basename="webhook")
router.register("maintenance", MaintenanceView, basename="maintenance")
router.register("holidays", HolidaysView, basename="holidays")
router.register("cases", CasesView, basename="case")
router.register("why-not", WhyNotView, basename="why-not")
router.register("stops", StopsView, basename="stop")
router.register("ledger", LedgerView, basename="ledger")
router.register("audit", AuditView, basename="audit")
router.register("tokens", TokensView, basename="token")

macs = ExporterMacsView.as_view({"get": "list", "post": "add", "delete": "remove"})

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="schema"), name="docs"),
    path("v1/auth/token/", SignInView.as_view(), name="token"),
    path("v1/auth/token/refresh/", RefreshView.as_view(), name="token-refresh"),
    path("v1/auth/token/revoke/", RevokeView.as_view(), name="token-revoke"),
    path("v1/exporter-macs/", macs, name="exporter-macs"),
    path("v1/prometheus/devices/", PrometheusDevicesView.as_view({"get": "list"}), name="prometheus-devices"),
    path("v1/", include(router.urls)),
    re_path(r"^.*$", UnknownPath.as_view(), name="api-unknown"),
]
