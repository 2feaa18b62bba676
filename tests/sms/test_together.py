"""Messages to people that are claimed, pass the barrier and are settled together."""

from datetime import timedelta

import pytest
from django.db import transaction

from platforms import quotas
from platforms.models import AuditEvent, LedgerEntry, Platform
from remosa.lib.lifecycle import NotAllMoved
from sms.models import Gateway, SmsEvent, SmsMessage
from sms.outbox import Pump
from sms.services import apply_delivery_report, cancel
from sms.states import SMS, SmsState
from tests.factories import NOW
from tests.sms.fakes import make_command, make_fake, make_notice, not_sent, unknown
from tests.sms.test_messages import usage

pytestmark = pytest.mark.databases
S = SmsState


def states() -> list[str]:
    return sorted(SmsMessage.objects.values_list("state", flat=True))


def bring_through(pump: Pump, places: int = 8) -> int:
    """What the process does with one look; how many left."""
    sent = [pump.carry(claim) for claim in pump.take(places).claims]
    pump.settle([one for one in sent if one is not None])
    return len(sent)


@pytest.fixture
def remembering(clock) -> Pump:
    """A pump that remembers its gateways, as the process does."""
    return Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.0, knows_gateways_s=5.0)


def test_all_are_written_as_sending_before_any_of_them_leaves(north, gateway, fake, pump):
    for _ in range(3):
        make_notice(north)

    claims = pump.take(8).claims

    assert (len(claims), states(), fake.sent) == (3, [S.SENDING] * 3, [])
    assert set(SmsMessage.objects.values_list("fence", "attempts", "lease_owner")) == {(1, 1, "test")}
    assert SmsMessage.objects.filter(gateway=gateway, lease_until__gt=NOW).count() == 3


def test_each_is_sent_once_and_paid_once(north, gateway, fake, pump):
    messages = [make_notice(north, body=f"{number}") for number in range(3)]

    assert bring_through(pump) == 3
    assert sorted(body for _gateway, _to, body in fake.sent) == ["0", "1", "2"]
    assert (states(), usage(north)) == ([S.SENT] * 3, (0, 3))
    assert LedgerEntry.objects.filter(subject_id__in=[row.pk for row in messages]).count() == 3
    assert AuditEvent.objects.filter(verb="sms.sent").count() == 3
    assert set(SmsMessage.objects.values_list("pk", "gateway_ref")) == {
        (row.pk, f"ref-{row.pk}") for row in messages
    }
    assert SmsEvent.objects.filter(from_state=S.SENDING, to_state=S.SENT).count() == 3
    assert not pump.take(8).touched


@pytest.mark.parametrize("count", [1, 12])
def test_number_of_statements_does_not_grow_with_the_messages(
    count, north, gateway, fake, remembering, django_assert_max_num_queries
):
    for _ in range(1 + count):
        make_notice(north)
    bring_through(remembering, 1)
    remembering.turns.hears([north.pk])

    with django_assert_max_num_queries(6):  # locked, place, moved, noted, and a savepoint here
        claims = remembering.take(count).claims
    with django_assert_max_num_queries(9):
        remembering.settle([remembering.carry(claim) for claim in claims])

    assert (len(claims), states()) == (count, [S.SENT] * (1 + count))


def test_commands_are_asked_about_and_messages_to_people_are_not(north, gateway, fake, pump):
    make_command(north)
    make_notice(north)

    claims = pump.take(8).claims

    assert states() == [S.CLAIMED, S.SENDING]
    assert sorted(claim.gateway is None for claim in claims) == [False, True]


def test_no_more_leave_than_the_rate_has_places(north, fake, pump):
    make_fake(north, rate_per_minute=30)  # five at once after a pause
    for _ in range(8):
        make_notice(north)

    assert bring_through(pump) == 5
    assert states() == [S.QUEUED] * 3 + [S.SENT] * 5
    assert set(SmsMessage.objects.filter(state=S.QUEUED).values_list("reason", "fence")) == {
        ("rate_limit", 0)
    }


def test_no_more_leave_than_the_day_has_left(north, fake, pump):
    gateway = make_fake(north, rate_per_day=4)
    bring_through(pump)
    for _ in range(6):
        make_notice(north)

    assert bring_through(pump, 3) == 3
    assert bring_through(pump) == 1
    gateway.refresh_from_db()
    assert (gateway.rate_day_used, states()) == (4, [S.QUEUED] * 2 + [S.SENT] * 4)


def test_one_message_tries_whether_a_suspended_gateway_is_well(north, fake, pump):
    make_fake(north, breaker=Gateway.Breaker.OPEN, breaker_until=NOW)
    for _ in range(3):
        make_notice(north)

    assert len(pump.take(8).claims) == 1


# --- what changes in this moment ------------------------------------------------------------------------


def while_choosing(pump, monkeypatch, change):
    """Let ``change`` happen between the look at the rows and the statement that moves them."""
    choose = pump._choose

    def chosen(messages, *, now):
        monkeypatch.setattr(pump, "_choose", choose)
        change()
        return choose(messages, now=now)

    monkeypatch.setattr(pump, "_choose", chosen)


def test_platform_that_is_stopped_in_this_moment_sends_nothing(north, gateway, fake, pump, monkeypatch):
    for _ in range(2):
        make_notice(north)
    while_choosing(pump, monkeypatch, lambda: Platform.objects.filter(pk=north.pk).update(is_active=False))

    # the change is part of the transaction that goes back with it: only what was moved counts here
    with pytest.raises(NotAllMoved), transaction.atomic():
        pump._claim(SmsMessage.objects.filter(state=S.QUEUED), 8, [])

    assert (states(), fake.sent) == ([S.QUEUED] * 2, [])


def test_stopped_platform_cancels_what_waits(north, gateway, fake, pump):
    for _ in range(2):
        make_notice(north)
    Platform.objects.update(is_active=False)

    assert (bring_through(pump), states(), fake.sent, usage(north)) == (0, [S.CANCELLED] * 2, [], (0, 0))


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"breaker": "open", "breaker_until": None}])
def test_remembered_gateway_that_was_stopped_is_not_used(change, north, gateway, fake, remembering):
    make_notice(north)
    bring_through(remembering)
    Gateway.objects.update(**change)
    make_notice(north)

    assert (bring_through(remembering), len(fake.sent)) == (0, 1)


def test_remembered_gateway_that_was_changed_is_read_again(north, gateway, fake, remembering):
    make_notice(north)
    bring_through(remembering)
    gateway.price = 7
    gateway.save()
    late = make_notice(north)

    assert bring_through(remembering) == 1
    late.refresh_from_db()
    assert late.price == 7 * late.segments


def test_second_gateway_is_found_though_the_first_was_remembered(north, gateway, fake, remembering):
    make_notice(north)
    bring_through(remembering)
    Gateway.objects.update(is_enabled=False)
    second = make_fake(north)
    make_notice(north)

    assert bring_through(remembering) == 1
    assert [sent_by for sent_by, _to, _body in fake.sent] == [gateway.pk, second.pk]


def test_message_taken_back_while_others_are_claimed_does_not_leave(north, gateway, fake, pump):
    taken_back, other = make_notice(north), make_notice(north)
    assert cancel(taken_back, now=NOW)

    assert bring_through(pump) == 1
    other.refresh_from_db()
    assert (other.state, len(fake.sent), usage(north)) == (S.SENT, 1, (0, 1))


def test_common_move_moves_all_or_none(north, gateway):
    rows = [make_notice(north) for _ in range(3)]
    SmsMessage.objects.filter(pk=rows[1].pk).update(fence=7)

    with pytest.raises(NotAllMoved), transaction.atomic():
        SMS.move_all(rows, S.CLAIMED, now=NOW)

    assert states() == [S.QUEUED] * 3
    with pytest.raises(NotAllMoved), transaction.atomic():
        SMS.move_all(rows, S.SENT, now=NOW)  # the table forbids it


# --- settling ------------------------------------------------------------------------------------------


def test_report_that_overtakes_one_answer_leaves_the_others_alone(north, gateway, fake, pump, clock):
    first, second = make_notice(north), make_notice(north)
    claims = pump.take(8).claims
    sent = [pump.carry(claim) for claim in claims]
    apply_delivery_report(gateway=gateway, delivered=True, at=clock.wall, client_ref=str(first.pk))

    pump.settle(sent)

    assert (states(), usage(north)) == ([S.DELIVERED, S.SENT], (0, 2))
    assert LedgerEntry.objects.count() == 2
    second.refresh_from_db()
    assert second.state == S.SENT


def test_answers_of_all_kinds_are_settled_each_by_its_own_rule(north, gateway, fake, pump):
    for _ in range(4):
        make_notice(north)
    fake.script = [None, not_sent(), unknown(), None]

    bring_through(pump)

    assert (states(), usage(north)) == ([S.QUEUED, S.SENT, S.SENT, S.UNKNOWN], (1, 3))


def test_failure_of_settling_together_is_no_failure_of_each(north, gateway, fake, pump, monkeypatch):
    for _ in range(2):
        make_notice(north)

    def breaks(_lines):
        raise KeyError("a bug")

    monkeypatch.setattr("platforms.ledger.write", breaks)

    assert bring_through(pump) == 2
    assert (states(), usage(north), LedgerEntry.objects.count()) == ([S.SENT] * 2, (0, 2), 2)


def test_worker_that_is_lost_behind_the_barrier_leaves_unknowns(north, gateway, fake, pump, clock):
    for _ in range(2):
        make_notice(north)
    assert len(Pump("dead", now=clock.now, monotonic=clock.monotonic).take(8).claims) == 2

    clock.passes(timedelta(seconds=61))
    pump.run_once()

    assert (states(), fake.sent, usage(north)) == ([S.UNKNOWN] * 2, [], (0, 2))


def test_claim_whose_lease_is_nearly_over_is_handed_back_without_a_byte(north, gateway, fake, pump, clock):
    make_notice(north)
    claims = pump.take(8).claims
    clock.passes(timedelta(seconds=50))

    assert (pump.carry(claims[0]), fake.sent, states()) == (None, [], [S.QUEUED])


def test_row_that_breaks_the_claim_is_set_aside_and_the_others_leave(
    north, gateway, fake, clock, monkeypatch
):
    poison, other = make_notice(north, body="poison"), make_notice(north)
    pump = Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.5)
    choose = pump._choose

    def poisonous(messages, *, now):
        if any(message.pk == poison.pk for message in messages):
            raise KeyError("a bug")
        return choose(messages, now=now)

    monkeypatch.setattr(pump, "_choose", poisonous)
    while pump.take(0).touched or bring_through(pump):
        pass
    pump.drain()

    other.refresh_from_db()
    poison.refresh_from_db()
    assert (other.state, poison.state, poison.reason) == (S.SENT, S.QUEUED, "error")
    assert poison.next_attempt_at > clock.wall


def test_units_are_settled_once(north, gateway):
    rows = [make_notice(north) for _ in range(2)]
    keys = [row.pk for row in rows]

    with transaction.atomic():
        assert quotas.settle_all(keys, spent=True) == set(keys)
        assert quotas.settle_all(keys, spent=True) == set()
    assert usage(north) == (0, 2)
