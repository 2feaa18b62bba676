"""Tell people when the sender of alerts does not know itself: no data, an error, a series that is gone.

Such an alert switches nothing, so people are all that it may move. The minute sweep asks; an alert is
told of once, and many of one source make one notice.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from automation.models import Alert, AlertSource
from automation.states import AlertState
from notifications.models import Notice
from notifications.services import address_to
from platforms.models import Platform, User
from platforms.querysets import PlatformQuerySet
from platforms.roles import Role
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later

KIND = "alerts_in_doubt"
AGAIN_AFTER = timedelta(minutes=30)  # what comes after a notice waits for the next one of its source
LATELY = timedelta(hours=24)
NAMED = 5  # alerts are named up to here, and counted from here on
DOUBTS = (Alert.Signal.NO_DATA, Alert.Signal.ERROR, Alert.Signal.MISSING)
OF_DOUBT_ALONE = ("DatasourceNoData", "DatasourceError")  # when such an alert ends, the doubt is over


def notify_of_doubts(*, now: datetime | None = None) -> int:
    """One notice per source that has something new to say; how many. Safe to repeat."""
    now = now or utcnow()
    waiting = _untold(now=now).order_by().values_list("source", flat=True).distinct()
    sources = AlertSource.objects.filter(pk__in=list(waiting), is_enabled=True, platform__is_active=True)
    return sum(_tell(source, now=now) for source in sources.select_related("platform").order_by("pk"))


def _untold(*, now: datetime) -> PlatformQuerySet:
    going_on = Q(state=AlertState.FIRING) | Q(state=AlertState.RESOLVED) & ~Q(name__in=OF_DOUBT_ALONE)
    rows = Alert.objects.filter(going_on, signal__in=DOUBTS, doubt_told_at=None)
    return rows.filter(received_at__gt=now - LATELY)


def _tell(source: AlertSource, *, now: datetime) -> bool:
    told = Notice.objects.filter(platform=source.platform_id, kind=KIND, data__source=str(source.pk))
    if told.filter(created_at__gt=now - AGAIN_AFTER).exists():
        return False
    with transaction.atomic():
        AlertSource.objects.select_for_update(no_key=True).get(pk=source.pk)  # one notice at a time
        rows = list(
            _untold(now=now)
            .filter(source=source)
            .select_related("device")
            .order_by("first_received_at", "pk")
        )
        marked = Alert.objects.filter(pk__in=[row.pk for row in rows], doubt_told_at=None)
        if not rows or not marked.update(doubt_told_at=now):
            return False
        names = list(dict.fromkeys(_name(row) for row in rows))
        notice = Notice.objects.create(
            platform=source.platform, kind=KIND, severity=Notice.Severity.WARNING, created_at=now,
            dedupe_key=f"doubt:{source.pk}:{rows[0].pk}:{now.isoformat()}",
            data={
                "platform": source.platform.name, "title": source.name, "source": str(source.pk),
                "signals": sorted({row.signal for row in rows}), "count": len(rows), "names": names[:NAMED],
            },
        )  # fmt: skip
        address_to(notice, _people(source.platform), now=now)
        later("notifications.tasks.deliver")
    return True


def _name(alert: Alert) -> str:
    device = alert.device.name if alert.device else ""
    rule = alert.labels.get("rulename") or alert.name
    return f"{device} ({rule})" if device else str(rule)


def _people(platform: Platform) -> list[User]:
    """The admins and managers of the platform; where there is none, who runs REMOSA."""
    own = Q(memberships__platform=platform, memberships__role__in=[Role.ADMIN, Role.MANAGER])
    people = User.objects.filter(own, is_active=True).distinct().order_by("pk")
    return list(people) or list(User.objects.filter(is_superuser=True, is_active=True).order_by("pk"))
