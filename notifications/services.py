"""Make notices and see them on their way; commands never wait for people's mail."""

import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone, translation

from automation.models import Case
from automation.selectors import proposed_step
from notifications.errors import ChannelError
from notifications.folding import WINDOW, plan
from notifications.models import Delivery, Notice
from notifications.ports import Origin
from notifications.rendering import render, render_digest
from notifications.states import DELIVERY, DeliveryState
from platforms.models import User
from platforms.roles import Role
from remosa.lib.backoff import backoff
from remosa.lib.clock import utcnow
from remosa.lib.registry import backend
from remosa.lib.tasks import later

logger = logging.getLogger(__name__)
D = DeliveryState
LEASE = timedelta(minutes=2)
MAX_ATTEMPTS = 8
AT_ONCE = 200  # people, or notices in the console, that one run sees to
MOST_FOLDED = 10_000  # notices in one message
BUDGET_S = 40.0  # of one run: the queue ends a task that lasts longer than its own limit
STILL_TRUE = {"escalated": ("escalated",), "suggested": ("open", "acting")}  # states in which to tell of it
SEVERITY = {"escalated": Notice.Severity.CRITICAL, "suggested": Notice.Severity.WARNING}


def notify_of_case(case_id: uuid.UUID, *, kind: str, now: datetime | None = None) -> Notice | None:
    """One notice per case, kind and time it was handed over; the same bell twice makes nothing new."""
    now = now or utcnow()
    case = Case.objects.select_related("platform", "device").filter(pk=case_id).first()
    if case is None:
        return None
    if case.state not in STILL_TRUE.get(kind, (case.state,)):
        return None  # it moved on before the sweep came by
    with transaction.atomic():
        notice, created = Notice.objects.get_or_create(
            dedupe_key=f"case:{case.pk}:{kind}:{case.notices_sent}",
            defaults={
                "platform": case.platform, "severity": SEVERITY.get(kind, Notice.Severity.INFO), "kind": kind,
                "case": case, "created_at": now,
                "data": {
                    "title": case.title, "platform": case.platform.name, "why": case.outcome,
                    **({"step": proposed_step(case)} if kind == "suggested" else {}),
                },
            },
        )  # fmt: skip
        if not created:
            return None
        address(notice, case, now=now)
        later("notifications.tasks.deliver")
    return notice


def recipients(case: Case) -> list[User]:
    """The admins and managers of the platform, and the device's owner and sharers who want notices."""
    people = Q(memberships__platform=case.platform_id, memberships__role__in=[Role.ADMIN, Role.MANAGER])
    if case.device_id is not None:
        own = Q(owned_devices=case.device_id) | Q(
            device_shares__device=case.device_id, device_shares__notifications=True
        )
        people |= own & Q(memberships__platform=case.platform_id)
    return list(User.objects.filter(people, is_active=True).distinct().order_by("pk"))


def address(notice: Notice, case: Case, *, now: datetime) -> None:
    """Queue the notice for each person of the case, by every channel that reaches them.

    Of a platform that was closed only the operator hears: its people cannot look any more.
    """
    people = recipients(case) if case.platform.is_active else []
    people = people or list(User.objects.filter(is_superuser=True, is_active=True))
    address_to(notice, people, now=now)


def address_to(notice: Notice, people: Iterable[User], *, now: datetime) -> None:
    """Queue the notice for each of ``people``, by every channel that reaches them with what is so urgent."""
    rows = []
    for user in people:
        for kind in settings.NOTIFICATION_CHANNELS:
            channel = backend("NOTIFICATION_CHANNELS", kind)()
            if notice.severity in channel.severities and channel.reaches(user):
                rows.append(
                    Delivery(
                        notice=notice, user=user, channel=kind, state_changed_at=now, next_attempt_at=now
                    )
                )
    Delivery.objects.bulk_create(rows)


def deliver_due(*, now: datetime | None = None, budget_s: float = BUDGET_S) -> int:
    """Send what is due; how many messages reached their channel. Safe to run in several processes.

    Without ``now`` each message is sent as of its own moment: a slow mail server must not eat the leases
    of the rows behind it. What does not fit into ``budget_s`` is left to the next run. Many notices to one
    person by one channel become one message.
    """
    began, start = now or utcnow(), time.monotonic()
    for row in Delivery.objects.filter(state=D.SENDING, lease_until__lt=began)[:100]:
        _take_back(row, now=began)
    due = Delivery.objects.filter(state=D.QUEUED, next_attempt_at__lte=began)
    folding = [
        kind for kind in settings.NOTIFICATION_CHANNELS if backend("NOTIFICATION_CHANNELS", kind).folds
    ]
    keys = due.filter(channel__in=folding).order_by().values_list("user", "channel", "notice__platform")
    reached = 0
    for user, channel, platform, _first in keys.annotate(first=Min("next_attempt_at")).order_by("first")[
        :AT_ONCE
    ]:
        if time.monotonic() - start > budget_s:
            return reached
        rows = due.filter(user=user, channel=channel, notice__platform=platform).order_by(
            "next_attempt_at", "pk"
        )
        reached += _deliver_group(list(rows.select_related("notice", "user")[:MOST_FOLDED]), now=now)
    rest = due.exclude(channel__in=folding).order_by("next_attempt_at").select_related("notice", "user")
    for row in rest[:AT_ONCE]:
        if time.monotonic() - start > budget_s:
            break
        reached += _deliver(row, now=now or utcnow())
    return reached


def _deliver_group(rows: list[Delivery], *, now: datetime | None) -> int:
    """Notices of one platform to one person by one channel: each by itself, all in one message, or later."""
    if not rows:
        return 0  # another process was faster
    first, moment = rows[0], now or utcnow()
    lately = Delivery.objects.filter(
        user=first.user_id, channel=first.channel, notice__platform=first.notice.platform_id, state=D.SENT,
        state_changed_at__gt=moment - WINDOW,
    )  # fmt: skip
    found = plan(len(rows), list(lately.values_list("state_changed_at", flat=True)), now=moment)
    if found.how == "later":
        _of(rows).update(next_attempt_at=found.at)
        return 0
    if found.how == "singly" or len(rows) == 1:
        return sum(_deliver(row, now=now or utcnow()) for row in rows)
    return _deliver(first, now=moment, along=rows[1:])


def _take_back(row: Delivery, *, now: datetime) -> None:
    """Its sender is gone. People may rather read a notice twice than never, but not without end."""
    if row.attempts >= MAX_ATTEMPTS:
        DELIVERY.move(row, D.FAILED, now=now, reason="tries spent")
    else:
        DELIVERY.move(row, D.QUEUED, now=now, next_attempt_at=now)


def _deliver(row: Delivery, *, now: datetime, along: Sequence[Delivery] = ()) -> bool:
    """Send one message; with ``along`` it carries their notices too, and they end as it does."""
    if not row.user.is_active:
        for each in (row, *along):
            DELIVERY.move(each, D.MUTED, now=now, reason="account is not active")
        return False
    if not DELIVERY.move(row, D.SENDING, now=now, lease_until=now + LEASE, attempts=F("attempts") + 1):
        return False  # somebody else sends it, and what goes along
    try:
        _hand_over(row, along)
    except ChannelError as exc:
        _try_again(row, exc, along, now=now)
        return False
    except Exception as exc:  # one poisonous notice must not stop the others
        logger.exception("delivery=%s channel=%s broke", row.pk, row.channel)
        _try_again(row, ChannelError(type(exc).__name__, permanent=False), along, now=now)
        return False
    with transaction.atomic():
        _of(along).update(state=D.FOLDED, state_changed_at=now, digest=row)
        return DELIVERY.move(row, D.SENT, now=now, reason="")


def _of(along: Sequence[Delivery]) -> QuerySet[Delivery]:
    """Those that still wait: one statement moves them all."""
    return Delivery.objects.filter(pk__in=[row.pk for row in along], state=D.QUEUED)


def _hand_over(row: Delivery, along: Sequence[Delivery]) -> None:
    channel: Any = backend("NOTIFICATION_CHANNELS", row.channel)()
    notice = row.notice
    with translation.override(row.user.language), timezone.override(row.user.time_zone):
        if along:
            told = [(each.notice.kind, each.notice.data, each.notice.severity) for each in (row, *along)]
            text = render_digest(told, link=f"{settings.PUBLIC_URL}/admin/notifications/notice/")
        else:
            text = render(notice.kind, notice.data, link=f"{settings.PUBLIC_URL}{path_of(notice)}")
    origin = Origin(platform_id=notice.platform_id, delivery_id=row.pk, created_at=notice.created_at)
    channel.send(row.user, text, origin=origin)


def path_of(notice: Notice) -> str:
    """The page that the notice speaks of; its own page where there is no other."""
    if notice.case_id is not None:
        return f"/admin/automation/case/{notice.case_id}/change/"
    if notice.kind == "alerts_in_doubt":
        return f"/admin/automation/alert/?source__id__exact={notice.data['source']}"
    if "device" in notice.data:
        return f"/admin/devices/device/{notice.data['device']}/change/"
    return f"/admin/notifications/notice/{notice.pk}/change/"


def _try_again(row: Delivery, exc: ChannelError, along: Sequence[Delivery], *, now: datetime) -> None:
    logger.warning("delivery=%s channel=%s failed: %s", row.pk, row.channel, exc)
    reason = str(exc)[:200]
    if exc.permanent or row.attempts >= MAX_ATTEMPTS:
        DELIVERY.move(row, D.FAILED, now=now, reason=reason)
        return  # what goes along is tried by itself
    at = now + backoff(row.attempts, base_s=10.0, cap_s=600.0, jitter=0.5)
    _of(along).update(next_attempt_at=at)
    DELIVERY.move(row, D.QUEUED, now=now, reason=reason, next_attempt_at=at)


def mark_read(notice: Notice, *, by: Any, now: datetime) -> int:
    """This person has seen the notice."""
    return Delivery.objects.filter(notice=notice, user=by, read_at=None).update(read_at=now)
