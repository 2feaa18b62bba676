"""Asking something of a device: once, by whom it may be asked, one at a time, and refused as late as possible."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from devices.errors import CommandForbidden, CommandInvalid, IdempotencyConflict
from devices.models import Command, CommandTemplate, Device, DeviceShare
from devices.services import (
    cancel_command,
    close_unknown,
    dispatch_waiting,
    may_send,
    preview,
    record_failed,
    record_refused_at_barrier,
    record_reply,
    record_sent,
    record_unknown,
    refusal_at_barrier,
    remove_device,
    request_command,
    sweep_commands,
)
from devices.services.commands import state_after_refusal
from devices.signals import command_moved
from devices.states import CommandState
from platforms.models import AuditEvent, Platform, QuotaReservation, Usage, User
from platforms.roles import Role
from platforms.services import set_role
from sms.models import SmsMessage
from sms.services import messages
from sms.states import SMS, SmsState
from tests.devices.commands import CONFIRMED, after, ask, pass_barrier, sms_of, state_of, steps_of
from tests.factories import NOW, make_device, make_gateway, make_platform, make_socket, make_user
from tests.together import together

S = CommandState


@pytest.fixture
def socket(north: Platform) -> Device:
    return make_socket(north)


def request(socket: Device, key: str, **over: Any) -> Command:
    return ask(socket, idem_key=key, **over)


# --- once ----------------------------------------------------------------------------------------


def test_a_request_is_one_row_one_sms_one_audit_line(socket: Device) -> None:
    command = request(socket, "k")

    assert (command.state, command.body) == ("queued", "#12#0#1#1#")
    assert sms_of(command).to == socket.msisdn
    assert AuditEvent.objects.filter(verb="command.requested", cause_id=command.cause_id).count() == 1
    assert steps_of(command) == [("requested", "queued")]


def test_the_same_key_again_is_the_same_command(socket: Device) -> None:
    first = request(socket, "k")

    again = request(socket, "k", now=after(minutes=3))

    assert again == first
    assert Command.objects.count() == SmsMessage.objects.count() == 1
    assert again.created_at == NOW


@pytest.mark.parametrize("change", ["params", "template", "device", "target"])
def test_the_same_key_with_another_request_is_a_conflict(
    north: Platform, socket: Device, change: str
) -> None:
    request(socket, "k")
    other: dict[str, Any] = {
        "params": {"params": {"minutes": 2}}, "template": {"template": "power_on"},
        "device": {"socket": make_socket(north)}, "target": {"target": make_device(north)},
    }[change]  # fmt: skip

    with pytest.raises(IdempotencyConflict):
        request(**{"socket": socket, "key": "k", **other})

    assert Command.objects.count() == 1


def test_params_that_render_alike_are_alike(socket: Device) -> None:
    assert request(socket, "k", params={"minutes": "1"}) == request(socket, "k", params={"minutes": 1})


def test_one_key_on_two_platforms_are_two_commands(socket: Device, south: Platform) -> None:
    assert request(socket, "k") != request(make_socket(south), "k")


@pytest.mark.databases
@pytest.mark.parametrize("key", ["", "k" * 201, "\x00" * 300])
def test_a_key_that_cannot_be_stored_gets_a_clear_error(socket: Device, key: str) -> None:
    with pytest.raises(CommandInvalid) as refused:
        request(socket, key)

    assert "idem_key" in refused.value.fields


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_eight_threads_with_one_key_make_one_command_and_one_sms() -> None:
    platform = make_platform()
    socket = make_socket(platform)

    results = together(8, lambda _number: [request(socket, "k").pk for _try in range(5)])

    assert len({key for keys in results for key in keys}) == 1, results
    assert Command.objects.count() == SmsMessage.objects.count() == 1
    assert QuotaReservation.objects.filter(kind="sms").count() == 1


# --- one at a time -------------------------------------------------------------------------------


def test_a_second_command_waits_until_the_lane_is_free(socket: Device) -> None:
    first, second = request(socket, "1"), request(socket, "2")
    waiting = (state_of(second), sms_of(second))
    pass_barrier(first)
    record_sent(first.pk, at=after(seconds=2))
    still = state_of(second)

    record_reply(socket, text=CONFIRMED, at=after(seconds=9))

    assert waiting == ("requested", None)
    assert still == "requested"
    assert (state_of(first), state_of(second)) == ("replied", "queued")
    assert sms_of(second) is not None


@pytest.mark.parametrize("end", ["failed", "cancelled", "refused at the barrier"])
def test_whatever_ends_a_command_frees_the_lane(socket: Device, alice: User, end: str) -> None:
    first, second = request(socket, "1"), request(socket, "2")

    if end == "failed":
        record_failed(first.pk, at=NOW, reason="no_gateway")
    elif end == "cancelled":
        cancel_command(first, by=alice, now=NOW)
    else:
        record_refused_at_barrier(first.pk, at=NOW, reason="kill_switch_global")

    assert state_of(second) == "queued"


def test_the_waiting_go_in_the_order_in_which_they_came(socket: Device) -> None:
    first = request(socket, "0")
    rest = [request(socket, str(number), now=after(seconds=number)) for number in (1, 2, 3)]

    record_failed(first.pk, at=after(seconds=5), reason="x")

    assert [state_of(command) for command in rest] == ["queued", "requested", "requested"]


def test_who_waits_too_long_is_never_sent(socket: Device) -> None:
    first, second = request(socket, "1"), request(socket, "2", ttl=timedelta(minutes=2))

    moved = sweep_commands(now=after(minutes=2))
    record_failed(first.pk, at=after(minutes=3), reason="x")

    assert moved == 1
    assert (state_of(second), sms_of(second)) == ("expired", None)


def test_a_query_does_not_wait_and_keeps_nobody_waiting(socket: Device) -> None:
    query = request(socket, "q", template="status")
    cycle = request(socket, "c")
    second_query = request(socket, "q2", template="status")

    assert [state_of(row) for row in (query, cycle, second_query)] == ["queued"] * 3


def test_the_on_that_undoes_the_command_in_the_lane_does_not_wait(socket: Device) -> None:
    off = request(socket, "off", template="power_off")

    restoring = request(socket, "on", template="power_on", restores=off)
    other_on = request(socket, "on2", template="power_on")

    assert (state_of(restoring), restoring.lane_exempt) == ("queued", True)
    assert (state_of(other_on), other_on.lane_exempt) == ("requested", False)


def test_an_on_that_restores_something_else_waits_like_everybody(north: Platform, socket: Device) -> None:
    old = request(socket, "old", template="power_off")
    record_failed(old.pk, at=NOW, reason="x")
    elsewhere = request(make_socket(north), "elsewhere", template="power_off")
    request(socket, "cycle")

    for number, restored in enumerate([old, elsewhere]):
        assert request(socket, f"on{number}", template="power_on", restores=restored).lane_exempt is False
    assert request(socket, "c2", restores=old).lane_exempt is False, "a cycle restores nothing"


def test_an_unknown_outcome_keeps_the_lane_until_its_quarantine_ends(socket: Device) -> None:
    first, second = request(socket, "1"), request(socket, "2", ttl=timedelta(hours=1))
    pass_barrier(first)
    record_unknown(first.pk, at=NOW, reason="timeout")
    first.refresh_from_db()

    sweep_commands(now=first.quarantine_until - timedelta(seconds=1))
    during = state_of(second)
    sweep_commands(now=first.quarantine_until)

    assert during == "requested"
    assert (state_of(first), state_of(second)) == ("needs_operator", "queued")


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_of_many_commands_at_once_one_is_in_flight() -> None:
    socket = make_socket(make_platform())

    results = together(8, lambda number: request(socket, f"k{number}").state)

    assert sorted(map(str, results)) == ["queued"] + ["requested"] * 7
    assert SmsMessage.objects.count() == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_freed_lane_is_taken_once() -> None:
    socket = make_socket(make_platform())
    first = request(socket, "first")
    for number in range(4):
        request(socket, f"k{number}")
    Command.objects.filter(pk=first.pk).update(state=S.FAILED)

    results = together(6, lambda _number: dispatch_waiting(device_id=socket.pk, now=NOW))

    assert sum(isinstance(result, Command) for result in results) == 1, results
    assert Command.objects.filter(state=S.QUEUED).count() == 1


# --- limits --------------------------------------------------------------------------------------


def test_a_spent_limit_blocks_the_command_and_says_so(north: Platform, socket: Device) -> None:
    Platform.objects.filter(pk=north.pk).update(sms_limit=0)

    command = request(socket, "k")

    assert (command.state, command.failure_reason) == ("blocked", "quota")
    assert sms_of(command) is None
    assert not QuotaReservation.objects.filter(kind="sms").exists()


def test_a_blocked_command_does_not_hold_the_lane(north: Platform, socket: Device) -> None:
    Platform.objects.filter(pk=north.pk).update(sms_limit=0)
    request(socket, "1")
    Platform.objects.filter(pk=north.pk).update(sms_limit=10)

    assert request(socket, "2").state == "queued"


def test_what_is_cancelled_costs_nothing(socket: Device, alice: User) -> None:
    command = request(socket, "k")

    cancel_command(command, by=alice, now=NOW)

    assert Usage.objects.get(kind="sms").reserved == 0


def test_a_socket_without_a_number_cannot_be_asked(north: Platform) -> None:
    command = request(make_socket(north, msisdn=""), "k")

    assert (command.state, command.failure_reason) == ("blocked", "no_number")


# --- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "params", "field"),
    [
        ("power_cycle", {}, "minutes"), ("power_cycle", {"minutes": 0}, "minutes"),
        ("power_cycle", {"minutes": 721}, "minutes"),
        ("power_cycle", {"minutes": "1#08#1234"}, "minutes"), ("power_cycle", {"minutes": "١"}, "minutes"),
        ("power_cycle", {"minutes": 1.5}, "minutes"), ("power_cycle", {"minutes": True}, "minutes"),
        ("power_cycle", {"minutes": 1, "extra": 1}, "extra"), ("power_cycle", {"minutes": "1\r\n"}, "minutes"),
        ("no_such", {}, "template"),
    ],
)  # fmt: skip
def test_bad_requests_name_the_field_and_leave_nothing(
    socket: Device, template: str, params: dict[str, Any], field: str
) -> None:
    with pytest.raises(CommandInvalid) as refused:
        ask(socket, template, params=params)

    assert field in refused.value.fields
    assert not Command.objects.exists()


def test_a_device_without_a_model_or_out_of_service_is_not_asked(north: Platform, socket: Device) -> None:
    remove_device(socket, by=None)

    for device in (make_device(north), Device.objects.get(pk=socket.pk)):
        with pytest.raises(CommandInvalid):
            ask(device)


def test_a_device_of_another_platform_is_no_target(socket: Device, south: Platform) -> None:
    with pytest.raises(CommandInvalid) as refused:
        ask(socket, target=make_device(south))

    assert "target" in refused.value.fields
    assert not Command.objects.exists()


def test_a_preview_shows_text_and_price_and_writes_nothing(north: Platform, socket: Device) -> None:
    make_gateway(north, price="2.50", currency="RUB")

    rendered, quote = preview(device=socket, template_key="power_cycle", params={"minutes": 5})

    assert rendered.body == "#12#0#5#1#"
    assert (quote.segments, str(quote.price), quote.currency) == (1, "2.5000", "RUB")
    assert not Command.objects.exists()


# --- who asks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["status", "power_cycle", "power_off", "list_users", "factory_reset"])
@pytest.mark.parametrize("role", [*Role.values, "superadmin", None])
def test_a_role_sends_what_the_catalogue_allows_it(
    north: Platform, socket: Device, template: str, role: str | None
) -> None:
    rank = ["user", "manager", "admin", "superadmin"]
    person = (
        User.objects.create_superuser("p")
        if role == "superadmin"
        else make_user("p", platform=north, role=role)
    )
    Device.objects.filter(pk=socket.pk).update(owner=person)
    socket.refresh_from_db()
    row = CommandTemplate.objects.get(model=socket.model, key=template)
    allowed = role in rank and rank.index(role) >= rank.index(row.min_role)

    assert may_send(person, socket, row) is allowed
    if not allowed:
        with pytest.raises(CommandForbidden):
            ask(socket, template, source="person", actor=person, params={"password": "1234"})
        assert not Command.objects.exists()


@pytest.mark.parametrize(
    ("level", "allowed"), [("owner", True), ("admin", True), ("viewer", False), (None, False)]
)
def test_the_role_user_sends_only_to_devices_shared_for_it(
    north: Platform, socket: Device, level: str | None, allowed: bool
) -> None:
    person = make_user("p", platform=north, role=Role.USER)
    if level:
        DeviceShare.objects.create(device=socket, user=person, level=level)
    row = CommandTemplate.objects.get(model=socket.model, key="power_cycle")

    assert may_send(person, socket, row) is allowed


def test_a_share_without_membership_sends_nothing(
    south: Platform, north: Platform, charlie: User, socket: Device
) -> None:
    DeviceShare.objects.create(device=socket, user=charlie, level="owner")

    with pytest.raises(CommandForbidden):
        ask(socket, source="person", actor=charlie)


# --- at the barrier ------------------------------------------------------------------------------


def test_the_barrier_lets_a_good_command_pass_and_awaits_its_reply_from_then_on(socket: Device) -> None:
    command = request(socket, "k")
    before = command.reply_until

    refusal = refusal_at_barrier(command.pk, now=after(seconds=5))

    command.refresh_from_db()
    assert (refusal, before) == (None, None)
    assert command.reply_until == after(seconds=305)


def test_guards_are_asked_in_order_and_the_first_objection_counts(socket: Device, settings: Any) -> None:
    asked = []

    def guard(name: str, reason: str | None) -> Any:
        return lambda command, *, now: asked.append(name) or reason

    for name, reason in {"one": None, "two": "two_objects", "three": "three_objects"}.items():
        globals()[f"guard_{name}"] = guard(name, reason)
    settings.COMMAND_GUARDS = [f"{__name__}.guard_{name}" for name in ("one", "two", "three")]

    assert refusal_at_barrier(request(socket, "k").pk, now=NOW) == "two_objects"
    assert asked == ["one", "two"]


def test_only_a_queued_command_passes(socket: Device) -> None:
    command = request(socket, "k")
    for state in S.values:
        Command.objects.filter(pk=command.pk).update(state=state)
        refusal = refusal_at_barrier(command.pk, now=NOW)
        assert refusal == (None if state == "queued" else f"command_{state}")


def test_a_number_that_may_be_anothers_by_now_gets_nothing(socket: Device, south: Platform) -> None:
    command = request(socket, "k")
    remove_device(socket, by=None)
    make_socket(south, msisdn=socket.msisdn)

    assert refusal_at_barrier(command.pk, now=NOW) == "device_removed"


def test_nothing_leaves_for_a_platform_that_was_closed(north: Platform, socket: Device) -> None:
    command = request(socket, "k")
    Platform.objects.filter(pk=north.pk).update(is_active=False)

    assert refusal_at_barrier(command.pk, now=NOW) == "platform_inactive"


@pytest.mark.parametrize("loss", ["role", "share", "owner", "deleted", "membership"])
def test_a_right_lost_while_queued_is_lost(north: Platform, alice: User, loss: str) -> None:
    """A role that may still control something is not enough: it must be able to send this, to this."""
    person = make_user("p", platform=north, role=Role.MANAGER if loss == "role" else Role.USER)
    socket = make_socket(north, owner=person if loss in ("role", "owner") else None)
    share = DeviceShare.objects.create(device=socket, user=person, level="admin") if loss != "owner" else None
    template = "power_off" if loss == "role" else "power_cycle"
    command = ask(socket, template, source="person", actor=person)
    before = refusal_at_barrier(command.pk, now=NOW)

    if loss == "role":
        set_role(user=person, platform=north, role=Role.USER)
    elif loss == "share":
        DeviceShare.objects.filter(pk=share.pk).update(level="viewer")
    elif loss == "owner":
        Device.objects.filter(pk=socket.pk).update(owner=alice)
    elif loss == "deleted":
        person.delete()
    else:
        set_role(user=person, platform=north, role=None)

    assert before is None
    assert refusal_at_barrier(command.pk, now=NOW) == "actor_lost_right"
    assert state_after_refusal("actor_lost_right") == S.CANCELLED


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("condition_cleared", S.SUPERSEDED), ("case_closed", S.SUPERSEDED), ("job_changed", S.SUPERSEDED),
        ("actor_lost_right", S.CANCELLED), ("kill_switch_global", S.BLOCKED), ("device_removed", S.BLOCKED),
        ("upstream_cms_in_doubt", S.BLOCKED),
    ],
)  # fmt: skip
def test_a_refusal_says_where_the_command_goes(reason: str, state: str) -> None:
    assert state_after_refusal(reason) == state


# --- taking back ---------------------------------------------------------------------------------


def test_a_queued_command_is_taken_back_with_its_sms(socket: Device, alice: User) -> None:
    command = request(socket, "k")

    taken = cancel_command(command, by=alice, now=NOW, reason="not needed")

    assert taken is True
    assert (state_of(command), sms_of(command).state) == ("cancelled", "cancelled")
    line = AuditEvent.objects.get(verb="command.cancelled")
    assert (line.actor_label, line.reason) == ("alice", "not needed")


def test_a_command_is_taken_back_once(socket: Device, alice: User) -> None:
    command = request(socket, "k")
    cancel_command(command, by=alice, now=NOW)

    assert cancel_command(command, by=alice, now=NOW) is False
    assert AuditEvent.objects.filter(verb="command.cancelled").count() == 1


def put_sms_to_sending(command: Command) -> None:
    message = sms_of(command)
    assert SMS.move(message, SmsState.CLAIMED, now=NOW)
    assert SMS.move(message, SmsState.SENDING, now=NOW)


def test_what_is_being_sent_cannot_be_taken_back(socket: Device, alice: User) -> None:
    command = request(socket, "k")
    put_sms_to_sending(command)

    assert cancel_command(command, by=alice, now=NOW) is False
    assert state_of(command) == "queued"


def test_a_stale_row_does_not_cancel_what_left_meanwhile(socket: Device, alice: User) -> None:
    """The page showed "waiting"; by the time of the click the lane was free and the SMS under way."""
    first, second = request(socket, "1"), request(socket, "2")
    stale = Command.objects.get(pk=second.pk)
    record_failed(first.pk, at=NOW, reason="x")
    put_sms_to_sending(second)

    taken = cancel_command(stale, by=alice, now=NOW)
    record_sent(second.pk, at=after(seconds=1))

    assert stale.state == "requested"
    assert taken is False
    assert state_of(second) == "sent"


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_cancelled_command_never_leaves_and_one_that_left_is_never_cancelled() -> None:
    """A person and the outbox reach for the same command at the same moment, many times over."""
    platform = make_platform(sms_limit=100)
    person = make_user("anna", platform=platform, role=Role.ADMIN)

    for number in range(6):
        command = request(make_socket(platform), f"k{number}")

        def act(which: int, command: Command = command) -> bool:
            if which == 0:
                return cancel_command(Command.objects.get(pk=command.pk), by=person, now=NOW)
            message = sms_of(command)
            return SMS.move(message, SmsState.CLAIMED, now=NOW) and SMS.move(
                message, SmsState.SENDING, now=NOW
            )

        cancelled, leaving = together(2, act)

        assert {cancelled, leaving} == {True, False}, (cancelled, leaving)
        assert state_of(command) == ("cancelled" if cancelled else "queued")


@pytest.mark.databases
def test_a_long_name_and_a_long_reason_do_not_stop_anybody(north: Platform, socket: Device) -> None:
    person = make_user("p", platform=north, role=Role.ADMIN, first_name="N" * 150, last_name="M" * 150)
    queued, lost = request(socket, "1"), request(make_socket(north), "2")
    pass_barrier(lost)
    record_unknown(lost.pk, at=NOW, reason="timeout")
    sweep_commands(now=after(hours=1))

    assert cancel_command(queued, by=person, now=NOW, reason="r" * 1000) is True
    assert close_unknown(lost, by=person, executed=False, now=NOW) is True


@pytest.mark.parametrize("executed", [True, False])
def test_a_person_closes_what_nobody_knows(socket: Device, alice: User, executed: bool) -> None:
    command = request(socket, "k")
    pass_barrier(command)
    record_unknown(command.pk, at=NOW, reason="timeout")
    too_early = close_unknown(command, by=alice, executed=executed, now=NOW)
    sweep_commands(now=after(hours=1))

    closed = close_unknown(command, by=alice, executed=executed, now=after(hours=2))

    command.refresh_from_db()
    assert (too_early, closed) == (False, True)
    assert (command.state, command.failure_reason) == (
        "closed_by_operator",
        "executed" if executed else "not_executed",
    )
    assert close_unknown(command, by=alice, executed=executed, now=NOW) is False


# --- bells ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_every_end_rings_after_the_commit() -> None:
    platform = make_platform(sms_limit=1, sms_people_share_ratio=0)
    person = make_user("anna", platform=platform, role=Role.ADMIN)
    heard: list[tuple[uuid.UUID, str]] = []

    def listen(sender: Any, *, command_id: uuid.UUID, **kwargs: Any) -> None:
        heard.append((command_id, Command.objects.get(pk=command_id).state))

    command_moved.connect(listen)
    try:
        cancelled = request(make_socket(platform), "1")
        cancel_command(cancelled, by=person, now=NOW)
        sent = request(make_socket(platform), "2")
        blocked = request(make_socket(platform), "3")
        record_sent(sent.pk, at=NOW)
    finally:
        command_moved.disconnect(listen)

    assert heard == [(cancelled.pk, "cancelled"), (blocked.pk, "blocked"), (sent.pk, "sent")]


@pytest.mark.django_db(transaction=True)
def test_a_listener_that_fails_does_not_undo_what_happened() -> None:
    command = request(make_socket(make_platform()), "k")

    def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken listener")

    command_moved.connect(broken)
    try:
        moved = record_sent(command.pk, at=NOW)
    finally:
        command_moved.disconnect(broken)

    assert moved is True
    assert state_of(command) == "sent"


def test_the_transport_is_asked_inside_the_transaction(
    socket: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SMS row that cannot be written leaves no command that waits for it."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(messages, "enqueue", broken)

    with pytest.raises(RuntimeError):
        request_command(
            device=socket, template_key="power_cycle", params={"minutes": 1}, source="job", idem_key="k",
            cause_id=uuid.uuid4(), now=NOW,
        )  # fmt: skip

    assert not Command.objects.exists()
