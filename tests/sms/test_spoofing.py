"""Spoofed, early, late, double and foreign replies: only the right one moves anything, in whatever order they come."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.models import Command, Device
from devices.services import record_delivery, record_sent
from platforms.models import Platform, User
from sms.models import Gateway, InboundSms
from sms.ports import InboundText
from sms.services.inbound import receive
from tests.devices.commands import CONFIRMED, after, ask, pass_barrier, state_of
from tests.factories import make_gateway, make_platform, make_socket

_refs = itertools.count(1)


def texted(gateway: Gateway, sender: str, text: str = CONFIRMED, *, seconds: float = 8) -> InboundSms:
    message = InboundText(ref=f"r{next(_refs)}", sender=sender, body=text)
    return receive(gateway=gateway, text=message, now=after(seconds=seconds))[0]


@pytest.fixture
def gateway(north: Platform) -> Gateway:
    return make_gateway(north)


@pytest.fixture
def command(north: Platform) -> Command:
    row = ask(make_socket(north, msisdn="+79001234567"))
    pass_barrier(row)
    record_sent(row.pk, at=after(seconds=2))
    return row


@pytest.mark.parametrize("sender", ["+79001234567", "89001234567", "79001234567", "8 (900) 123-45-67"])
def test_the_sockets_own_number_counts_in_every_spelling(
    command: Command, gateway: Gateway, sender: str
) -> None:
    assert texted(gateway, sender).state == "matched"
    assert state_of(command) == "replied"


SPOOFS = [
    "+79001234568", "+7900123456", "REMOSA", "79001234567A", "+79001234567#", "", "+1 900 123 4567", "+79001234567;x",
    "９０００", "\u202e+79001234567", "+79001234567\n+79001234567",
]  # fmt: skip


@pytest.mark.parametrize("sender", SPOOFS)
def test_any_other_sender_moves_nothing_and_lies_in_the_inbox(
    command: Command, gateway: Gateway, sender: str
) -> None:
    row = texted(gateway, sender)

    assert (row.state, row.device, row.command) == ("unmatched", None, None)
    assert state_of(command) == "sent"


def test_another_clients_gateway_cannot_speak_for_the_socket(command: Command, south: Platform) -> None:
    row = texted(make_gateway(south), "+79001234567")

    assert (row.state, row.platform_id) == ("unmatched", south.pk)
    assert state_of(command) == "sent"


def test_a_socket_of_another_client_with_a_number_that_was_ours_answers_nothing(
    command: Command, gateway: Gateway, south: Platform
) -> None:
    """The number went to another client: its late texts are that client's, and move nothing of ours."""
    Device.objects.filter(pk=command.device_id).update(is_active=False)
    theirs = make_socket(south, msisdn="+79001234567")

    row = texted(make_gateway(None), "+79001234567")

    assert (row.device, row.platform_id, row.state) == (theirs, south.pk, "unmatched")
    assert state_of(command) == "sent"


# --- every order -------------------------------------------------------------------------------------

Step = Callable[[Command, Gateway], Any]
STEPS: dict[str, Step] = {
    "accepted": lambda command, _gateway: record_sent(command.pk, at=after(seconds=2)),
    "delivered": lambda command, _gateway: record_delivery(command.pk, delivered=True, at=after(seconds=4)),
    "reply": lambda _command, gateway: texted(gateway, "+79001234567", seconds=7),
    "spoof": lambda _command, gateway: texted(gateway, "+79001234568", "ERR NOT ADMIN", seconds=6),
    "late reply of another command": lambda _command, gateway: texted(
        gateway, "+79001234567", "OUT1 ON", seconds=6
    ),
}


@pytest.mark.databases
@pytest.mark.timeout(600)
def test_all_orders_of_five_messages_end_in_one_truth(
    db: None, figure: Callable[[str, str], None], is_soak: bool
) -> None:
    """All 120 in `make soak`; in every run a sample that begins and ends with each message."""
    orders = list(itertools.permutations(STEPS))[:: 1 if is_soak else 5]
    ends = {}
    for order in orders:
        platform = make_platform()
        command = ask(make_socket(platform, msisdn="+79001234567"))
        gateway = make_gateway(platform)
        pass_barrier(command)
        for name in order:
            STEPS[name](command, gateway)
        row = Command.objects.get(pk=command.pk)
        ends[order] = (
            row.state,
            row.reply_text,
            row.reply_verdict,
            row.sent_at,
            row.replied_at,
            row.failure_reason,
        )
        Device.objects.filter(pk=command.device_id).update(is_active=False)

    assert set(ends.values()) == {("replied", CONFIRMED, "confirmed", after(seconds=2), after(seconds=7), "")}
    assert {order[0] for order in orders} == {order[-1] for order in orders} == set(STEPS)
    figure("replies", f"{len(ends)} orders of {len(STEPS)} messages, 1 truth")


# --- numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+79001234567", "89001234567", "8 900 123-45-67"])
def test_a_number_in_use_elsewhere_is_refused_without_saying_whose(
    north: Platform, south: Platform, alice: User, number: str
) -> None:
    taken = make_socket(south, name="their lobby", msisdn="+79001234567")
    User.objects.filter(pk=alice.pk).update(language="en")
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=alice.pk))

    body = {"platform": north.pk, "kind": "socket", "model": "D210", "name": "ours", "msisdn": number}
    answer = client.post("/api/v1/devices/", body, headers={"Accept-Language": "en"})

    assert answer.status_code == 400
    said = answer.content.decode()
    assert "already in use" in said
    assert not any(word in said for word in ("their lobby", "south", str(south.pk) + ",", str(taken.uid)))
