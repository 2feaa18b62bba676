"""P1: polls per second of a CMS that answers after 50 ms, at 64 at once, against wrk."""

import time
from statistics import median

from bench.harness import Goal, Outcome, exponent, project_on

GOAL = Goal(0.95, at_most=False)
SIZES = (640, 6_400)
REPEATS = 3


def run() -> Outcome:
    from bench._fleet import cms, macs, poll_once, requests_per_s

    took: dict[int, list[float]] = {count: [] for count in SIZES}
    peer = []
    with project_on("sqlite://:memory:", EGRESS_ALLOW="127.0.0.0/8"), cms(0.05) as url:
        for _ in range(REPEATS):
            for count in SIZES:
                started = time.perf_counter()
                result = poll_once(url, macs(count))
                took[count].append(time.perf_counter() - started)
                if any(seen.status != "online" for seen in result.observations):
                    raise RuntimeError(dict(result.errors))
            peer.append(requests_per_s(f"{url}/", connections=64, seconds=4))
    small, large = (median(took[count]) for count in SIZES)
    rate = SIZES[1] / large
    power = exponent(small, large, growth=SIZES[1] / SIZES[0])
    return Outcome(
        rate / median(peer),
        {"per_s": round(rate), "wrk_per_s": round(median(peer)), "exponent": round(power, 2)},
    )
