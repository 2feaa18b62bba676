"""Stop and resume automation: everywhere, on a platform, for a job, for a device."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from platforms import audit
from platforms.models import KillSwitch, Platform
from platforms.querysets import PlatformQuerySet

Scope = KillSwitch.Scope


def engaged(*, now: datetime) -> PlatformQuerySet:
    """The switches that stop something now."""
    return KillSwitch.objects.filter(released_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))


def stopping(
    *, platform_id: int, now: datetime, job_id: int | None = None, device_ids: tuple[int, ...] = ()
) -> KillSwitch | None:
    """The switch that stops automation here, widest first; None when nothing does."""
    here = Q(scope=Scope.GLOBAL) | Q(scope=Scope.PLATFORM, platform_id=platform_id)
    if job_id is not None:
        here |= Q(scope=Scope.JOB, platform_id=platform_id, target_id=job_id)
    if device_ids:
        here |= Q(scope=Scope.DEVICE, platform_id=platform_id, target_id__in=device_ids)
    found = list(engaged(now=now).filter(here))
    return min(found, key=lambda switch: Scope.values.index(switch.scope), default=None)


def engage(
    *,
    scope: str,
    reason: str,
    by: Any,
    now: datetime,
    platform: Platform | None = None,
    target_id: int | None = None,
    expires_at: datetime | None = None,
) -> KillSwitch:
    """Stop automation; rows already queued are refused at the barrier from this commit on."""
    with transaction.atomic():
        switch = KillSwitch.objects.create(
            scope=scope, platform=platform, target_id=target_id, reason=reason,
            engaged_at=now, engaged_by=by, expires_at=expires_at,
        )  # fmt: skip
        audit.record(
            actor=audit.person(by),
            verb="automation.stopped",
            target=switch,
            platform=platform,
            reason=reason,
            at=now,
        )
    return switch


def release(switch: KillSwitch, *, by: Any, now: datetime) -> bool:
    """Resume; False when somebody did before."""
    with transaction.atomic():
        if not KillSwitch.objects.filter(pk=switch.pk, released_at=None).update(
            released_at=now, released_by=by
        ):
            return False
        audit.record(
            actor=audit.person(by), verb="automation.resumed", target=switch, platform=switch.platform, at=now
        )
    return True
