"""System checks of the whole installation: combinations of settings that would break a promise."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from remosa.lib.egress import is_allowed


@register()
def queue_never_repeats(app_configs: Any, **kwargs: Any) -> list[Error]:
    """django-q2 must not repeat tasks by itself: retries live on our rows."""
    q = settings.Q_CLUSTER
    errors = []
    if q["timeout"] >= q["retry"]:
        errors.append(
            Error("Q_CLUSTER: timeout must be shorter than retry.", hint="Raise retry.", id="remosa.E001")
        )
    if q["max_attempts"] != 1 or not q["ack_failures"] or q["catch_up"]:
        errors.append(
            Error(
                "Q_CLUSTER would repeat tasks.",
                hint="Set max_attempts=1, ack_failures=True, catch_up=False.",
                id="remosa.E002",
            )
        )
    return errors


@register()
def outbox_lease_outlives_a_send(app_configs: Any, **kwargs: Any) -> list[Error]:
    """A send must end long before its lease, or a reaper would settle it while it is on the wire."""
    if settings.OUTBOX_SEND_DEADLINE_S * 2 > settings.OUTBOX_LEASE_S:
        return [
            Error(
                "OUTBOX_LEASE_S must be at least twice OUTBOX_SEND_DEADLINE_S.",
                hint=f"They are {settings.OUTBOX_LEASE_S} s and {settings.OUTBOX_SEND_DEADLINE_S} s.",
                id="remosa.E003",
            )
        ]
    return []


@register()
def sqlite_survives_a_power_cut(app_configs: Any, **kwargs: Any) -> list[Error]:
    """The outbox's barrier must be on disk before the first byte leaves."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.sqlite3":
        return []
    init = database.get("OPTIONS", {}).get("init_command", "")
    if "synchronous=FULL" not in init or database["OPTIONS"].get("transaction_mode") != "IMMEDIATE":
        return [Error("SQLite must run with synchronous=FULL and BEGIN IMMEDIATE.", id="remosa.E004")]
    return []


@register(deploy=True)
def public_url_is_https(app_configs: Any, **kwargs: Any) -> list[Warning]:
    """Cookies are only marked Secure when people come by https."""
    if settings.PUBLIC_URL.startswith("https://"):
        return []
    return [Warning("PUBLIC_URL is not https.", hint="Put a TLS proxy in front.", id="remosa.W001")]


@register()
def egress_networks_are_networks(app_configs: Any, **kwargs: Any) -> list[Error]:
    """EGRESS_ALLOW is a list of CIDRs."""
    try:
        is_allowed("8.8.8.8")
    except ImproperlyConfigured as exc:
        return [Error(str(exc), hint="For example EGRESS_ALLOW=10.20.0.0/16,127.0.0.0/8", id="remosa.E005")]
    return []
