"""REMOSA doubts itself: a late evaluator and a clock that jumped suspend automation, and say so."""

from datetime import datetime, timedelta

import pytest

from automation.engine import LEARN, SETTLE, Lapse, lapse
from automation.models import Heartbeat
from automation.services.health import beat, doubt, uptime
from devices.models import Device
from devices.services import record_reply
from tests.factories import NOW, make_device, make_platform, make_socket, minutes

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("passed_s", "truly_s", "reason"),
    [
        (60, 60, ""),
        (85, 60, ""),  # the clock was set right by less than half a minute
        (600, 600, "evaluator_late"),
        (3660, 60, "clock_jumped"),
        (-3540, 60, "clock_jumped"),
        (-3540, None, "clock_jumped"),
        (3660, None, "evaluator_late"),  # another boot: nobody can tell
    ],
)
def test_the_machines_own_time_tells_a_jump_from_an_absence(
    passed_s: float, truly_s: float | None, reason: str
) -> None:
    found = lapse(
        since=NOW, now=NOW + timedelta(seconds=passed_s), uptime_before=None if truly_s is None else 100.0,
        uptime_now=None if truly_s is None else 100.0 + truly_s,
    )  # fmt: skip

    assert (found.reason if found else "") == reason


def beats(*times: tuple[float, float]) -> datetime:
    """Beats at (minute of the clock, minute of the machine); the last time."""
    for clock, machine in times:
        beat(now=NOW + minutes(clock), uptime_s=machine * 60, boot="one")
    return NOW + minutes(times[-1][0])


def test_a_regular_beat_leaves_no_doubt(db: None) -> None:
    now = beats((0, 0), (1, 1), (2, 2))

    assert doubt(now=now + minutes(1)) is None


def test_a_silent_evaluator_is_in_doubt_before_it_beats_again(db: None) -> None:
    now = beats((0, 0), (1, 1))

    found = doubt(now=now + minutes(4))

    assert found is not None
    assert found.reason == "evaluator_late"


def test_after_an_absence_the_state_is_learned_first(db: None) -> None:
    back = beats((0, 0), (40, 40))
    beats((41, 41))

    assert doubt(now=back + minutes(1)) == Lapse("evaluator_late", back + LEARN)
    for minute in range(42, 52):
        beats((minute, minute))
    assert doubt(now=NOW + minutes(51)) is None


def test_a_jump_of_the_clock_and_back_leaves_an_hour_of_doubt_in_true_time(db: None) -> None:
    beats((0, 0), (1441, 1), (1442, 2))
    right = beats((3, 3))

    found = doubt(now=right)

    assert found == Lapse("clock_jumped", right + SETTLE), "not the day that the wrong clock had written"


def test_an_absence_does_not_shorten_the_doubt_after_a_jump(db: None) -> None:
    jumped = beats((0, 0), (61, 1))
    beats((66, 6))

    assert doubt(now=jumped + minutes(5)) == Lapse("clock_jumped", jumped + SETTLE)


def test_what_a_clock_ahead_wrote_down_does_not_outlive_it(db: None) -> None:
    device = make_device(make_platform())
    ahead = NOW + minutes(60)
    Device.objects.filter(pk=device.pk).update(state="offline", state_since=ahead, noted_at=ahead)
    Heartbeat.objects.create(name="sweep", at=ahead)

    beat(now=NOW)

    device.refresh_from_db()
    assert (device.observed_at, device.state_since) == (NOW, NOW)


def test_what_a_socket_said_while_the_clock_was_ahead_is_overtaken_by_what_it_says_next(db: None) -> None:
    socket, ahead = make_socket(make_platform()), NOW + minutes(60)
    record_reply(socket, text="MAINS LOST", at=ahead)
    Heartbeat.objects.create(name="sweep", at=ahead)

    beat(now=NOW)
    record_reply(socket, text="MAINS OK", at=NOW + minutes(1))

    socket.refresh_from_db()
    assert socket.facts["mains"] == "ok"
    assert socket.heard_at == NOW + minutes(1)


def test_the_machine_knows_its_uptime() -> None:
    first, boot = uptime()
    second, same = uptime()

    assert second >= first > 0
    assert boot == same
