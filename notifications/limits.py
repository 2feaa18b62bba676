"""Tell people that a platform's SMS run out, at 80 % and at 100 %, and what was not sent because of it.

The minute sweep asks; ``Usage.notified_ratio`` remembers what was told, by compare-and-set.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q

from automation.models import GuardRefusal
from devices.models import Command
from devices.states import CommandState
from notifications.models import Notice
from notifications.services import address_to
from platforms import ledger, quotas
from platforms.models import Platform, Usage, User
from platforms.roles import Role
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later

WARN, FULL = 0.8, 1.0
NAMED = 10  # what was not sent is named up to here, and counted from here on
NEARLY = 10  # parts left to automation from which on something may have been refused


def notify_of_limits(*, now: datetime | None = None) -> int:
    """Make the notices that are due; how many."""
    now = now or utcnow()
    rows = Usage.objects.filter(kind=quotas.SMS, platform__is_active=True).select_related("platform")
    # a platform's month begins up to a day before or after that of UTC: two are enough
    rows = rows.filter(period__in={now.strftime("%Y-%m"), *(_near(now))})
    return sum(
        _tell(usage, now=now) for usage in rows if usage.period == quotas.sms_period(usage.platform, now)
    )


def _near(now: datetime) -> list[str]:
    return [now.astimezone(ZoneInfo(zone)).strftime("%Y-%m") for zone in ("Etc/GMT+12", "Etc/GMT-14")]


def _tell(usage: Usage, *, now: datetime) -> bool:
    platform = usage.platform
    taken, limit = usage.used + usage.reserved, platform.sms_limit
    ratio = taken / limit if limit else FULL
    for_automation = quotas.remaining(platform, quotas.SMS, at=now, for_people=False)
    not_sent = unsent(platform, usage.period) if ratio >= WARN or for_automation < NEARLY else []
    level = FULL if ratio >= FULL else WARN if ratio >= WARN or not_sent else 0.0
    with transaction.atomic():
        if level == usage.notified_ratio and not (level and _is_news(usage, not_sent, now=now)):
            return False
        mine = Usage.objects.filter(pk=usage.pk, notified_ratio=usage.notified_ratio)
        if not mine.update(notified_ratio=level) or level == 0.0:
            return False
        if level < usage.notified_ratio:  # the limit was raised: good news need no notice
            return False
        return _write(usage, level, taken, not_sent, left_to_automation=for_automation, now=now)


def _is_news(usage: Usage, not_sent: list[str], *, now: datetime) -> bool:
    """Whether more was not sent since the last notice, told at most once on each of the platform's days."""
    last = Notice.objects.filter(dedupe_key__startswith=f"limit:{usage.pk}:").order_by("-created_at").first()
    if last is None or len(not_sent) <= int(last.data.get("not_sent_count", 0)):
        return False
    zone = ZoneInfo(usage.platform.time_zone)
    return last.created_at.astimezone(zone).date() != now.astimezone(zone).date()


def _write(
    usage: Usage, level: float, taken: int, not_sent: list[str], *, left_to_automation: int, now: datetime
) -> bool:
    platform = usage.platform
    notice = Notice.objects.create(
        platform=platform, created_at=now,
        kind="sms_limit_full" if level == FULL else "sms_limit_near",
        severity=Notice.Severity.CRITICAL if level == FULL else Notice.Severity.WARNING,
        dedupe_key=f"limit:{usage.pk}:{level}:{platform.sms_limit}:{now.isoformat()}",
        data={
            "platform": platform.name, "title": platform.name, "taken": taken, "limit": platform.sms_limit,
            "left": max(0, platform.sms_limit - taken), "left_to_automation": left_to_automation,
            "not_sent": not_sent[:NAMED], "not_sent_count": len(not_sent),
        },
    )  # fmt: skip
    address_to(notice, recipients(platform), now=now)
    later("notifications.tasks.deliver")
    return True


def recipients(platform: Platform) -> list[User]:
    """Who can do something: the admins and managers of the platform, and the operator, who sets the limit."""
    own = Q(memberships__platform=platform, memberships__role__in=[Role.ADMIN, Role.MANAGER])
    return list(User.objects.filter(own | Q(is_superuser=True), is_active=True).distinct().order_by("pk"))


def unsent(platform: Platform, period: str) -> list[str]:
    """The devices for which something was not sent in this month, because the limit was reached."""
    begin = datetime.combine(ledger.days_of(period)[0], datetime.min.time(), ZoneInfo(platform.time_zone))
    commands = Command.objects.filter(
        platform=platform, created_at__gte=begin, state=CommandState.BLOCKED, failure_reason="quota"
    )
    refused = GuardRefusal.objects.filter(
        platform=platform, last_at__gte=begin, guard="budget", reason="sms_limit"
    )
    names: dict[str, None] = {}
    for command in commands.select_related("target", "device").order_by("created_at"):
        names[str(command.target or command.device)] = None
    for refusal in refused.select_related("device").order_by("last_at"):
        names[str(refusal.device)] = None
    return list(names)
