"""Switching off is a promise to switch on again: armed first where the model can, kept with proof, or loud."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from devices.errors import CommandForbidden, CommandInvalid, IdempotencyConflict
from devices.models import Command, Device, DeviceEvent, Restoration
from devices.restoring import Act, Asked, Pace, Situation, Way, next_step
from devices.services import (
    power_cycle,
    record_observations,
    record_reply,
    record_sent,
    remove_device,
    see_to,
    sweep_commands,
)
from devices.services.observations import Observed
from devices.services.restorations import Cycle, cancel
from devices.states import CommandState
from platforms import quotas, switches
from platforms.models import LedgerEntry, Platform, Usage, User
from sms.models import SmsMessage
from sms.outbox import Pump
from tests.devices.commands import after, ask, pass_barrier
from tests.factories import (
    NOW,
    make_device,
    make_gateway,
    make_link,
    make_platform,
    make_socket,
    make_user,
)  # fmt: skip

S = CommandState


def reboot(socket: Device, line: int = 1, minutes: int = 2, **over: Any) -> Cycle:
    wanted: dict[str, Any] = {
        "source": "job", "idem_key": f"k:{uuid.uuid4()}", "cause_id": uuid.uuid4(), "now": NOW,
    }  # fmt: skip
    return power_cycle(device=socket, line=line, minutes=minutes, **{**wanted, **over})


def bodies(socket: Device) -> list[str]:
    return list(
        Command.objects.filter(device=socket).order_by("created_at", "pk").values_list("body", flat=True)
    )


def last(socket: Device) -> Command:
    return Command.objects.filter(device=socket).order_by("-created_at").first()


def answer(socket: Device, text: str, *, at: Any) -> None:
    """The newest command left a moment ago, and the socket answers it."""
    command = last(socket)
    pass_barrier(command, at=at - timedelta(seconds=10))
    record_sent(command.pk, at=at - timedelta(seconds=8))
    assert record_reply(Device.objects.get(pk=socket.pk), text=text, at=at).match == "matched"


def kinds(socket: Device) -> list[str]:
    return list(DeviceEvent.objects.filter(device=socket).order_by("at", "pk").values_list("kind", flat=True))


def story(cycle: Cycle) -> Restoration:
    return Restoration.objects.get(pk=cycle.restoration.pk)


# --- the way of each model ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "line", "way", "first"),
    [
        ("D210", 1, "cycle", "#12#0#2#1#"),
        ("ISOCKET-706", 1, "cycle", "OFF2"),
        ("D410", 2, "armed", "#11#2#1#4#"),
        ("D410", 0, "armed", "#11#0#1#4#"),
        ("T40-T20", 1, "armed", "#12#0#4#1#"),
        ("T80", 1, "armed", "#12#0#4#1#"),
        ("ISOCKET-706", 2, "pair", "OFFM"),
    ],
)
def test_a_reboot_takes_the_safest_way_of_its_model(
    north: Platform, model: str, line: int, way: str, first: str
) -> None:
    socket = make_socket(north, model=model)

    cycle = reboot(socket, line)

    assert bodies(socket) == [first]
    assert (cycle.restoration.way if cycle.restoration else "cycle") == way


def test_a_model_that_can_only_delay_is_not_rebooted(north: Platform) -> None:
    with pytest.raises(CommandInvalid):
        reboot(make_socket(north, model="GSM-SOCKET"))


@pytest.mark.parametrize("minutes", [0, 61, -1, True, "2"])
def test_an_output_is_not_darkened_for_long(north: Platform, minutes: Any) -> None:
    with pytest.raises(CommandInvalid):
        reboot(make_socket(north, model="D410"), minutes=minutes)


def test_the_same_key_is_the_same_reboot(north: Platform) -> None:
    socket = make_socket(north, model="D410")

    first, again = reboot(socket, idem_key="one"), reboot(socket, idem_key="one")

    assert first.restoration == again.restoration
    assert len(bodies(socket)) == 1
    with pytest.raises(IdempotencyConflict):
        reboot(socket, line=2, idem_key="one")


def test_who_may_not_switch_off_may_not_reboot_by_off_and_on(north: Platform) -> None:
    person = make_user("u", platform=north, role="user")
    socket = make_socket(north, model="D410", owner=person)

    with pytest.raises(CommandForbidden):
        reboot(socket, actor=person, source="person")

    assert not Restoration.objects.exists()


# --- armed -----------------------------------------------------------------------------------------


def test_armed_confirmed_then_off_then_asked_whether_it_is_on(north: Platform) -> None:
    socket = make_socket(north, model="D410")
    cycle = reboot(socket)
    answer(socket, "OK", at=after(seconds=20))

    sweep_commands(now=after(seconds=25))
    assert bodies(socket) == ["#11#1#1#4#", "#02#1#"]
    answer(socket, "OUT1 OFF", at=after(seconds=45))
    sweep_commands(now=after(minutes=5))
    assert len(bodies(socket)) == 2, "its own delay switches it on"
    sweep_commands(now=after(minutes=8))
    assert bodies(socket)[2:] == ["#07#"]
    answer(socket, "OUT1 ON; OUT2 ON; T=23C; MAINS OK; GSM 21", at=after(minutes=8, seconds=20))
    sweep_commands(now=after(minutes=9))

    assert story(cycle).state == "kept"
    assert kinds(socket) == []


def test_nothing_is_switched_off_before_the_way_back_is_confirmed(north: Platform) -> None:
    socket = make_socket(north, model="D410")
    cycle = reboot(socket)
    pass_barrier(last(socket))
    record_sent(last(socket).pk, at=after(seconds=1))

    for minute in range(1, 20):
        sweep_commands(now=after(minutes=minute))

    assert bodies(socket) == ["#11#1#1#4#"] * 2, "asked once more, as it may be repeated"
    assert (story(cycle).state, story(cycle).outcome) == ("cancelled", "not_armed")
    assert kinds(socket) == ["not_armed"]


def test_an_answer_that_nobody_can_read_arms_nothing(north: Platform) -> None:
    socket = make_socket(north, model="D410")
    cycle = reboot(socket)
    answer(socket, "Задержка принята", at=after(seconds=20))

    sweep_commands(now=after(seconds=30))

    assert story(cycle).state == "cancelled"
    assert bodies(socket) == ["#11#1#1#4#"]


def test_a_delay_that_was_confirmed_too_late_is_armed_anew(north: Platform) -> None:
    socket = make_socket(north, model="D410")
    reboot(socket)
    pass_barrier(last(socket))
    record_sent(last(socket).pk, at=after(seconds=1))
    record_reply(socket, text="OK", at=after(seconds=150))

    sweep_commands(now=after(seconds=151))

    assert bodies(socket) == ["#11#1#1#4#"] * 2


# --- on again --------------------------------------------------------------------------------------


def go_dark(socket: Device) -> Cycle:
    """OFF confirmed at NOW + 20 s of the relay of an iSocket, which has no delay."""
    cycle = reboot(socket, 2, minutes=2)
    answer(socket, "OUT2 OFF", at=after(seconds=20))
    return cycle


def test_a_lost_on_is_repeated_by_another_gateway_then_people_are_called_and_it_goes_on(
    north: Platform,
) -> None:
    gateways = [make_gateway(north, sender_msisdn="+79000000100", priority=n) for n in (1, 2)]
    socket = make_socket(north, model="ISOCKET-706")
    cycle = go_dark(socket)
    used = []

    for minute in range(2, 40):
        sweep_commands(now=after(minutes=minute))
        message = SmsMessage.objects.filter(command__device=socket, state="queued").first()
        if message is not None:
            carry(message, at=after(minutes=minute))
            used.append(SmsMessage.objects.get(pk=message.pk).gateway)

    assert bodies(socket)[:4] == ["OFFM", "ONM", "ONM", "ONM"]
    assert used[1:4] == [gateways[0], gateways[1], gateways[0]], used
    assert kinds(socket) == ["not_on_again"], "once, and loud"
    assert DeviceEvent.objects.get().severity == "critical"
    assert story(cycle).state == "broken"
    assert len(bodies(socket)) >= 5, "REMOSA goes on trying"


def carry(message: SmsMessage, *, at: Any) -> None:
    """Through the real outbox, as of ``at``."""
    Pump("test", now=lambda: at).run_one(message.pk)


def test_what_people_were_called_for_ends_with_word_that_it_is_on_again(north: Platform) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    player = make_device(north)
    make_link(player, socket, 2)
    cycle = go_dark(socket)
    record_observations([Observed(player.pk, "offline", after(minutes=2))], source="cms")
    for minute in range(3, 30):
        sweep_commands(now=after(minutes=minute))
    record_observations([Observed(player.pk, "online", after(minutes=31))], source="cms")

    for minute in range(32, 180, 5):
        sweep_commands(now=after(minutes=minute))

    assert story(cycle).state == "kept"
    assert kinds(socket) == ["not_on_again", "on_again"]


def test_a_player_that_came_back_is_proof_and_costs_no_sms(north: Platform) -> None:
    socket = make_socket(north, model="D410")
    player = make_device(north)
    make_link(player, socket, 1)
    cycle = reboot(socket)
    answer(socket, "OK", at=after(seconds=20))
    sweep_commands(now=after(seconds=25))
    answer(socket, "OUT1 OFF", at=after(seconds=45))
    record_observations([Observed(player.pk, "offline", after(minutes=2))], source="cms")
    record_observations([Observed(player.pk, "online", after(minutes=7))], source="cms")

    sweep_commands(now=after(minutes=8))

    assert story(cycle).state == "kept"
    assert len(bodies(socket)) == 2
    facts = Device.objects.get(pk=socket.pk).facts
    assert (facts["out1"], facts["facts_at"]["out1"]) == ("on", after(minutes=8).isoformat())


def test_a_late_copy_of_the_off_is_noticed_and_undone(north: Platform) -> None:
    """The ON was confirmed, then the network delivered the OFF once more."""
    socket = make_socket(north, model="ISOCKET-706")
    cycle = go_dark(socket)
    sweep_commands(now=after(minutes=3))
    answer(socket, "OUT2 ON", at=after(minutes=3, seconds=20))
    record_reply(Device.objects.get(pk=socket.pk), text="OUT2 OFF", at=after(minutes=4))

    for minute in range(5, 9):
        sweep_commands(now=after(minutes=minute))

    assert bodies(socket) == ["OFFM", "ONM", "ONM"]
    assert story(cycle).state != "kept"


def test_an_off_that_never_left_leaves_nothing_to_restore(north: Platform) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    cycle = reboot(socket, 2)
    Command.objects.update(state=S.FAILED)

    see_to(cycle.restoration.pk, now=after(minutes=1))

    assert (story(cycle).state, story(cycle).outcome) == ("cancelled", "off_not_sent")


def test_the_on_is_not_stopped_by_the_switch_that_stops_automation(north: Platform, root: User) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    go_dark(socket)
    switches.engage(
        scope="platform", platform=north, target_id=None, reason="stop", by=root, now=after(minutes=1)
    )
    sweep_commands(now=after(minutes=3))

    pass_barrier(last(socket), at=after(minutes=3))
    assert last(socket).body == "ONM"


@pytest.mark.databases
def test_an_owed_on_leaves_beyond_the_limit_and_is_marked(north: Platform) -> None:
    make_gateway(north, sender_msisdn="+79000000100")
    socket = make_socket(north, model="ISOCKET-706")
    go_dark(socket)
    use_up_the_limit(north)

    sweep_commands(now=after(minutes=3))
    carry(SmsMessage.objects.get(command=last(socket)), at=after(minutes=3))

    assert (last(socket).body, last(socket).state) == ("ONM", "sent")
    assert list(LedgerEntry.objects.filter(is_beyond_limit=True).values_list("units", flat=True)) == [1]
    usage = Usage.objects.get(platform=north, kind=quotas.SMS)
    assert (usage.used + usage.reserved, quotas.remaining(north, quotas.SMS, at=NOW)) == (
        Platform.objects.get(pk=north.pk).sms_limit + 1,
        0,
    )


@pytest.mark.parametrize("template", ["relay_off", "relay_on"])
def test_what_a_person_asks_for_keeps_within_the_limit(north: Platform, template: str) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    use_up_the_limit(north)

    command = ask(socket, template)

    assert (command.state, command.failure_reason) == ("blocked", "quota")


def test_a_reboot_beyond_the_limit_does_not_begin(north: Platform) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    use_up_the_limit(north)
    cycle = reboot(socket, 2)

    for minute in range(1, 20):
        sweep_commands(now=after(minutes=minute))

    assert story(cycle).state == "cancelled"
    assert [command.body for command in Command.objects.all()] == ["OFFM"], "blocked, and nothing to restore"


@pytest.mark.databases
def test_an_owed_on_leaves_though_the_platform_was_closed(north: Platform) -> None:
    make_gateway(north, sender_msisdn="+79000000100")
    socket = make_socket(north, model="ISOCKET-706")
    cycle = go_dark(socket)
    Platform.objects.filter(pk=north.pk).update(is_active=False)

    sweep_commands(now=after(minutes=8))
    carry(SmsMessage.objects.get(command=last(socket)), at=after(minutes=8))
    record_reply(Device.objects.get(pk=socket.pk), text="OUT2 ON", at=after(minutes=8, seconds=30))
    sweep_commands(now=after(minutes=9))

    assert bodies(socket) == ["OFFM", "ONM"]
    assert story(cycle).state == "kept"


def test_a_closed_platform_switches_nothing_off(north: Platform) -> None:
    make_gateway(north, sender_msisdn="+79000000100")
    socket = make_socket(north, model="ISOCKET-706")
    cycle = reboot(socket, 2)
    Platform.objects.filter(pk=north.pk).update(is_active=False)

    carry(SmsMessage.objects.get(), at=after(seconds=5))
    for minute in range(1, 20):
        sweep_commands(now=after(minutes=minute))

    assert (last(socket).state, last(socket).failure_reason) == ("blocked", "platform_inactive")
    assert (bodies(socket), story(cycle).state) == (["OFFM"], "cancelled")


@pytest.mark.databases
def test_nothing_is_sent_to_a_socket_that_is_another_clients_by_now(north: Platform, south: Platform) -> None:
    make_gateway(None, sender_msisdn="+79000000100")
    socket = make_socket(north, model="ISOCKET-706")
    cycle = go_dark(socket)
    sweep_commands(now=after(minutes=3))
    Device.objects.filter(pk=socket.pk).update(platform=south)

    carry(SmsMessage.objects.get(command=last(socket)), at=after(minutes=3))
    for minute in range(4, 20):
        sweep_commands(now=after(minutes=minute))

    assert (last(socket).body, last(socket).state, last(socket).failure_reason) == (
        "ONM",
        "blocked",
        "device_moved",
    )
    assert (story(cycle).state, story(cycle).outcome) == ("cancelled", "device_moved")
    assert kinds(socket) == [], "its new platform hears nothing of it"


def test_people_are_called_when_a_socket_goes_out_of_service_while_it_is_dark(north: Platform) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    cycle = go_dark(socket)
    remove_device(socket, by=None)
    make_socket(make_platform(), msisdn=socket.msisdn)

    sweep_commands(now=after(minutes=3))

    assert (story(cycle).state, kinds(socket)) == ("cancelled", ["removed_dark"])
    assert DeviceEvent.objects.get().severity == "critical"


def use_up_the_limit(platform: Platform) -> None:
    left = quotas.remaining(platform, quotas.SMS, at=NOW)
    quotas.spend(platform=platform, kind=quotas.SMS, units=left, at=NOW)


def test_nobody_darkens_an_output_that_is_just_being_restored(north: Platform) -> None:
    socket = make_socket(north, model="ISOCKET-706")
    go_dark(socket)

    with pytest.raises(CommandInvalid, match="being switched on again"):
        ask(socket, "relay_off", now=after(minutes=1))

    assert ask(socket, "power_cycle", now=after(minutes=1)).state == "queued", "another output"
    assert ask(socket, "relay_on", now=after(minutes=1)).state == "requested", "it waits for its turn"


# --- a lone OFF ------------------------------------------------------------------------------------


def switch_off(socket: Device) -> None:
    ask(socket, "power_off")
    answer(socket, "OUT1 OFF", at=after(seconds=20))


def test_a_lone_off_is_watched_and_after_an_hour_people_are_asked(north: Platform) -> None:
    socket = make_socket(north)
    switch_off(socket)

    for minute in range(1, 120):
        sweep_commands(now=after(minutes=minute))

    assert bodies(socket) == ["#02#0#"], "nobody switches on unasked"
    assert kinds(socket) == ["left_dark"]
    assert Restoration.objects.get().state == "broken"


def test_the_watch_ends_when_a_person_has_switched_on(north: Platform) -> None:
    socket = make_socket(north)
    switch_off(socket)
    ask(socket, "power_on", now=after(minutes=10))
    answer(socket, "OUT1 ON", at=after(minutes=10, seconds=20))

    for minute in range(11, 120):
        sweep_commands(now=after(minutes=minute))

    assert Restoration.objects.get().state == "kept"
    assert kinds(socket) == []


def test_a_person_may_leave_it_off(north: Platform, alice: User) -> None:
    socket = make_socket(north)
    switch_off(socket)

    assert cancel(Restoration.objects.get(), why="left_off", by=alice, now=after(minutes=5)) is True
    for minute in range(6, 120, 10):
        sweep_commands(now=after(minutes=minute))

    assert kinds(socket) == ["left_off"]


def test_an_off_that_did_not_leave_is_not_watched(north: Platform) -> None:
    ask(make_socket(north), "power_off")

    assert not Restoration.objects.exists()


# --- dark, and nobody asked for it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"), [("OUT1 OFF", ["off_unasked"]), ("OUT1 ON", []), ("OUT1 OFF 5 MIN", [])]
)
def test_an_output_that_is_off_without_reason_is_told_of_once(
    north: Platform, text: str, told: list[str]
) -> None:
    socket = make_socket(north)

    for second in (1, 2, 3):
        record_reply(Device.objects.get(pk=socket.pk), text=text, at=after(seconds=second))

    assert kinds(socket) == told


def test_an_off_that_was_asked_for_is_not_news(north: Platform) -> None:
    socket = make_socket(north)

    switch_off(socket)

    assert kinds(socket) == []


# --- the decision itself ----------------------------------------------------------------------------

PACE = Pace(timedelta(minutes=1), timedelta(minutes=6), timedelta(minutes=3), timedelta(hours=1))


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize("off", [S.SENT, S.DELIVERED, S.REPLIED, S.UNVERIFIED, S.UNKNOWN, S.NEEDS_OPERATOR])
def test_whatever_may_have_gone_dark_is_never_dropped_without_proof(way: Way, off: str) -> None:
    said = Asked(state=off, created_at=NOW, sent_at=NOW)
    arm = Asked(state=S.REPLIED, created_at=NOW, sent_at=NOW, replied_at=NOW, confirmed=True)

    for minute in range(0, 3000, 7):
        for told in (False, True):
            for attempts in (0, 1, 3, 20):
                situation = Situation(
                    way=way, created_at=NOW, minutes=1, off=said, arm=arm, told=told, attempts=attempts,
                    on=Asked(S.UNVERIFIED, NOW, NOW) if attempts else None,
                )  # fmt: skip
                step = next_step(situation, pace=PACE, now=after(minutes=minute))
                assert step.act not in (Act.KEEP, Act.CANCEL)
                if step.act is Act.WAIT:
                    assert step.at is not None
                    assert step.at > after(minutes=minute)
