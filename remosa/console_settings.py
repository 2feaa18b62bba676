"""The look of the console: django-unfold's settings. Words, groups and links; the checks live in
``remosa.console.navigation``."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

CHECK = "remosa.console.checks"


def item(
    title: Any, icon: str, route: str, check: str = "", *, query: str = "", badge: str = ""
) -> dict[str, Any]:
    """One line of the sidebar; ``check`` names a callback that shows or hides it."""
    link = reverse_lazy(f"admin:{route}")
    entry: dict[str, Any] = {
        "title": title,
        "icon": icon,
        "link": link if not query else _linked(route, query),
    }
    if check:
        entry["permission"] = f"{CHECK}.{check}"
    if badge:
        entry["badge"] = f"remosa.console.navigation.{badge}"
        entry["badge_style"] = "solid"
    if query:
        entry["active"] = f"{CHECK}.on_{query.rpartition('=')[2]}"
    return entry


def _linked(route: str, query: str) -> Any:
    return lambda request: f"{reverse_lazy(f'admin:{route}')}?{query}"


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "REMOSA",
    "SITE_HEADER": "REMOSA",
    "SITE_SUBHEADER": _("remote monitoring and SMS automation"),
    "SITE_SYMBOL": "settings_power",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("remosa/favicon.svg")}
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "LANGUAGES": {"action": lambda request: reverse_lazy("admin:set_language")},
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda request: static("remosa/console.css")],
    "SCRIPTS": [lambda request: static("remosa/console.js")],
    "LOGIN": {"form": "remosa.console.login.LoginForm"},
    "DASHBOARD_CALLBACK": "remosa.console.home.dashboard",
    "ACCOUNT": {
        "navigation": [
            {"title": _("My settings"), "link": reverse_lazy("admin:my_settings")},
        ]
    },
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    item(_("Home"), "home", "index"),
                    item(_("All clients"), "apartment", "clients", "several"),
                    item(
                        _("Cases"),
                        "emergency_home",
                        "automation_case_changelist",
                        "cases",
                        badge="cases_badge",
                    ),
                    item(
                        _("Notices"),
                        "notifications",
                        "notifications_notice_changelist",
                        "notices",
                        badge="notices_badge",
                    ),
                ],
            },
            {
                "title": _("Equipment"),
                "separator": True,
                "items": [
                    item(
                        _("Players"), "tv", "devices_device_changelist", "devices", query="kind__exact=player"
                    ),
                    item(
                        _("GSM sockets"),
                        "outlet",
                        "devices_device_changelist",
                        "devices",
                        query="kind__exact=socket",
                    ),
                    item(_("Sites"), "location_on", "devices_site_changelist", "sites"),
                    item(
                        _("Import and export"),
                        "upload_file",
                        "devices_onboarding_changelist",
                        "onboarding",
                    ),
                    item(_("Commands"), "send_to_mobile", "devices_command_changelist", "commands"),
                    item(
                        _("Scheduled commands"), "schedule", "devices_commandschedule_changelist", "commands"
                    ),
                    item(_("Own reply rules"), "school", "devices_ownreplyrule_changelist", "commands"),
                    item(_("Power to be restored"), "power", "devices_restoration_changelist", "commands"),
                    item(
                        _("Events of devices"),
                        "notifications_active",
                        "devices_deviceevent_changelist",
                        "commands",
                    ),
                ],
            },
            {
                "title": _("Automation"),
                "separator": True,
                "items": [
                    item(_("Jobs"), "smart_toy", "automation_job_changelist", "jobs"),
                    item(_("Alerts"), "notification_important", "automation_alert_changelist", "alerts"),
                    item(_("Maintenance"), "engineering", "automation_maintenance_changelist"),
                    item(_("Holidays"), "event_busy", "automation_holiday_changelist"),
                    item(_("Why not"), "help_center", "automation_guardrefusal_changelist", "refusals"),
                    item(_("Stops"), "stop_circle", "platforms_killswitch_changelist", "switches"),
                ],
            },
            {
                "title": _("Connections"),
                "separator": True,
                "items": [
                    item(_("Exporters (CMS)"), "cloud_sync", "exporters_exporter_changelist", "exporters"),
                    item(_("Alert sources"), "webhook", "automation_alertsource_changelist", "alert_sources"),
                    item(_("Webhooks"), "output", "automation_webhook_changelist", "webhooks"),
                    item(_("Devices from Prometheus"), "query_stats", "prometheus_devices", "targets"),
                    item(_("SMS gateways"), "cell_tower", "sms_gateway_changelist", "gateways"),
                    item(_("SMS queue"), "low_priority", "sms_queue", "queue"),
                    item(_("Outgoing SMS"), "outbox", "sms_smsmessage_changelist", "outbox"),
                    item(_("Incoming SMS"), "inbox", "sms_inboundsms_changelist", "inbox"),
                ],
            },
            {
                "title": _("Administration"),
                "separator": True,
                "items": [
                    item(_("Platforms"), "apartment", "platforms_platform_changelist", "platforms"),
                    item(_("Members"), "group", "platforms_membership_changelist", "members"),
                    item(_("Invitations"), "mail", "platforms_invitation_changelist", "invitations"),
                    item(_("Tokens"), "key", "platforms_apitoken_changelist", "tokens"),
                    item(_("Ledger of SMS"), "receipt_long", "platforms_ledgerentry_changelist", "ledger"),
                    item(_("Audit"), "history_edu", "platforms_auditevent_changelist", "audit"),
                ],
            },
            {
                "title": _("Operator of REMOSA"),
                "separator": True,
                "collapsible": True,
                "items": [
                    item(_("People"), "badge", "platforms_user_changelist", "operator"),
                    item(_("Device models"), "memory", "devices_devicemodel_changelist", "operator"),
                    item(_("Command templates"), "sms", "devices_commandtemplate_changelist", "operator"),
                    item(
                        _("Versions of models"), "history", "devices_catalogueversion_changelist", "operator"
                    ),
                    item(
                        _("Prometheus"),
                        "monitoring",
                        "automation_prometheusconnection_changelist",
                        "operator",
                    ),
                    item(_("Failed tasks"), "error", "django_q_failure_changelist", "operator"),
                    item(_("Sign-in attempts"), "lock_person", "axes_accessattempt_changelist", "operator"),
                ],
            },
        ],
    },
}
