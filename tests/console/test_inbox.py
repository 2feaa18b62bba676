"""What nobody could place is placed by a person: assigned to a command, or turned into a rule of their platform."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import Command, Device, OwnReplyRule
from devices.replies import ReplyRule, ReplyRuleError
from devices.services import record_sent, sweep_commands
from platforms.models import AuditEvent, Platform, User
from sms.admin.inbox import pattern_for
from sms.errors import SmsInvalid
from sms.models import InboundSms
from sms.ports import InboundText
from sms.services.inbound import receive
from sms.services.inbox import assign, assign_device, assignable, teach
from tests.devices.commands import after, ask, pass_barrier, state_of
from tests.factories import make_gateway, make_socket

REAL = "Реле 1: выкл. Возврат через 1 мин. T=21"
RULE = {
    "name": "off_for_a_time",
    "pattern": "Реле [0-9]{1,6}: выкл\\. Возврат через [0-9]{1,6} мин\\. T=(?P<n3>[0-9]{1,6})",
    "verdict": "confirmed", "answers": {"keys": ["power_cycle"]},
    "facts": {"temperature_c": {"group": "n3", "type": "number"}},
}  # fmt: skip


@pytest.fixture
def socket(north: Platform) -> Device:
    return make_socket(north)


def sent(socket: Device, template: str = "power_cycle", **over: Any) -> Command:
    row = ask(socket, template, **over)
    pass_barrier(row)
    record_sent(row.pk, at=after(seconds=2))
    return row


def came(socket: Device, text: str, *, minutes: float = 1, number: str = "") -> InboundSms:
    gateway = make_gateway(socket.platform)
    message = InboundText(ref=f"{text}{minutes}", sender=number or socket.msisdn, body=text)
    return receive(gateway=gateway, text=message, now=after(minutes=minutes))[0]


def test_two_commands_could_be_answered_and_a_person_says_which(socket: Device, alice: User) -> None:
    first, second = sent(socket, "status"), sent(socket, "status")
    row = came(socket, "OUT1 ON; T=21C; MAINS OK; GSM 21")

    assert row.state == "ambiguous"
    assert assign(row, command=second, by=alice, now=after(minutes=2)) is True
    assert assign(row, command=first, by=alice, now=after(minutes=2)) is False

    row.refresh_from_db()
    second.refresh_from_db()
    assert (row.state, row.command, second.state, second.reply_verdict) == (
        "matched",
        second,
        "replied",
        "confirmed",
    )
    assert state_of(first) == "sent"
    assert AuditEvent.objects.filter(verb="sms.assigned").count() == 1


def test_a_late_text_is_kept_with_its_command_and_moves_nothing(socket: Device, alice: User) -> None:
    command = sent(socket)
    sweep_commands(now=after(hours=1))
    row = came(socket, "OUT1 OFF 1 MIN", minutes=90)

    assert (row.state, row.reason) == ("unmatched", "not_awaited")
    assert assign(row, command=command, by=alice, now=after(minutes=91)) is True
    assert state_of(command) == "unverified"


def test_only_commands_of_the_same_socket_that_had_left_can_be_answered(socket: Device, alice: User) -> None:
    other = sent(make_socket(socket.platform))
    later = ask(socket, now=after(minutes=5))
    row = came(socket, "?", minutes=3)

    assert list(assignable(row)) == []
    for command in (other, later):
        with pytest.raises(SmsInvalid):
            assign(row, command=command, by=alice, now=after(minutes=6))
    assert state_of(other) == "sent"


def test_an_unreadable_answer_teaches_a_rule_and_the_next_one_is_understood(
    socket: Device, alice: User
) -> None:
    row = came(socket, REAL)
    assert (row.state, row.reason) == ("unmatched", "unrecognised")

    made = teach(row, rule=RULE, by=alice, now=after(minutes=2))
    command = sent(socket)
    again = came(socket, REAL, minutes=3)

    command.refresh_from_db()
    socket.refresh_from_db()
    row.refresh_from_db()
    assert (command.state, command.reply_verdict, again.state) == ("replied", "confirmed", "matched")
    assert socket.facts["temperature_c"] == 21
    assert (row.state, row.reason) == ("understood", "info"), "read again by the new rule"
    assert AuditEvent.objects.filter(verb="reply_rule.made", target_id=str(made.pk)).exists()


def test_a_rule_is_its_platforms_own(socket: Device, south: Platform, alice: User) -> None:
    teach(came(socket, REAL), rule=RULE, by=alice, now=after(minutes=2))
    foreign = make_socket(south)

    command = sent(foreign)
    row = came(foreign, REAL, minutes=3)

    command.refresh_from_db()
    assert (row.state, command.reply_verdict) == ("matched", "unrecognised"), "answered, state unknown"


@pytest.mark.parametrize(
    "over",
    [
        {"pattern": "("}, {"pattern": "(a+)+b"}, {"pattern": "другой текст"}, {"verdict": "maybe"}, {"name": "Имя"},
        {"answers": {}}, {"facts": {"x": {"group": "absent"}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_rule_is_refused_and_nothing_is_kept(socket: Device, alice: User, over: dict[str, Any]) -> None:
    with pytest.raises(ReplyRuleError):
        teach(came(socket, REAL), rule={**RULE, **over}, by=alice, now=after(minutes=2))

    assert not OwnReplyRule.objects.exists()


def test_a_stranger_teaches_nothing(socket: Device, alice: User) -> None:
    with pytest.raises(SmsInvalid):
        teach(came(socket, REAL, number="+79161111111"), rule=RULE, by=alice, now=after(minutes=2))


def test_a_strangers_text_is_read_as_that_of_the_socket_that_a_person_names(
    socket: Device, south: Platform, alice: User
) -> None:
    row = came(socket, "MAINS LOST", number="+79161111111")
    unread = came(socket, REAL, number="+79161111111", minutes=2)

    with pytest.raises(SmsInvalid):
        assign_device(row, device=make_socket(south), by=alice, now=after(minutes=3))
    done = [assign_device(each, device=socket, by=alice, now=after(minutes=3)) for each in (row, row, unread)]

    socket.refresh_from_db()
    row.refresh_from_db()
    unread.refresh_from_db()
    assert done == [True, False, True]
    assert (row.state, row.device, socket.facts["mains"]) == ("understood", socket, "lost")
    assert (unread.state, unread.reason, unread.device) == ("unmatched", "unrecognised", socket)


def test_a_strangers_text_can_answer_the_command_that_waits(socket: Device, alice: User) -> None:
    command = sent(socket)
    row = came(socket, "OUT1 OFF 1 MIN", number="+79161111111")

    assign_device(row, device=socket, by=alice, now=after(minutes=2))

    row.refresh_from_db()
    assert (row.state, row.command, state_of(command)) == ("matched", command, "replied")


@pytest.mark.parametrize(
    ("text", "next_time"),
    [
        ("T=24C; 120.50 RUB", "T=-7C; 9.5 RUB"), ("from +79161234567: ok 5", "from +79167654321: ok 12"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13", "9 9 9 9 9 9 9 9 9 10 11 12 13"),
    ],
)  # fmt: skip
def test_the_offered_pattern_reads_other_numbers_and_is_never_too_costly(text: str, next_time: str) -> None:
    rule = ReplyRule.from_dict({"name": "x", "pattern": pattern_for(text), "verdict": "info"})

    assert rule.match(text)
    assert rule.match(next_time)


@pytest.mark.parametrize(
    "text", [REAL, "OK", "Status: ON\nTemp: 21", "a+b (c) [d] 1 2 3 4 5 6 7 8 9 10", " x \r\n y "]
)
def test_the_offered_pattern_matches_the_text_that_it_was_made_from(text: str) -> None:
    tidy = "\n".join(line.strip() for line in text.replace("\r\n", "\n").strip().split("\n"))

    assert re.fullmatch(pattern_for(text), tidy)


# --- the console -----------------------------------------------------------------------------------

Pages = Callable[[User], Client]


def test_assign_and_teach_on_the_page_of_the_sms(
    socket: Device, alice: User, bob: User, browser_of: Pages
) -> None:
    command = sent(socket, "status")
    sent(socket, "status")
    ambiguous = came(socket, "OUT1 ON; T=21C; MAINS OK; GSM 21")
    odd = came(socket, REAL, minutes=20)
    browser = browser_of(alice)
    assign_url = reverse("admin:sms_inboundsms_assign", args=[ambiguous.pk])
    teach_url = reverse("admin:sms_inboundsms_teach", args=[odd.pk])

    assert browser_of(bob).get(assign_url).status_code == 403
    assert str(command.pk) in browser.get(assign_url).content.decode()
    assert browser.post(assign_url, {"command": str(command.pk)}).status_code == 302
    assert "Реле" in browser.get(teach_url).content.decode()
    bad = browser.post(teach_url, {"name": "x", "pattern": "(", "verdict": "info"})
    good = browser.post(
        teach_url,
        {"name": "relay", "pattern": pattern_for(REAL), "verdict": "info", "facts": "temperature_c = {n3}"},
    )

    assert (bad.status_code, good.status_code) == (400, 302), good.content.decode()
    assert state_of(command) == "replied"
    assert OwnReplyRule.objects.get().rule["facts"] == {"temperature_c": {"group": "n3", "type": "number"}}
    odd.refresh_from_db()
    assert odd.state == "understood"
    socket.refresh_from_db()
    assert socket.facts["temperature_c"] == 21


def test_the_list_of_what_waits_for_a_person_holds_no_notice_that_was_read(
    socket: Device, alice: User, browser_of: Pages
) -> None:
    read, odd = came(socket, "MAINS LOST"), came(socket, REAL, minutes=2)

    page = browser_of(alice).get(reverse("admin:sms_inboundsms_changelist"), {"trouble": "waits"})

    assert (read.state, odd.state) == ("understood", "unmatched")
    assert list(page.context["cl"].queryset) == [odd]


def test_the_page_of_a_strangers_text_asks_whose_it_is(
    socket: Device, south: Platform, alice: User, browser_of: Pages
) -> None:
    row = came(socket, "MAINS LOST", number="+79161111111")
    foreign = make_socket(south)
    url = reverse("admin:sms_inboundsms_assign_device", args=[row.pk])
    browser = browser_of(alice)

    page = browser.get(url).content.decode()
    refused = browser.post(url, {"device": foreign.pk})
    taken = browser.post(url, {"device": socket.pk})

    assert ("MAINS LOST" in page, foreign.name in page, refused.status_code) == (True, False, 400)
    row.refresh_from_db()
    assert (taken.status_code, row.state) == (302, "understood")
