"""Rates for the doors of machines that are no part of the API: who scrapes, who delivers alerts and reports."""

import time
from functools import lru_cache

from django.conf import settings
from django.core.cache import cache

PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@lru_cache
def parsed(rate: str) -> tuple[int, int]:
    """``600/min`` as (600, 60)."""
    number, _slash, period = rate.partition("/")
    return int(number), PERIODS[period[0]]


def wait_s(scope: str, caller: object) -> int:
    """Count one call; 0, or for how many seconds the caller has to wait."""
    most, period_s = parsed(settings.RATES[scope])
    now = time.time()
    window = int(now // period_s)
    key = f"rate:{scope}:{caller}:{window}"
    cache.add(key, 0, timeout=2 * period_s)
    if cache.incr(key) <= most:
        return 0
    return max(1, int((window + 1) * period_s - now))
