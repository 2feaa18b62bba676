"""Platforms take turns: a flood of one does not hold up the others."""

from collections import Counter
from datetime import timedelta

import pytest

from sms.models import SmsMessage
from sms.outbox import Pump
from sms.states import SmsState
from sms.turns import Turns
from tests.factories import NOW, make_platform
from tests.sms.fakes import make_fake, make_notice

FLOOD = 12


# --- the order alone -----------------------------------------------------------------------------------
def turns_of(waiting: list[int], clock, *, at_once: int | None = None):
    """``take()`` on a set of platforms that the test may change."""
    turns = Turns(monotonic=clock.monotonic, at_once=at_once)
    return turns, lambda look=False: next(iter(turns.take_many(1, lambda: list(waiting), look=look)), None)


def test_platforms_are_taken_in_turn(clock):
    turns, take = turns_of([1, 2, 3], clock)

    taken = []
    for _ in range(6):
        platform = take()
        taken.append(platform)
        turns.give_back(platform)

    assert taken == [1, 2, 3, 1, 2, 3]


def test_who_was_served_longest_ago_is_first_in_the_next_round(clock):
    turns, take = turns_of([1, 2], clock)
    for platform in (2, 1):
        clock.passes(timedelta(seconds=1))
        turns.served(platform)

    assert take() == 2


def test_platform_that_has_enough_on_its_way_is_passed_over(clock):
    turns, take = turns_of([1, 2], clock, at_once=1)
    first = take()

    assert (first, take(), take()) == (1, 2, None)
    turns.give_back(1)
    assert take(look=True) == 1


def test_newcomer_is_noticed_soon_though_another_never_ends(clock):
    waiting = [1]
    _turns, take = turns_of(waiting, clock)
    take()
    waiting.append(2)

    clock.passes(timedelta(seconds=0.2))

    assert {take(), take()} == {1, 2}


def test_places_are_shared_out_in_turn(clock):
    turns = Turns(monotonic=clock.monotonic, at_once=3)

    assert turns.take_many(4, lambda: [1, 2, 3], look=False) == {1: 2, 2: 1, 3: 1}
    assert turns.take_many(9, lambda: [], look=False) == {1: 1, 2: 2, 3: 2}
    assert turns.hold_back()


def test_who_was_heard_of_is_known_without_a_look(clock):
    turns, asked = Turns(monotonic=clock.monotonic), []
    turns.hears([7])

    assert turns.take_many(1, lambda: asked.append(1) or [], look=False) == {7: 1}
    turns.has_nothing(7)
    assert (turns.take_many(1, lambda: asked.append(1) or [], look=False), asked) == ({}, [1])


# --- in the outbox -------------------------------------------------------------------------------------
def order_of(fake) -> list[str]:
    """Whose messages left, one after the other."""
    names = dict(SmsMessage.objects.values_list("body", "platform__name"))
    return [names[body] for _gateway, _to, body in fake.sent]


def flood(platform, count=FLOOD, **over):
    return [make_notice(platform, body=f"{platform.name} {number}", **over) for number in range(count)]


@pytest.mark.databases
def test_message_behind_a_flood_is_the_second_to_leave(north, south, fake, pump):
    make_fake(None)
    flood(north)
    make_notice(south, body="south", now=NOW + timedelta(seconds=1))
    SmsMessage.objects.filter(platform=south).update(next_attempt_at=NOW)

    pump.drain()

    assert order_of(fake).index("south") <= 1
    assert Counter(order_of(fake)) == {"north": FLOOD, "south": 1}


@pytest.mark.databases
def test_flood_that_waits_for_the_rate_leaves_the_next_place_to_another(north, south, fake, pump, clock):
    make_fake(None, rate_per_minute=12)  # a place every 5.5 s, two at once after a pause
    flood(north, expires_at=NOW + timedelta(hours=1))
    pump.drain()
    clock.passes(timedelta(seconds=1))
    late = make_notice(south, body="south", now=clock.wall, expires_at=NOW + timedelta(hours=1))

    for _second in range(8):
        pump.drain()
        clock.passes(timedelta(seconds=1))

    late.refresh_from_db()
    assert late.state == SmsState.SENT
    assert late.sent_at - late.created_at <= timedelta(seconds=6)
    assert order_of(fake)[:3] == ["north", "north", "south"]


def test_floods_share_a_gateway_evenly_and_keep_its_rate(db, fake, pump, clock):
    make_fake(None, rate_per_minute=60)
    platforms = [make_platform(name) for name in ("a", "b", "c")]
    for size, platform in zip((24, 12, 8), platforms, strict=True):
        flood(platform, size, expires_at=NOW + timedelta(hours=1))

    for _second in range(12):
        pump.drain()
        clock.passes(timedelta(seconds=1))

    sent = Counter(order_of(fake))
    assert 18 <= sum(sent.values()) <= 10 + 12  # ten at once, then one each 1.2 s
    assert max(sent.values()) - min(sent[platform.name] for platform in platforms) <= 3


def test_order_within_a_platform_is_kept_while_it_waits_for_the_rate(north, fake, pump, clock):
    make_fake(north, rate_per_minute=60)
    messages = flood(north, 16, expires_at=NOW + timedelta(hours=1))
    for number, message in enumerate(messages):
        SmsMessage.objects.filter(pk=message.pk).update(created_at=NOW + timedelta(microseconds=number))

    for _second in range(12):
        pump.drain()
        clock.passes(timedelta(seconds=1))

    assert [body for _gateway, _to, body in fake.sent] == [message.body for message in messages]


def test_gateway_that_hangs_does_not_hold_the_sender_kept_for_others(north, south, fake, clock):
    make_fake(None)
    for platform in (north, north, south):
        make_notice(platform)
    pump = Pump("test", now=clock.now, monotonic=clock.monotonic, at_once=1)
    inside = []

    def hangs(_ref):
        fake.on_send = None
        inside.extend([pump.run_one(), pump.run_one()])  # while the first of north is on the wire

    fake.on_send = hangs
    pump.run_one()

    states = Counter(SmsMessage.objects.values_list("platform__name", "state"))
    assert inside == [True, False]
    assert states == {("north", "sent"): 1, ("north", "queued"): 1, ("south", "sent"): 1}
