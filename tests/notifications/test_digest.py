"""A storm of notices: nobody is buried, nothing is lost, and other platforms do not notice."""

import smtplib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from notifications.channels import email
from notifications.folding import ALONE, WINDOW, plan
from notifications.models import Delivery, Notice
from notifications.services import address_to, deliver_due
from platforms.models import Platform, User
from tests.factories import NOW, make_platform, make_user, minutes

pytestmark = pytest.mark.django_db


def storm(platform: Platform, people: list[User], count: int, *, at: datetime = NOW) -> None:
    first = Notice.objects.count()
    notices = Notice.objects.bulk_create(
        Notice(
            platform=platform, severity="critical", kind="escalated", created_at=at,
            dedupe_key=f"storm:{first + number}",
            data={"title": f"player {first + number}", "platform": platform.name, "why": ""},
        )
        for number in range(count)
    )  # fmt: skip
    for notice in notices:
        address_to(notice, people, now=at)


@pytest.mark.parametrize(
    ("waiting", "sent", "how"),
    [
        (1, [], "singly"), (ALONE, [], "singly"), (ALONE + 1, [], "together"), (1, [0] * ALONE, "together"),
        (1, [0] * (ALONE + 1), "later"), (500, [0] * (ALONE + 1), "later"), (1, [11] * 9, "singly"),
    ],
)  # fmt: skip
def test_the_plan(waiting: int, sent: list[float], how: str) -> None:
    found = plan(waiting, [NOW - minutes(ago) for ago in sent], now=NOW)

    assert found.how == how
    assert found.at == (NOW + WINDOW if how == "later" else None)


@pytest.mark.databases
@pytest.mark.parametrize(
    "count", [60, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_storm_is_one_digest_and_others_do_not_notice(
    count: int, mailoutbox: list[Any], figure: Callable[[str, str], None]
) -> None:
    stormy, calm = make_platform("stormy"), make_platform("calm")
    ann, bob = make_user("ann", platform=stormy, role="admin"), make_user("bob", platform=calm, role="admin")
    User.objects.filter(pk=ann.pk).update(language="en")
    people = list(User.objects.filter(pk__in=[ann.pk]))
    storm(stormy, people, count)
    storm(calm, [bob, *people], 1)

    for minute in range(9):
        deliver_due(now=NOW + minutes(minute), budget_s=600)

    mine = [mail for mail in mailoutbox if "stormy" in mail.subject]
    assert [mail.subject for mail in mine] == [f"REMOSA · stormy · {count} notices, urgent: {count}"]
    assert f"and {count - 20} more" in mine[0].body
    assert sorted(mail.to[0] for mail in mailoutbox if "calm" in mail.subject) == sorted(
        [ann.email, bob.email]
    )
    rows = Delivery.objects.filter(channel="email", user=ann, notice__platform=stormy)
    assert (rows.filter(state="sent").count(), rows.filter(state="folded").count()) == (1, count - 1)
    assert rows.filter(state="folded", digest=rows.get(state="sent")).count() == count - 1
    assert Delivery.objects.filter(channel="console", user=ann).count() == count + 1, (
        "each is read in the console"
    )
    figure(
        "notice storm",
        f"{count:,} notices to one person: {len(mine)} message, 0 lost, other platforms at once",
    )


def test_what_goes_on_is_told_a_few_times_and_then_once_a_window(mailoutbox: list[Any]) -> None:
    north = make_platform()
    ann = make_user("ann", platform=north, role="admin")
    for minute in range(40):
        storm(north, [ann], 5, at=NOW + minutes(minute))
        deliver_due(now=NOW + minutes(minute))
    deliver_due(now=NOW + minutes(60))

    mails = Delivery.objects.filter(channel="email", state="sent").order_by("state_changed_at")
    times = list(mails.values_list("state_changed_at", flat=True))
    assert len(mailoutbox) == len(times)
    assert all(sum(at <= other < at + WINDOW for other in times) <= ALONE + 1 for at in times)
    assert not Delivery.objects.filter(channel="email").exclude(state__in=["sent", "folded"]).exists()


def test_a_mail_server_that_is_away_is_asked_once_for_all(
    mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    north = make_platform()
    ann = make_user("ann", platform=north, role="admin")
    asked = []

    def away(*args: Any, **kwargs: Any) -> None:
        asked.append(1)
        raise smtplib.SMTPServerDisconnected

    monkeypatch.setattr(email, "send_mail", away)
    storm(north, [ann], 10)
    deliver_due(now=NOW)
    deliver_due(now=NOW + timedelta(seconds=1))
    assert len(asked) == 1

    monkeypatch.undo()
    deliver_due(now=NOW + minutes(2))

    assert len(mailoutbox) == 1
    assert Delivery.objects.filter(channel="email", state="folded").count() == 9
