"""Messages to people that are claimed, pass the barrier and are settled together."""

import random
import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError, transaction

from platforms import quotas
from platforms.models import AuditEvent, LedgerEntry, Platform
from remosa.lib.lifecycle import NotAllMoved
from sms.models import Gateway, SmsEvent, SmsMessage
from sms.outbox import Pump
from sms.ports import Accepted
from sms.services import apply_delivery_report, cancel
from sms.states import SMS, SmsState
from sms.worker import Worker
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
    for _ in range(2 * count):
        make_notice(north)
    bring_through(remembering, count)  # statements of this length are planned
    remembering.turns.hears([north.pk])

    with django_assert_max_num_queries(6):  # locked, place, moved, noted, and a savepoint here
        claims = remembering.take(count).claims
    with django_assert_max_num_queries(9):
        remembering.settle([remembering.carry(claim) for claim in claims])

    assert (len(claims), states()) == (count, [S.SENT] * (2 * count))


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


@pytest.mark.parametrize("fault", [OperationalError, KeyError])
def test_fault_while_others_are_put_off_strands_nobody_behind_the_barrier(
    fault, north, fake, pump, monkeypatch
):
    make_fake(north, rate_per_minute=30)  # five at once
    for _ in range(8):
        make_notice(north)

    def breaks(_message, *, now):
        raise fault("in this moment")

    monkeypatch.setattr("sms.services.gateways.when_to_look_again", breaks)

    assert bring_through(pump) == 5
    assert states() == [S.QUEUED] * 3 + [S.SENT] * 5


def test_no_minute_sees_more_than_the_rate_however_many_are_taken_at_once(north, fake, clock):
    dice = random.Random(11)
    gateway, pumps = make_fake(north, rate_per_minute=20), []
    for _ in range(120):
        make_notice(north, expires_at=NOW + timedelta(hours=1))
    for _ in range(2):
        pumps.append(
            Pump("p", now=clock.now, monotonic=clock.monotonic, jitter=dice.random, knows_gateways_s=5.0)
        )
    left = []

    for _ in range(150):
        clock.passes(timedelta(seconds=dice.choice([0, 0.3, 1, 4])))
        left += [clock.wall] * bring_through(dice.choice(pumps), dice.randint(1, 8))

    assert len(left) > 40
    assert max(sum(begin <= at < begin + timedelta(minutes=1) for at in left) for begin in left) <= 20
    assert Gateway.objects.get() == gateway


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
        pump._claim(partial(pump._due_of, north.pk), 8, [])

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


def edit_in_console(client, gateway, **values):
    """Save the gateway's page with other values."""
    page = client.get(f"/admin/sms/gateway/{gateway.pk}/change/")
    form = page.context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    posted = {name: value for name, value in shown.items() if value is not None and value is not False}
    answer = client.post(f"/admin/sms/gateway/{gateway.pk}/change/", posted | values)
    assert answer.status_code == 302, answer.context["errors"]


def edit_by_api(client, gateway, **values):
    answer = client.patch(f"/api/v1/gateways/{gateway.pk}/", values, content_type="application/json")
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("edit", [edit_in_console, edit_by_api])
def test_remembered_gateway_that_a_person_changed_is_read_again(
    edit, north, gateway, fake, remembering, client, root
):
    make_notice(north)
    bring_through(remembering)
    client.force_login(root)
    edit(client, gateway, price="7.00")
    late = make_notice(north)

    assert bring_through(remembering) == 1
    late.refresh_from_db()
    assert late.price == 7 * late.segments


@pytest.mark.parametrize("edit", [edit_in_console, edit_by_api])
def test_edit_of_a_gateway_writes_its_settings_and_not_what_is_counted_meanwhile(
    edit, north, fake, client, root, monkeypatch
):
    gateway = make_fake(north, rate_per_day=9)
    counted = {
        "slot_at": NOW, "rate_day": NOW.date(), "rate_day_used": 8, "breaker": "open", "breaker_until": NOW,
        "last_error": "http_500",
    }  # fmt: skip
    check = Gateway.full_clean

    def counts_meanwhile(row, *args, **named):
        Gateway.objects.filter(pk=row.pk).update(**counted)
        return check(row, *args, **named)

    monkeypatch.setattr(Gateway, "full_clean", counts_meanwhile)
    client.force_login(root)

    edit(client, gateway, price="7.00")

    assert Gateway.objects.values(*counted, "price").get() == counted | {"price": 7}


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


@pytest.mark.parametrize("make", [make_notice, make_command])
def test_message_whose_time_runs_out_behind_the_barrier_does_not_leave(make, north, gateway, fake, clock):
    """The process was stopped between the barrier and the first byte, for less than its lease."""

    def stopped(name, _key):
        if name == "after_barrier":
            clock.passes(timedelta(seconds=30))

    pump = Pump("test", now=clock.now, monotonic=clock.monotonic, jitter=lambda: 0.0, checkpoint=stopped)
    make(north, **{"expires_at" if make is make_notice else "ttl": LATE[make]})

    bring_through(pump)

    assert (fake.sent, states()) == ([], [S.QUEUED])
    pump.run_once()
    assert (fake.sent, states(), usage(north)) == ([], [S.EXPIRED], (0, 0))


LATE = {make_notice: NOW + timedelta(seconds=20), make_command: timedelta(seconds=20)}


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

    monkeypatch.setattr("platforms.ledger.writing", breaks)

    assert bring_through(pump) == 2
    assert (states(), usage(north), LedgerEntry.objects.count()) == ([S.SENT] * 2, (0, 2), 2)


@pytest.mark.parametrize("make", [make_notice, make_command])
@pytest.mark.parametrize("ref", ["a\x00b", "half \ud800", "x" * 300])
def test_id_that_no_database_takes_makes_no_acceptance_uncertain(
    ref, make, north, gateway, fake, pump, monkeypatch
):
    make(north)
    monkeypatch.setattr(fake, "send", lambda *_args, **_named: Accepted(ref=ref, parts=1))

    bring_through(pump)

    assert (states(), usage(north)) == ([S.SENT], (0, 1))


@pytest.mark.parametrize("make", [make_notice, make_command])
def test_words_that_no_database_takes_settle_all_the_same(make, north, gateway, fake, pump):
    make(north)
    fake.script = [unknown(detail="\x00 and \ud800")]

    bring_through(pump)

    assert (states(), usage(north)) == ([S.UNKNOWN], (0, 1))
    gateway.refresh_from_db()
    assert gateway.last_error


def test_health_that_cannot_be_written_costs_no_settlement(north, gateway, fake, pump, monkeypatch):
    make_notice(north)

    def breaks(*_args, **_named):
        raise KeyError("a bug")

    monkeypatch.setattr("sms.services.gateways.note_success", breaks)

    assert (bring_through(pump), states()) == (1, [S.SENT])


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


@pytest.mark.parametrize("make", [make_notice, make_command])
@pytest.mark.parametrize("step", ["carry", "settle"])
def test_fault_of_ours_costs_no_sender(make, step, north, gateway, fake, pump, monkeypatch):
    make(north)
    worker = Worker(pump, threads=2, poll_s=0.01, stop=threading.Event())
    claim = worker.pump.take(1).claims[0]
    free = worker._places()

    def breaks(_what):
        raise KeyError("a bug")

    monkeypatch.setattr(pump, step, breaks)
    monkeypatch.setattr("sms.worker.close_old_connections", lambda: None)  # the test's own
    worker._guarded(worker._bring_through, claim)

    assert worker._places() == free + 1
    assert pump.turns.take_many(1, lambda: [north.pk], look=True) == {north.pk: 1}
    worker._listener.close()
