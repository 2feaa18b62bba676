"""Facts are shown as words with their age; an output that is dark is told of where people look."""

from typing import Any

import pytest

from devices.facts import fact_lines
from devices.models import Restoration
from devices.sentences import dark_sentence
from devices.services import power_cycle, record_reply, record_sent, sweep_commands
from devices.states import RestorationState
from platforms.models import Platform, User
from remosa.console.timeline import dark_outputs, device_page
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.devices.commands import after, ask, pass_barrier
from tests.factories import NOW, make_device, make_link, make_socket

FACTS = {
    "out1": "on", "mains": "lost", "gsm_csq": 7, "temperature_c": 21.0, "heard_at": NOW.isoformat(), "odd": "x",
    "facts_at": {"out1": NOW.isoformat(), "mains": after(minutes=1).isoformat()},
}  # fmt: skip


def test_facts_are_words_with_their_age() -> None:
    lines = {line.label: (line.value, line.tone, line.at) for line in fact_lines(FACTS, lines=2)}

    assert lines == {
        "output 1": ("is on", "green", NOW), "output 2": ("not known", "grey", None),
        "mains": ("mains lost", "red", after(minutes=1)), "GSM signal": ("7 of 31", "amber", None),
        "temperature": ("21 °C", "", None), "odd": ("x", "", None),
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "", 0, -1, True, 1e300, "текст", [1], {"a": 1}])
@pytest.mark.parametrize("name", ["out1", "mains", "gsm_csq", "temperature_c", "schedule", "x"])
def test_whatever_a_rule_has_made_of_a_text_is_shown(name: str, value: Any) -> None:
    assert all(line.value for line in fact_lines({name: value or "-"}, lines=1))


@pytest.mark.parametrize("way", Restoration.Way.values)
@pytest.mark.parametrize("state", ["arming", "dark", "restoring", "broken"])
def test_every_dark_output_has_its_sentence(way: str, state: str) -> None:
    told = dark_sentence(way=way, state=state, line=2, minutes=3)

    assert ("output 2" in told) == (state != "arming")


@pytest.fixture
def dark(north: Platform) -> Restoration:
    """The relay of an iSocket, switched off by REMOSA; one player on it."""
    socket, player = make_socket(north, model="ISOCKET-706"), make_device(north, name="hall")
    make_link(player, socket, 2)
    cycle = power_cycle(
        device=socket, line=2, minutes=2, source="job", idem_key="k", cause_id=socket.uid, now=NOW
    )
    command = cycle.restoration.commands.get()
    pass_barrier(command, at=after(seconds=5))
    record_sent(command.pk, at=after(seconds=6))
    record_reply(socket, text="OUT2 OFF", at=after(seconds=20))
    return cycle.restoration


def test_a_dark_output_is_told_of_at_home_at_its_socket_and_at_its_player(
    dark: Restoration, alice: User, browser_of: Any
) -> None:
    player = dark.device.feeds.get().device
    home = dark_outputs(alice, limit=5)
    pages = [device_page(row, alice, now=after(minutes=1)).dark for row in (dark.device, player)]

    assert [(row.tone, row.players, row.hidden) for row in home] == [("amber", [player], 0)]
    assert [len(found) for found in pages] == [1, 1]
    page = browser_of(alice).get("/admin/").content.decode()
    assert (dark.device.name in page, f"/admin/devices/restoration/{dark.pk}/change/" in page) == (True, True)
    for row in (dark.device, player):
        text = browser_of(alice).get(f"/admin/devices/device/{row.pk}/change/").content.decode()
        assert f"/admin/devices/restoration/{dark.pk}/change/" in text


def test_it_is_told_of_until_it_is_on_and_to_nobody_else(
    dark: Restoration, alice: User, charlie: User
) -> None:
    foreign = dark_outputs(charlie, limit=5)
    for minute in range(3, 25):
        sweep_commands(now=after(minutes=minute))
    broken = dark_outputs(alice, limit=5)
    Restoration.objects.update(state=RestorationState.KEPT)

    assert (foreign, [row.tone for row in broken], dark_outputs(alice, limit=5)) == ([], ["red"], [])


def test_what_a_socket_says_unasked_is_a_sentence_of_its_timeline(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    ask(socket, "status")
    record_reply(socket, text="MAINS LOST", at=after(minutes=1))

    told = [moment.text for moment in device_page(socket, alice, now=after(minutes=2)).story]

    assert any(text.startswith("The mains are lost at the socket") for text in told)
