"""The wait grows, is capped, and is spread by the caller's random number."""

from datetime import timedelta

import pytest

from remosa.lib.backoff import backoff

ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("attempts", "at_most_s"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (10_000, 60)]
)
def test_the_bound_doubles_up_to_the_cap(attempts: int, at_most_s: int) -> None:
    assert backoff(attempts, jitter=ALMOST_ONE) == timedelta(seconds=at_most_s)


def test_jitter_spreads_over_the_whole_interval() -> None:
    assert backoff(3, jitter=0.0) == timedelta(0)
    assert backoff(3, jitter=0.25) == timedelta(seconds=2)


def test_base_and_cap_can_be_chosen() -> None:
    assert backoff(4, base_s=1, cap_s=5, jitter=0.5) == timedelta(seconds=2.5)


@pytest.mark.parametrize(("attempts", "jitter"), [(0, 0.5), (-1, 0.5), (1, 1.0), (1, -0.1)])
def test_nonsense_is_refused(attempts: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        backoff(attempts, jitter=jitter)
