"""Wall time that jumps is noticed."""

from datetime import timedelta

import pytest

from remosa.lib.clock import JumpDetector, utcnow


class Clocks:
    """Two clocks that a test moves by hand, in seconds."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_700_000_000.0, 50.0

    def pass_(self, wall: float, really: float) -> None:
        self.wall += wall
        self.monotonic += really


def detector(clocks: Clocks) -> JumpDetector:
    return JumpDetector(wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)


def test_utcnow_is_aware_and_in_utc() -> None:
    assert utcnow().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("wall", "really", "jumped"),
    [
        (60, 60, False),
        (64.9, 60, False),
        (55.1, 60, False),
        (66, 60, True),  # set forward, or the machine slept
        (54, 60, True),
        (-0.5, 1, True),  # backwards is never all right
        (3600, 0, True),
    ],
)
def test_a_jump_is_wall_time_that_did_not_pass(wall: float, really: float, jumped: bool) -> None:
    clocks = Clocks()
    watched = detector(clocks)

    clocks.pass_(wall, really)

    assert watched.jumped() is jumped
    assert watched.drift_s == pytest.approx(wall - really)


def test_after_a_jump_the_new_time_is_the_normal_one() -> None:
    clocks = Clocks()
    watched = detector(clocks)
    clocks.pass_(3600, 1)
    watched.jumped()

    clocks.pass_(10, 10)

    assert watched.jumped() is False
