"""Tell people at once when an SMS gateway takes nothing more: what waits for it would otherwise expire in silence."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from notifications.models import Notice
from notifications.services import address_to
from platforms.models import Membership, Platform, User
from platforms.roles import Role
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later
from sms.models import Gateway, SmsMessage
from sms.selectors import BlockedGateway, blocked_gateways

KIND = "gateway_blocked"
AGAIN_AFTER = timedelta(minutes=30)  # a gateway that goes to and fro is told of once in a while
USED_WITHIN = timedelta(days=1)


def notify_of_gateways(*, now: datetime | None = None, gateway_id: int | None = None) -> int:
    """One notice per suspended gateway and platform that it hurts; how many are new. Safe to repeat.

    Its own platform hears of it; of a shared one the platforms that use it, and the superadmins.
    """
    now = now or utcnow()
    rows = Gateway.objects.filter(is_enabled=True, breaker=Gateway.Breaker.OPEN).select_related("platform")
    if gateway_id is not None:
        rows = rows.filter(pk=gateway_id)
    return sum(_notify(row, platform, now=now) for row in rows for platform in _hurt(row, now=now))


def _hurt(gateway: Gateway, *, now: datetime) -> list[Platform]:
    """The platforms that have something for this gateway, or had lately."""
    if gateway.platform is not None:
        return [gateway.platform] if gateway.platform.is_active else []
    messages = SmsMessage.objects.filter(created_at__gte=now - USED_WITHIN)
    own = Gateway.objects.filter(is_enabled=True, platform__isnull=False).values("platform")
    lately = messages.filter(gateway=gateway) | messages.filter(gateway=None).exclude(platform__in=own)
    return list(Platform.objects.filter(pk__in=lately.values("platform"), is_active=True).order_by("pk"))


def _notify(gateway: Gateway, platform: Platform, *, now: datetime) -> bool:
    since = gateway.breaker_since or now
    told = Notice.objects.filter(
        platform=platform, kind=KIND, dedupe_key__startswith=_prefix(gateway, platform)
    )
    if told.filter(created_at__gt=now - AGAIN_AFTER).exists():
        return False
    blocked = [row for row in blocked_gateways(platform.pk, now=now) if row.gateway.pk == gateway.pk]
    with transaction.atomic():
        notice, created = Notice.objects.get_or_create(
            dedupe_key=f"{_prefix(gateway, platform)}{since.isoformat()}",
            defaults={
                "platform": platform, "kind": KIND, "created_at": now,
                "severity": Notice.Severity.CRITICAL if _waiting(blocked) else Notice.Severity.WARNING,
                "data": {
                    "platform": platform.name, "since": since.isoformat(), "waiting": _waiting(blocked),
                    "gateway": gateway.name if gateway.platform_id else "", "gateway_id": gateway.pk,
                    "refuses": gateway.last_error,
                },
            },
        )  # fmt: skip
        if created:
            address_to(notice, _people(gateway, platform), now=now)
            later("notifications.tasks.deliver")
    return created


def _prefix(gateway: Gateway, platform: Platform) -> str:
    return f"gateway:{gateway.pk}:{platform.pk}:"


def _waiting(blocked: Iterable[BlockedGateway]) -> int:
    return sum(row.waiting for row in blocked)


def _people(gateway: Gateway, platform: Platform) -> list[User]:
    """Who runs the platform, and for a shared gateway who runs REMOSA."""
    roles = Membership.objects.filter(platform=platform, role__in=[Role.ADMIN, Role.MANAGER])
    people = User.objects.filter(is_active=True, pk__in=roles.values("user"))
    operators = User.objects.filter(is_active=True, is_superuser=True)
    if gateway.platform_id is None or not people.exists():
        people = people | operators
    return list(people.distinct().order_by("pk"))
