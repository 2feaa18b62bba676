"""How long to wait before another try. Pure: the caller brings the random number and keeps the count."""

from datetime import timedelta

DOUBLINGS = 32  # further doubling changes nothing under any sane cap and would overflow a float


def backoff(attempts: int, *, base_s: float = 2.0, cap_s: float = 60.0, jitter: float) -> timedelta:
    """The wait after ``attempts`` (>= 1) failed tries: full jitter below a bound doubling up to ``cap_s``.

    ``jitter`` in [0, 1) is the caller's random number; spreading over the whole interval keeps
    devices that failed together from coming back together.
    """
    if attempts < 1:
        raise ValueError(f"attempts must be 1 or more, not {attempts}.")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter must be in [0, 1), not {jitter}.")
    ceiling_s = min(cap_s, base_s * 2 ** min(attempts - 1, DOUBLINGS))
    return timedelta(seconds=ceiling_s * jitter)
