"""What became of a command: reports late, early, twice, from strangers, in every order, end in one truth."""

import itertools
import uuid
from datetime import timedelta
from typing import Any

import pytest

from devices.models import Command, Device
from devices.services import (
    confirm,
    outcomes,
    record_delivery,
    record_failed,
    record_observations,
    record_reply,
    record_sent,
    record_unknown,
    sweep_commands,
)
from devices.services.observations import Observed
from devices.states import CommandState
from platforms.models import AuditEvent, Platform
from tests.devices.commands import CONFIRMED, STATUS, after, ask, pass_barrier, state_of, steps_of
from tests.factories import NOW, make_device, make_platform, make_socket
from tests.together import together

S = CommandState


@pytest.fixture
def socket(north: Platform) -> Device:
    return make_socket(north)


@pytest.fixture
def command(socket: Device) -> Command:
    """Past the barrier: it may have left."""
    row = ask(socket)
    pass_barrier(row)
    return row


def truth(command: Command) -> dict[str, Any]:
    """Everything that must not depend on the order of the messages."""
    row = Command.objects.get(pk=command.pk)
    return {
        "state": row.state, "sent_at": row.sent_at, "reply_until": row.reply_until, "verify_until": row.verify_until,
        "replied_at": row.replied_at, "reply": row.reply_text, "verdict": row.reply_verdict,
        "reason": row.failure_reason,
    }  # fmt: skip


SENT, DELIVERED, REPLY, REFUSAL = "sent", "delivered", "reply", "refusal"


def tell(command: Command, message: str) -> None:
    if message == SENT:
        record_sent(command.pk, at=after(seconds=2))
    elif message == DELIVERED:
        record_delivery(command.pk, delivered=True, at=after(seconds=4))
    else:
        text = CONFIRMED if message == REPLY else "ERR NOT ADMIN"
        record_reply(Device.objects.get(pk=command.device_id), text=text, at=after(seconds=7))


def expected(reply: str, state: str) -> dict[str, Any]:
    return {
        "state": state, "sent_at": after(seconds=2), "reply_until": after(seconds=302),
        "verify_until": after(seconds=302, minutes=6), "replied_at": after(seconds=7),
        "reply": CONFIRMED if reply == REPLY else "ERR NOT ADMIN",
        "verdict": "confirmed" if reply == REPLY else "refused",
        "reason": "" if reply == REPLY else "refused_by_device",
    }  # fmt: skip


@pytest.mark.databases
@pytest.mark.parametrize(("reply", "state"), [(REPLY, "replied"), (REFUSAL, "refused")])
def test_all_orders_of_all_messages_with_duplicates_end_the_same(
    north: Platform, reply: str, state: str
) -> None:
    orders = set(itertools.permutations([SENT, DELIVERED, reply, reply, SENT]))
    orders |= set(itertools.permutations([SENT, DELIVERED, reply, DELIVERED]))

    ends = []
    for order in sorted(orders):
        row = ask(make_socket(north))
        pass_barrier(row)
        for message in order:
            tell(row, message)
        ends.append((order, truth(row)))

    assert len(orders) == 42
    assert [end for end in ends if end[1] != expected(reply, state)] == []


@pytest.mark.databases
@pytest.mark.parametrize("order", sorted(set(itertools.permutations([SENT, SENT, DELIVERED, DELIVERED]))))
def test_reports_in_any_order_end_delivered(command: Command, order: tuple[str, ...]) -> None:
    for message in order:
        tell(command, message)

    assert truth(command)["state"] == "delivered"
    assert truth(command)["sent_at"] == after(seconds=2)


@pytest.mark.parametrize("order", sorted(itertools.permutations(["unknown", DELIVERED, REPLY])))
def test_evidence_settles_an_unknown_outcome_in_any_order(command: Command, order: tuple[str, ...]) -> None:
    for message in order:
        if message == "unknown":
            record_unknown(command.pk, at=after(seconds=15), reason="timeout")
        else:
            tell(command, message)

    assert state_of(command) == "replied"


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_messages_of_one_moment_end_the_same(settings: Any) -> None:
    platform = make_platform()
    for _round in range(3):
        row = ask(make_socket(platform))
        pass_barrier(row)
        messages = [SENT, DELIVERED, REPLY, REPLY, SENT, DELIVERED]

        results = together(
            len(messages), lambda number, row=row, messages=messages: tell(row, messages[number])
        )

        assert results == [None] * len(messages)
        assert truth(row) == expected(REPLY, "replied")


def test_each_step_is_written_once(command: Command) -> None:
    for message in (SENT, SENT, DELIVERED, DELIVERED, REPLY, REPLY):
        tell(command, message)

    assert steps_of(command) == [
        ("requested", "queued"), ("queued", "sent"), ("sent", "delivered"), ("delivered", "replied"),
    ]  # fmt: skip
    assert AuditEvent.objects.filter(verb="command.replied").count() == 1


# --- no stuck states -----------------------------------------------------------------------------


@pytest.mark.parametrize("only", [DELIVERED, REPLY])
def test_a_report_that_is_all_we_ever_hear_still_ends_the_command(
    north: Platform, socket: Device, only: str
) -> None:
    """The worker died after the network had the SMS: nobody ever says "sent"."""
    row = ask(socket, target=make_device(north))
    pass_barrier(row)
    tell(row, only)
    record_unknown(row.pk, at=after(minutes=1), reason="worker_lost")
    row.refresh_from_db()

    sweep_commands(now=row.verify_until)

    assert row.sent_at is not None
    assert state_of(row) == "unverified"


@pytest.mark.parametrize("way", ["sent", "delivered", "unknown", "replied"])
def test_nothing_stays_in_flight_for_ever(north: Platform, socket: Device, way: str) -> None:
    row, waiting = ask(socket, target=make_device(north)), ask(socket, ttl=timedelta(days=10))
    pass_barrier(row)
    if way == "unknown":
        record_unknown(row.pk, at=NOW, reason="timeout")
    else:
        record_sent(row.pk, at=NOW)
    if way in ("delivered", "replied"):
        tell(row, {"delivered": DELIVERED, "replied": REPLY}[way])

    sweep_commands(now=after(days=1))

    assert state_of(row) == ("needs_operator" if way == "unknown" else "unverified")
    assert state_of(waiting) == "queued"


def test_a_sweep_before_the_deadline_changes_nothing(command: Command) -> None:
    tell(command, SENT)
    command.refresh_from_db()

    assert sweep_commands(now=command.verify_until - timedelta(seconds=1)) == 0
    assert sweep_commands(now=command.verify_until) == 1
    assert sweep_commands(now=command.verify_until) == 0


@pytest.mark.databases
def test_one_poisonous_command_does_not_stop_the_sweep(
    north: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:

    rows = [ask(make_socket(north)) for _number in range(3)]
    for row in rows:
        record_sent(row.pk, at=NOW)
    real = outcomes.move_on

    def poisoned(command: Command, *args: Any, **kwargs: Any) -> bool:
        if command.pk == rows[1].pk:
            raise RuntimeError("poison")
        return real(command, *args, **kwargs)

    monkeypatch.setattr(outcomes, "move_on", poisoned)

    moved = sweep_commands(now=after(days=1))

    assert moved == 2
    assert [state_of(row) for row in rows] == ["unverified", "sent", "unverified"]


@pytest.mark.parametrize(
    ("seen", "state"), [("online", "verified"), ("offline", "unverified"), ("unknown", "unverified")]
)
def test_a_persons_repair_is_judged_by_its_target_at_the_deadline(
    north: Platform, socket: Device, seen: str, state: str
) -> None:
    target = make_device(north)
    row = ask(socket, target=target)
    pass_barrier(row)
    tell(row, SENT)
    tell(row, REPLY)
    record_observations([Observed(target.pk, seen, after(minutes=3))], source="test")

    sweep_commands(now=after(days=1))

    assert state_of(row) == state


def test_a_target_that_was_online_all_along_proves_nothing(north: Platform, socket: Device) -> None:
    target = make_device(north)
    record_observations([Observed(target.pk, "online", after(minutes=-60))], source="test")
    row = ask(socket, target=target)
    pass_barrier(row)
    tell(row, SENT)
    tell(row, REPLY)
    record_observations([Observed(target.pk, "online", after(minutes=3))], source="test")

    sweep_commands(now=after(days=1))

    assert state_of(row) == "unverified"


# --- what must not be overwritten ----------------------------------------------------------------


@pytest.mark.parametrize(
    "end", [S.FAILED, S.BLOCKED, S.CANCELLED, S.EXPIRED, S.SUPERSEDED, S.VERIFIED, S.REFUSED]
)
def test_late_messages_do_not_revive_what_has_ended(command: Command, end: str) -> None:
    tell(command, SENT)
    Command.objects.filter(pk=command.pk).update(state=end)

    for message in (SENT, DELIVERED, REPLY):
        tell(command, message)
    record_unknown(command.pk, at=NOW, reason="x")
    record_failed(command.pk, at=NOW, reason="x")

    assert state_of(command) == end


def test_a_report_of_failure_does_not_undo_a_delivery_or_a_reply(command: Command) -> None:
    tell(command, SENT)
    tell(command, DELIVERED)

    assert record_delivery(command.pk, delivered=False, at=after(seconds=9)) is False
    assert state_of(command) == "delivered"


def test_what_the_network_gave_up_was_not_executed(command: Command) -> None:
    tell(command, SENT)

    record_delivery(command.pk, delivered=False, at=after(seconds=9))

    command.refresh_from_db()
    assert (command.state, command.failure_reason) == ("not_executed", "undelivered")


def test_an_effect_that_was_seen_confirms(command: Command) -> None:
    tell(command, SENT)

    assert confirm(command.pk, at=after(minutes=5), why="back") is True
    assert confirm(command.pk, at=after(minutes=5), why="back") is False
    assert state_of(command) == "verified"


def test_what_never_left_cannot_be_confirmed(socket: Device, command: Command) -> None:
    record_failed(command.pk, at=NOW, reason="x")

    assert confirm(command.pk, at=NOW, why="back") is False


# --- replies: evidence, never authority ----------------------------------------------------------


def test_a_reply_that_fits_moves_the_command_and_tells_facts(command: Command, socket: Device) -> None:
    tell(command, SENT)

    outcome = record_reply(socket, text=CONFIRMED, at=after(seconds=8))

    command.refresh_from_db()
    assert (outcome.match, outcome.command) == ("matched", command)
    assert (command.state, command.reply_verdict, command.replied_at) == (
        "replied",
        "confirmed",
        after(seconds=8),
    )


def test_a_text_before_the_sms_can_have_left_answers_nothing(socket: Device) -> None:
    """The late answer to the command before this one must not stop this one from being sent."""
    command = ask(socket)

    outcomes = [
        record_reply(socket, text=text, at=after(seconds=3)).match for text in (CONFIRMED, "hello", STATUS)
    ]

    assert outcomes == ["unmatched", "unmatched", "understood"]
    assert state_of(command) == "queued"
    pass_barrier(command, at=after(seconds=5))
    assert record_reply(socket, text=CONFIRMED, at=after(seconds=4)).match == "unmatched", (
        "sent before the barrier"
    )
    assert record_reply(socket, text=CONFIRMED, at=after(seconds=6)).match == "matched"


def test_the_late_answer_to_the_command_before_is_not_taken_for_this_ones(socket: Device) -> None:
    old = ask(socket)
    pass_barrier(old)
    record_sent(old.pk, at=NOW)
    sweep_commands(now=after(minutes=30))
    new = ask(socket, now=after(minutes=60))

    outcome = record_reply(socket, text=CONFIRMED, at=after(minutes=60, seconds=10))

    assert (state_of(old), state_of(new), outcome.match) == ("unverified", "queued", "unmatched")


def test_a_reply_while_the_gateway_still_hesitates_counts(socket: Device) -> None:
    """The socket was faster than the HTTP answer: matched later, with a time before ``sent_at``."""
    command = ask(socket)
    pass_barrier(command, at=after(seconds=1))
    record_sent(command.pk, at=after(seconds=12))

    outcome = record_reply(socket, text=CONFIRMED, at=after(seconds=8))

    assert outcome.match == "matched"


@pytest.mark.parametrize("late", [0, 1])
def test_a_reply_is_awaited_for_a_while_only(command: Command, socket: Device, late: int) -> None:
    tell(command, SENT)
    command.refresh_from_db()

    outcome = record_reply(socket, text=CONFIRMED, at=command.reply_until + timedelta(seconds=late))

    assert outcome.match == ("unmatched" if late else "matched")


def test_another_devices_text_answers_nothing(command: Command, north: Platform) -> None:
    tell(command, SENT)

    outcome = record_reply(make_socket(north), text=CONFIRMED, at=after(seconds=8))

    assert outcome.match == "unmatched"
    assert state_of(command) == "sent"


@pytest.mark.parametrize("text", ["OUT1 OFF 2 MIN", "OUT2 OFF 1 MIN", "OUT1 ON", STATUS, "OK"])
def test_a_text_about_something_else_answers_nothing(command: Command, socket: Device, text: str) -> None:
    tell(command, SENT)

    outcome = record_reply(socket, text=text, at=after(seconds=8))

    assert outcome.match == "unmatched"
    assert state_of(command) == "sent"


@pytest.mark.parametrize("text", ["OUT1 ON", STATUS, "MAINS LOST"])
def test_a_notice_of_which_facts_were_made_waits_for_nobody(socket: Device, text: str) -> None:
    outcome = record_reply(socket, text=text, at=NOW)

    socket.refresh_from_db()
    assert outcome.match == "understood"
    assert outcome.facts.items() <= socket.facts.items()


@pytest.mark.databases
@pytest.mark.parametrize("text", ["что-то непонятное", "", "\x00", "a\x00b", "x" * 5000, "\u202eOK"])
def test_a_text_that_nobody_can_read_answers_the_only_command_that_waits(
    command: Command, socket: Device, text: str
) -> None:
    tell(command, SENT)

    outcome = record_reply(socket, text=text, at=after(seconds=8))

    command.refresh_from_db()
    assert (outcome.match, command.state, command.reply_verdict) == ("matched", "replied", "unrecognised")


def test_a_text_that_could_answer_two_commands_moves_neither(socket: Device) -> None:
    queries = [ask(socket, "status"), ask(socket, "status")]
    for row in queries:
        pass_barrier(row)
        record_sent(row.pk, at=after(seconds=1))

    outcome = record_reply(socket, text=STATUS, at=after(seconds=5))

    assert outcome.match == "ambiguous"
    assert [state_of(row) for row in queries] == ["sent", "sent"]


def test_a_text_goes_to_the_one_command_of_several_that_it_fits(socket: Device) -> None:
    cycle, query = ask(socket), ask(socket, "status")
    for row in (cycle, query):
        pass_barrier(row)
        record_sent(row.pk, at=after(seconds=1))

    first = record_reply(socket, text=STATUS, at=after(seconds=5))
    second = record_reply(socket, text=CONFIRMED, at=after(seconds=6))

    assert (first.command, second.command) == (query, cycle)


def test_an_event_is_written_down_and_answers_nothing(command: Command, socket: Device) -> None:
    tell(command, SENT)

    outcome = record_reply(socket, text="MAINS LOST", at=after(seconds=8))

    socket.refresh_from_db()
    assert (outcome.match, state_of(command)) == ("understood", "sent")
    assert socket.facts["mains"] == "lost"


@pytest.mark.parametrize("newest_first", [False, True])
def test_facts_are_those_of_the_newest_text_in_whatever_order_they_come(
    socket: Device, newest_first: bool
) -> None:
    texts = [("MAINS LOST", after(minutes=1)), ("MAINS OK", after(minutes=2))]

    for text, at in reversed(texts) if newest_first else texts:
        record_reply(socket, text=text, at=at)

    socket.refresh_from_db()
    assert socket.facts["mains"] == "ok"
    assert socket.facts["heard_at"] == after(minutes=2).isoformat()


def test_facts_written_meanwhile_are_kept(socket: Device) -> None:
    stale = Device.objects.select_related("model").get(pk=socket.pk)
    record_observations([Observed(socket.pk, "online", NOW, {"ip": "10.0.0.1"})], source="test")

    record_reply(stale, text="MAINS OK", at=NOW)

    socket.refresh_from_db()
    assert (socket.facts["ip"], socket.facts["mains"]) == ("10.0.0.1", "ok")


def test_a_refusal_ends_the_command_and_frees_the_lane(command: Command, socket: Device) -> None:
    waiting = ask(socket)
    tell(command, SENT)

    outcome = record_reply(socket, text="ERR NOT ADMIN", at=after(seconds=8))
    again = record_reply(socket, text="ERR NOT ADMIN", at=after(seconds=9))

    command.refresh_from_db()
    assert (outcome.match, again.match) == ("matched", "unmatched")
    assert (command.state, command.failure_reason) == ("refused", "refused_by_device")
    assert state_of(waiting) == "queued"


def test_a_command_that_there_is_not_is_an_error_of_the_caller(db: None) -> None:
    with pytest.raises(Command.DoesNotExist):
        record_sent(uuid.uuid4(), at=NOW)
