"""Claim, barrier, send, settle: one message at a time, with a fake gateway at the port."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from devices.models import Command
from devices.services import cancel_command
from devices.states import CommandState
from platforms.models import AuditEvent, QuotaReservation
from platforms.switches import engage
from sms.models import Gateway, SmsMessage
from sms.outbox import Pump
from sms.services import cancel
from sms.states import SMS, SmsState
from tests.factories import make_socket
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent, rejected, unknown
from tests.sms.test_messages import usage

pytestmark = pytest.mark.databases
S = SmsState


def fresh(row):
    row.refresh_from_db()
    return row


def path(message) -> list[str]:
    """The states that a message went through."""
    return [event.to_state for event in message.events.all()]


def test_due_message_is_sent_and_paid(north, gateway, fake, pump):
    message = make_notice(north)

    assert pump.drain() == 1
    assert fresh(message).state == S.SENT
    assert path(message) == [S.QUEUED, S.SENDING, S.SENT]
    assert (message.gateway, message.gateway_ref, message.attempts) == (gateway, f"ref-{message.pk}", 1)
    assert message.price == Decimal("2.50") * message.segments
    assert (message.lease_owner, message.lease_until) == ("", None)
    assert usage(north) == (0, 1)
    assert fake.sent == [(gateway.pk, message.to, message.body)]
    assert AuditEvent.objects.filter(verb="sms.sent", platform=north).count() == 1


def test_command_follows_its_message(north, gateway, pump):
    command = make_command(north)

    pump.drain()

    assert fresh(command).state == CommandState.SENT
    assert command.sms.state == S.SENT
    assert AuditEvent.objects.get(verb="sms.sent").cause_id == command.cause_id


def test_nothing_is_sent_twice(north, gateway, fake, pump):
    make_notice(north)

    pump.drain()
    pump.drain()

    assert len(fake.sent) == 1


def test_barrier_is_written_before_the_first_byte(north, gateway, fake, pump):
    message, seen = make_notice(north), []
    fake.on_send = lambda _ref: seen.append(SmsMessage.objects.get(pk=message.pk).state)

    pump.drain()

    assert seen == [S.SENDING]


def test_message_that_is_not_due_waits(north, gateway, fake, pump, clock):
    message = make_notice(north)
    SmsMessage.objects.update(next_attempt_at=clock.wall + timedelta(seconds=1))

    assert pump.drain() == 0
    clock.passes(timedelta(seconds=1))
    assert pump.drain() == 1
    assert fresh(message).state == S.SENT


def test_not_sent_is_tried_again_until_it_leaves(north, gateway, fake, pump):
    fake.script = [not_sent(), not_sent()]
    command = make_command(north)

    assert pump.drain() == 3
    assert fresh(command).state == CommandState.SENT
    assert (command.sms.attempts, usage(north)) == (3, (0, 1))


def test_tries_come_to_an_end(north, gateway, fake, pump, settings):
    settings.OUTBOX_MAX_ATTEMPTS = 3
    fake.script = [not_sent() for _ in range(9)]
    command = make_command(north)

    pump.drain()

    assert (len(fake.sent), command.sms.attempts) == (3, 3)
    assert (fresh(command).state, command.sms.state) == (CommandState.FAILED, S.FAILED)
    assert usage(north) == (0, 0)


def test_wait_for_the_next_try_keeps_the_units_reserved(north, gateway, fake, clock):
    fake.script = [not_sent()]
    message = make_notice(north)

    Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.5).drain()

    assert (fresh(message).state, message.next_attempt_at) == (S.QUEUED, clock.wall + timedelta(seconds=1))
    assert usage(north) == (1, 0)


def test_refusal_for_good_fails_the_command(north, gateway, fake, pump):
    fake.script = [rejected()]
    command = make_command(north)

    pump.drain()

    assert (fresh(command).state, command.failure_reason) == (CommandState.FAILED, "http_400")
    assert (len(fake.sent), usage(north)) == (1, (0, 0))


def test_ambiguous_answer_is_unknown_paid_and_never_repeated(north, gateway, fake, pump, clock):
    fake.script = [unknown()]
    command = make_command(north)

    pump.drain()
    clock.passes(timedelta(hours=1))
    pump.run_once()

    assert (fresh(command).state, command.sms.state) == (CommandState.UNKNOWN, S.UNKNOWN)
    assert (len(fake.sent), usage(north)) == (1, (0, 1))


def test_gateway_that_breaks_its_contract_is_unknown(north, gateway, fake, pump):
    fake.script = [ZeroDivisionError("a bug")]
    message = make_notice(north)

    pump.drain()

    assert (fresh(message).state, message.reason) == (S.UNKNOWN, "gateway_fault_ZeroDivisionError")


def test_gateway_of_an_unusable_kind_is_not_sent(north, fake, pump):
    make_fake(north)
    Gateway.objects.update(kind="gone")
    message = make_notice(north)

    pump.run_one()

    assert (fresh(message).state, message.attempts) == (S.QUEUED, 1)


def test_message_past_its_time_is_not_sent(north, gateway, fake, pump, clock):
    command = make_command(north)
    clock.passes(timedelta(minutes=5))

    assert pump.run_once() == 1
    assert (fresh(command).state, command.sms.state) == (CommandState.EXPIRED, S.EXPIRED)
    assert (fake.sent, usage(north)) == ([], (0, 0))


def test_message_that_grows_old_between_claim_and_barrier_is_not_sent(north, gateway, fake, clock):
    def too_slow(name, _message_id):
        if name == "after_claim":
            clock.passes(timedelta(minutes=6))

    command = make_command(north)

    Pump("test", now=clock.now, monotonic=clock.monotonic, checkpoint=too_slow).drain()

    assert (fresh(command).state, command.sms.state, fake.sent) == (CommandState.EXPIRED, S.EXPIRED, [])


def test_guard_at_the_barrier_stops_the_message(north, root, gateway, fake, pump, clock):
    command = make_command(north)
    engage(scope="platform", platform=north, reason="works", by=root, now=clock.wall)

    pump.drain()

    assert (fresh(command).state, command.failure_reason) == (CommandState.BLOCKED, "kill_switch_platform")
    assert (command.sms.state, fake.sent, usage(north)) == (S.CANCELLED, [], (0, 0))


def test_platform_that_was_closed_sends_nothing(north, gateway, fake, pump):
    command, notice = make_command(north), make_notice(north)
    north.is_active = False
    north.save()

    pump.drain()

    assert (fresh(command).state, command.failure_reason) == (CommandState.BLOCKED, "platform_inactive")
    assert (fresh(notice).state, notice.reason) == (S.CANCELLED, "platform_inactive")
    assert (fake.sent, usage(north)) == ([], (0, 0))


def test_command_taken_back_before_the_barrier_is_not_sent(north, alice, gateway, fake, pump, clock):
    command = make_command(north)

    assert cancel_command(command, by=alice, now=clock.wall)
    pump.drain()

    assert (fresh(command).state, command.sms.state) == (CommandState.CANCELLED, S.CANCELLED)
    assert (fake.sent, usage(north)) == ([], (0, 0))


def test_message_taken_back_after_the_claim_is_not_sent(north, gateway, fake, clock):
    message = make_command(north).sms

    def taken_back(name, _message_id):
        if name == "after_claim":
            assert cancel(SmsMessage.objects.get(pk=message.pk), now=clock.wall)

    Pump("test", now=clock.now, monotonic=clock.monotonic, checkpoint=taken_back).drain()

    assert (fresh(message).state, fake.sent) == (S.CANCELLED, [])
    assert Gateway.objects.get().slot_at is None  # its place of the rate is free again


# --- leases -----------------------------------------------------------------------------------------


class Died(BaseException):
    """Ends the pump at a checkpoint as a kill would: nothing after it runs."""


def die_at(point, clock):
    def checkpoint(name, _message_id):
        if name == point:
            raise Died

    return Pump("dead", now=clock.now, monotonic=clock.monotonic, checkpoint=checkpoint)


def test_claim_of_a_dead_worker_is_sent_by_another(north, gateway, fake, pump, clock):
    command = make_command(north)
    with pytest.raises(Died):
        die_at("after_claim", clock).drain()

    assert pump.run_once() == 0  # its lease runs
    clock.passes(timedelta(seconds=60))
    pump.run_once()

    assert (fresh(command).state, len(fake.sent)) == (CommandState.SENT, 1)
    assert path(command.sms) == [S.QUEUED, S.CLAIMED, S.QUEUED, S.CLAIMED, S.SENDING, S.SENT]


@pytest.mark.parametrize(
    ("point", "sends"), [("after_barrier", 0), ("after_post", 1), ("result_before_commit", 1)]
)
def test_worker_lost_past_the_barrier_leaves_an_unknown(north, gateway, fake, pump, clock, point, sends):
    command = make_command(north)
    with pytest.raises(Died):
        die_at(point, clock).drain()

    clock.passes(timedelta(seconds=60))
    pump.run_once()

    assert (fresh(command).state, command.failure_reason) == (CommandState.UNKNOWN, "worker_lost")
    assert (len(fake.sent), usage(north)) == (sends, (0, 1))


@pytest.mark.parametrize(
    ("stops_at", "state", "sends"), [("after_claim", S.SENT, 1), ("after_barrier", S.UNKNOWN, 0)]
)
def test_stopped_worker_that_wakes_up_does_not_send(
    north, gateway, fake, pump, clock, stops_at, state, sends
):
    message = make_command(north).sms

    def stopped(name, _message_id):
        if name == stops_at:
            clock.passes(timedelta(seconds=61))
            pump.run_once()  # meanwhile, elsewhere

    Pump("zombie", now=clock.now, monotonic=clock.monotonic, checkpoint=stopped).drain()

    assert (fresh(message).state, len(fake.sent)) == (state, sends)


def test_worker_with_too_little_lease_left_steps_back_without_a_byte(north, gateway, fake, pump, clock):
    message, sent_when_back = make_notice(north), []

    def slow(name, _message_id):
        if name == "after_barrier":
            clock.passes(timedelta(seconds=50))  # 10 s of 60 left, a send may take 15

    Pump("slow", now=clock.now, monotonic=clock.monotonic, checkpoint=slow).run_one()
    sent_when_back += fake.sent
    pump.drain()

    assert sent_when_back == []
    assert (fresh(message).state, message.attempts, len(fake.sent)) == (S.SENT, 1, 1)


def test_answer_that_comes_after_the_reaper_changes_nothing(north, gateway, fake, pump, clock):
    command = make_command(north)

    def slow(_ref):
        clock.passes(timedelta(seconds=61))
        pump.reap()

    fake.on_send = slow
    pump.drain()

    assert (fresh(command).state, command.sms.state) == (CommandState.UNKNOWN, S.UNKNOWN)
    assert (len(fake.sent), usage(north)) == (1, (0, 1))


def test_reaper_leaves_living_leases_alone(north, gateway, fake, clock, pump):
    message, reaped = make_notice(north), []
    fake.on_send = lambda _ref: reaped.append(pump.reap())

    pump.drain()

    assert (reaped, fresh(message).state) == ([0], S.SENT)


def test_claim_that_passes_the_barrier_while_the_reaper_looks_is_left_alone(
    north, gateway, fake, pump, clock
):
    message = make_notice(north)
    with pytest.raises(Died):
        die_at("after_barrier", clock).drain()
    as_it_was = fresh(message)
    as_it_was.state = S.CLAIMED

    assert pump._reap_claimed(as_it_was, clock.now()) is False
    assert fresh(message).state == S.SENDING


# --- poison -----------------------------------------------------------------------------------------


def test_poisonous_row_does_not_stop_the_others(north, gateway, fake, pump, clock, monkeypatch):
    poison, others = make_command(north), [make_command(north) for _ in range(4)]
    from sms import outbox

    asked = outbox.refusal_at_barrier

    def refusal(command_id, *, now):
        if command_id == poison.pk:
            raise KeyError("a bug in a guard")
        return asked(command_id, now=now)

    monkeypatch.setattr(outbox, "refusal_at_barrier", refusal)
    with_jitter = Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.5)
    with_jitter.drain()

    assert {fresh(other).state for other in others} == {CommandState.SENT}
    assert (fresh(poison).state, poison.sms.state, poison.sms.reason) == (
        CommandState.QUEUED,
        S.QUEUED,
        "error",
    )
    assert poison.sms.next_attempt_at > clock.wall

    clock.passes(timedelta(minutes=6))
    with_jitter.run_once()
    assert (fresh(poison).state, usage(north)) == (CommandState.EXPIRED, (0, 4))


def test_poisonous_row_does_not_stop_the_reaper(north, gateway, fake, pump, clock, monkeypatch):
    first, second = make_notice(north), make_notice(north)
    clock.passes(timedelta(minutes=6))
    from sms import outbox

    conclude = outbox.conclude_unsent

    def poisonous(message, **options):
        if message.pk == min(first.pk, second.pk):
            raise KeyError("a bug")
        conclude(message, **options)

    monkeypatch.setattr(outbox, "conclude_unsent", poisonous)

    assert pump.reap() == 1
    assert sorted([fresh(first).state, fresh(second).state]) == [S.EXPIRED, S.QUEUED]


# --- reports that overtake ----------------------------------------------------------------------------


def test_delivery_report_that_overtakes_the_answer_is_kept(north, gateway, fake, pump, clock):
    from sms.services import apply_delivery_report

    command = make_command(north)
    fake.on_send = lambda ref: apply_delivery_report(
        gateway=gateway, delivered=True, at=clock.wall, client_ref=ref
    )

    pump.drain()

    assert (fresh(command).state, command.sms.state) == (CommandState.DELIVERED, S.DELIVERED)
    assert command.sms.gateway_ref == f"ref-{command.sms.pk}"
    assert command.sms.lease_until is None
    assert usage(north) == (0, 1)
    assert QuotaReservation.objects.get(kind="sms").state == "committed"


# --- one lane, many messages ------------------------------------------------------------------------


def test_commands_to_one_socket_leave_one_after_the_other(north, gateway, fake, pump, clock):
    socket = make_socket(north)
    first, second = make_command(north, device=socket), make_command(north, device=socket)

    pump.drain()

    assert (fresh(first).state, fresh(second).state) == (CommandState.SENT, CommandState.REQUESTED)
    assert len(fake.sent) == 1


def test_one_message_can_be_carried_by_its_id(north, gateway, fake, pump):
    first, second = make_notice(north), make_notice(north)

    assert pump.run_one(second.pk)
    assert not pump.run_one(uuid.uuid4())

    assert (fresh(first).state, fresh(second).state) == (S.QUEUED, S.SENT)


def test_drain_stops_when_its_time_is_up(north, gateway, fake, pump, clock):
    for _ in range(3):
        make_notice(north)
    fake.on_send = lambda _ref: clock.passes(timedelta(seconds=1))

    assert pump.drain(budget_s=1.5) == 2
    assert SmsMessage.objects.filter(state=S.QUEUED).count() == 1


def test_fence_grows_with_each_claim(north, gateway, fake, pump):
    fake.script = [not_sent()]
    message = make_notice(north)

    pump.drain()

    assert fresh(message).fence == 2
    assert not SMS.move(message, S.DELIVERED, now=message.created_at, fence=1)


def test_every_command_ends_where_its_message_ends(north, gateway, fake, pump):
    fake.script = [None, rejected(), unknown()]
    for _ in range(3):
        make_command(north)

    pump.drain()

    pairs = {(command.state, command.sms.state) for command in Command.objects.select_related("sms")}
    assert pairs == {
        (CommandState.SENT, S.SENT),
        (CommandState.FAILED, S.FAILED),
        (CommandState.UNKNOWN, S.UNKNOWN),
    }
