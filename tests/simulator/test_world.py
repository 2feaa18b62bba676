"""The world: hung players come back only by a power cycle; the radio carries, loses and doubles SMS."""

from datetime import UTC, datetime

import pytest

from remosa.simulator.fleet import demo_fleet
from remosa.simulator.world import HABITS, NotNow, Stranger

FLEET = demo_fleet()
SOCKET = FLEET.sockets[0]
A, B, C = FLEET.players_of(SOCKET.msisdn)
TWO_LINES = next(socket for socket in FLEET.sockets if socket.model == "D410")
FAULTLESS_ARRIVAL_S = 0.05 * 60 * 1.5  # the longest an SMS takes one way without faults
CYCLE_1_MIN = "#12#0#1#1#"


def states(world, *players):
    world.advance()
    return [world.players[player.id].state for player in players]


def texts(world):
    return [message.text for message in world.read_inbox()]


def test_hung_player_stays_hung_until_its_power_cycles(world, clock):
    world.hang(A.id)
    clock.now += 3600
    before = states(world, A, B, C)

    world.accept_sms(SOCKET.msisdn, CYCLE_1_MIN)
    clock.now += FAULTLESS_ARRIVAL_S
    while_off = states(world, A, B, C)
    clock.now += 60
    while_booting = states(world, A, B, C)
    clock.now += 120

    assert before == ["hung", "up", "up"]
    assert while_off == ["dark"] * 3
    assert while_booting == ["booting"] * 3
    assert states(world, A, B, C) == ["up"] * 3


def test_power_on_alone_does_not_heal_a_hung_player(world, clock):
    world.hang(A.id)

    world.accept_sms(SOCKET.msisdn, "#01#0#")
    clock.now += 600

    assert states(world, A, B) == ["hung", "up"]


def test_cycle_is_answered_once_and_its_end_is_silent(world, clock):
    world.accept_sms(SOCKET.msisdn, CYCLE_1_MIN)
    clock.now += 600

    assert texts(world) == ["OUT1 OFF 1 MIN"]
    assert texts(world) == []


def test_cycle_end_is_announced_when_the_socket_is_set_so(make_world, clock):
    world = make_world(habits=type(HABITS)(hangs=False, announces_return=True))

    world.accept_sms(SOCKET.msisdn, CYCLE_1_MIN)
    clock.now += 600

    assert texts(world) == ["OUT1 OFF 1 MIN", "OUT1 ON"]


def test_line_of_a_two_line_socket_touches_only_its_players(world, clock):
    world.accept_sms(TWO_LINES.msisdn, "#02#2#")
    clock.now += FAULTLESS_ARRIVAL_S

    assert states(world, *FLEET.players_of(TWO_LINES.msisdn, 1)) == ["up", "up"]
    assert states(world, *FLEET.players_of(TWO_LINES.msisdn, 2)) == ["dark"]


def test_armed_delayed_on_survives_the_off_that_follows(world, clock):
    player = FLEET.players_of(TWO_LINES.msisdn, 2)[0]
    world.accept_sms(TWO_LINES.msisdn, "#11#2#1#3#")
    clock.now += FAULTLESS_ARRIVAL_S
    world.accept_sms(TWO_LINES.msisdn, "#02#2#")
    clock.now += FAULTLESS_ARRIVAL_S
    dark = states(world, player)

    clock.now += 180

    assert (dark, states(world, player)) == (["dark"], ["booting"])


def test_cancelled_delay_leaves_the_line_off(world, clock):
    for text in ("#11#2#1#3#", "#02#2#", "#11#0#"):
        world.accept_sms(TWO_LINES.msisdn, text)
        clock.now += FAULTLESS_ARRIVAL_S

    clock.now += 3600

    assert states(world, *FLEET.players_of(TWO_LINES.msisdn, 2)) == ["dark"]


def test_second_cycle_replaces_the_restore_of_the_first(world, clock):
    world.accept_sms(SOCKET.msisdn, "#12#0#1#1#")
    clock.now += FAULTLESS_ARRIVAL_S
    world.accept_sms(SOCKET.msisdn, "#12#0#10#1#")
    clock.now += FAULTLESS_ARRIVAL_S + 120
    still_dark = states(world, A)

    clock.now += 11 * 60

    assert (still_dark, states(world, A)) == (["dark"], ["up"])


def test_power_cut_during_boot_starts_the_boot_again(world, clock):
    world.set_mains(SOCKET.msisdn, False)
    world.set_mains(SOCKET.msisdn, True)
    clock.now += 60
    world.set_mains(SOCKET.msisdn, False)
    world.set_mains(SOCKET.msisdn, True)
    clock.now += 60  # 120 s after the first start, 60 s after the second

    assert states(world, A) == ["booting"]


def test_lost_mains_darkens_the_players_and_is_reported(world, clock):
    world.set_mains(SOCKET.msisdn, False)
    clock.now += FAULTLESS_ARRIVAL_S

    assert states(world, A, B, C) == ["dark"] * 3
    assert texts(world) == ["MAINS LOST"]


def test_sms_of_a_stranger_changes_nothing_and_answers_not_to_us(world, clock):
    world.accept_sms(SOCKET.msisdn, "#02#0#", sender="+79000000777")
    clock.now += 600

    assert states(world, A) == ["up"]
    assert texts(world) == []


def test_socket_that_does_not_know_us_says_so(world, clock):
    world.set_admin(SOCKET.msisdn, "+79000000777")

    world.accept_sms(SOCKET.msisdn, "#02#0#")
    clock.now += 600

    assert (states(world, A), texts(world)) == (["up"], ["ERR NOT ADMIN"])


def test_ledger_keeps_every_accepted_sms_even_a_lost_one(world, clock):
    world.change_faults({"sms_loss_ratio": 1})

    world.accept_sms(SOCKET.msisdn, "#02#0#")
    clock.now += 600

    entry = world.ledger()[0]
    assert (entry.n, entry.number, entry.text, entry.copies) == (1, SOCKET.msisdn, "#02#0#", 0)
    assert states(world, A) == ["up"]


def test_duplicated_sms_is_obeyed_and_answered_twice(world, clock):
    world.change_faults({"sms_duplicate_ratio": 1})

    world.accept_sms(SOCKET.msisdn, "#07#")
    clock.now += 600

    assert len(texts(world)) == 2
    assert len(world.ledger()) == 1


def test_lost_reply_hides_what_was_done(world, clock):
    world.change_faults({"reply_loss_ratio": 1})

    world.accept_sms(SOCKET.msisdn, "#02#0#")
    clock.now += 600

    assert (states(world, A), texts(world)) == (["dark"], [])


def test_late_reply_comes_after_the_reply_wait(world, clock):
    world.change_faults({"reply_late_ratio": 1})
    world.accept_sms(SOCKET.msisdn, "#07#")
    clock.now += 180
    early = texts(world)

    clock.now += 600

    assert early == []
    assert len(texts(world)) == 1


def test_messages_to_one_socket_arrive_in_order(world, clock):
    for minutes in range(1, 21):
        world.accept_sms(SOCKET.msisdn, f"#12#0#{minutes}#1#")
    clock.now += 60

    assert texts(world) == [f"OUT1 OFF {minutes} MIN" for minutes in range(1, 21)]


def test_reordered_messages_arrive_out_of_order_and_complete(world, clock):
    world.change_faults({"sms_reorder_ratio": 0.5})
    sent = [f"OUT1 OFF {minutes} MIN" for minutes in range(1, 21)]
    for minutes in range(1, 21):
        world.accept_sms(SOCKET.msisdn, f"#12#0#{minutes}#1#")
    clock.now += 600

    arrived = texts(world)

    assert arrived != sent
    assert sorted(arrived) == sorted(sent)


def test_last_online_is_the_moment_it_was_last_up(world, clock):
    clock.now += 30
    world.hang(A.id)
    clock.now += 600

    assert world.last_online_at(A.id) == datetime(2025, 7, 7, 9, 0, 30, tzinfo=UTC)
    assert world.last_online_at(B.id) == datetime(2025, 7, 7, 9, 10, 30, tzinfo=UTC)


def test_hang_refuses_strangers_and_the_already_hung(world):
    world.hang(A.id)

    with pytest.raises(NotNow, match="hung"):
        world.hang(A.id)
    with pytest.raises(Stranger, match="no player 'nobody'"):
        world.hang("nobody")


def test_recovered_player_comes_back_without_a_cycle(world):
    world.hang(A.id)

    world.recover(A.id)

    assert states(world, A) == ["up"]


def test_first_hang_comes_soon_and_hits_one_player_of_a_d210(make_world, clock):
    world = make_world(habits=HABITS, minute_s=2.0)
    clock.now += 20

    hung = world.describe()["not_up"]

    assert len(hung) == 1
    assert FLEET.sockets_by_msisdn[FLEET.players_by_id[hung[0]].socket].model == "D210"


def repaired_hangs(world, clock, *, seconds):
    """Play ``seconds``, repairing each hung player after 40 s; the ids in the order of hanging."""
    hung_at, order = {}, []
    for second in range(seconds):
        clock.now += 1
        world.advance()
        for player_id in [p.spec.id for p in world.players.values() if p.state == "hung"]:
            if player_id not in hung_at:
                order.append(player_id)
            if second - hung_at.setdefault(player_id, second) >= 40:
                world.recover(player_id)
                del hung_at[player_id]
    return order


def test_hangs_repeat_about_every_ninety_seconds_and_visit_every_socket(make_world, clock):
    world = make_world(habits=HABITS, minute_s=2.0)

    hung = repaired_hangs(world, clock, seconds=90 * 16)

    sockets = [FLEET.players_by_id[player_id].socket for player_id in hung]
    assert 12 <= len(hung) <= 22
    assert len(set(sockets[:16])) == len(sockets[:16])


def test_unrepaired_hangs_stop_at_two_of_different_sites_and_cms(make_world, clock):
    world = make_world(habits=HABITS, minute_s=2.0)
    clock.now += 3600

    world.advance()

    hung = [p.spec for p in world.players.values() if p.state == "hung"]
    assert len(hung) == len({p.site for p in hung}) == len({p.cms for p in hung}) == 2


def test_same_seed_tells_the_same_story(make_world, clock):
    first, second, other = (make_world(habits=HABITS, seed=seed) for seed in (7, 7, 8))
    clock.now += 24 * 3600

    assert first.describe()["not_up"] == second.describe()["not_up"]
    assert first.describe()["not_up"] != other.describe()["not_up"]


def test_let_hang_stops_and_starts_the_hangs(make_world, clock):
    world = make_world(habits=HABITS)
    world.let_hang(False)
    clock.now += 24 * 3600
    calm = world.describe()["not_up"]

    world.let_hang(True)
    clock.now += 24 * 3600

    assert (calm, len(world.describe()["not_up"])) == ([], 2)


def test_let_hang_starts_them_in_a_quiet_world(world, clock):
    world.let_hang(True)
    clock.now += 8 * 60

    assert len(world.describe()["not_up"]) == 1
