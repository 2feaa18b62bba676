"""At 80 % and at 100 % of the SMS, people are told once, and what was not sent is named."""

import uuid
from datetime import datetime, timedelta

import pytest

from devices.services import request_command
from notifications.limits import notify_of_limits
from notifications.models import Delivery, Notice
from notifications.rendering import details, sentence
from platforms import quotas
from platforms.models import Platform, Usage, User
from tests.factories import NOW, make_gateway, make_socket

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.fixture
def platform(north: Platform) -> Platform:
    Platform.objects.filter(pk=north.pk).update(sms_limit=10, time_zone="UTC")
    north.refresh_from_db()
    return north


def take(platform: Platform, units: int, *, at: datetime = NOW) -> None:
    quotas.spend(platform=platform, kind=quotas.SMS, units=units, at=at, for_people=True)


def told() -> list[str]:
    return list(Notice.objects.order_by("created_at").values_list("kind", flat=True))


def test_below_80_percent_nothing_is_said(platform: Platform) -> None:
    take(platform, 7)

    assert notify_of_limits(now=NOW) == 0
    assert told() == []


def test_each_step_is_told_once(platform: Platform) -> None:
    take(platform, 8)
    for _minute in range(3):
        notify_of_limits(now=NOW)
    take(platform, 2)
    for _minute in range(3):
        notify_of_limits(now=NOW)

    assert told() == ["sms_limit_near", "sms_limit_full"]


def test_a_leap_over_both_steps_is_one_notice(platform: Platform) -> None:
    take(platform, 10)

    notify_of_limits(now=NOW)

    assert told() == ["sms_limit_full"]


def test_the_admins_managers_and_the_operator_are_told(
    platform: Platform, alice: User, bob: User, charlie: User, root: User
) -> None:
    take(platform, 8)

    notify_of_limits(now=NOW)

    names = set(Delivery.objects.values_list("user__username", flat=True))
    assert names == {"alice", "root"}


def test_what_was_not_sent_is_named(platform: Platform, alice: User) -> None:
    make_gateway(platform)
    sockets = [make_socket(platform, name=f"Socket {number}") for number in range(2)]
    take(platform, 8)
    for number, source in enumerate(("job", "person")):
        take(platform, 2) if source == "person" else None
        request_command(
            device=sockets[number], template_key="power_cycle", params={"minutes": 1}, source=source,
            idem_key=f"k{number}", cause_id=uuid.uuid4(), now=NOW, actor=alice if source == "person" else None,
        )  # fmt: skip

    notify_of_limits(now=NOW)

    notice = Notice.objects.get()
    assert sorted(notice.data["not_sent"]) == ["Socket 0", "Socket 1"]
    text = details(notice.kind, notice.data)
    assert f"Not sent because of it: {', '.join(notice.data['not_sent'])}." in text
    assert sentence(notice.kind, notice.data) == "The SMS limit of this month is reached: 10 of 10"


def test_at_80_percent_it_says_that_the_rest_is_for_people(platform: Platform) -> None:
    take(platform, 8)

    notify_of_limits(now=NOW)

    notice = Notice.objects.get()
    assert "the 2 that are left are kept for people" in details(notice.kind, notice.data)


def test_more_that_was_not_sent_is_told_on_the_next_day(platform: Platform) -> None:
    make_gateway(platform)
    take(platform, 10)
    notify_of_limits(now=NOW)

    for hours, key in ((1, "a"), (24, "b")):
        at = NOW + timedelta(hours=hours)
        request_command(
            device=make_socket(platform), template_key="power_cycle", params={"minutes": 1}, source="job",
            idem_key=key, cause_id=uuid.uuid4(), now=at,
        )  # fmt: skip
        notify_of_limits(now=at)
        notify_of_limits(now=at)

    assert told() == ["sms_limit_full"] * 2
    assert Notice.objects.order_by("created_at").last().data["not_sent_count"] == 2


def test_a_raised_limit_is_no_news_and_the_next_step_is(platform: Platform) -> None:
    take(platform, 10)
    notify_of_limits(now=NOW)
    Platform.objects.filter(pk=platform.pk).update(sms_limit=20)
    notify_of_limits(now=NOW)
    take(platform, 6)
    notify_of_limits(now=NOW)

    assert told() == ["sms_limit_full", "sms_limit_near"]


def test_a_new_month_begins_anew(platform: Platform) -> None:
    april = datetime(2026, 4, 1, tzinfo=NOW.tzinfo)
    take(platform, 10)
    notify_of_limits(now=NOW)
    notify_of_limits(now=april)
    take(platform, 8, at=april)
    notify_of_limits(now=april)

    assert told() == ["sms_limit_full", "sms_limit_near"]
    assert Usage.objects.get(period="2026-03", kind="sms").notified_ratio == 1.0


def test_a_platform_hears_nothing_of_another(platform: Platform, south: Platform, charlie: User) -> None:
    take(platform, 10)

    notify_of_limits(now=NOW)

    assert not Notice.objects.visible_to(charlie).exists()
