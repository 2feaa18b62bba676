"""Many real processes that ask for SMS at a limit, each request twice, as an impatient client does.

``quota_child.py PROCESSES REQUESTS LIMIT`` makes a platform in a migrated database, starts the processes together and
prints: granted, reserved, used, reservations.
"""

import multiprocessing
import os
import sys
import uuid
from typing import Any

import django

django.setup()

from django.db import connections  # noqa: E402

from platforms import quotas  # noqa: E402
from platforms.errors import QuotaExceeded  # noqa: E402
from platforms.models import Platform, QuotaReservation, Usage  # noqa: E402
from tests.factories import NOW, make_platform  # noqa: E402


def ask(platform_id: int, first: int, count: int, start: Any, answers: Any) -> None:
    """Ask for the keys ``first`` … ``first + count - 1``, twice each; every second one is settled, twice."""
    platform, granted = Platform.objects.get(pk=platform_id), 0
    start.wait(timeout=120)
    for number in range(first, first + count):
        key = uuid.UUID(int=number)
        outcomes = [reserve(platform, key) for _twice in range(2)]
        granted += any(outcomes)
        if outcomes[0] and number % 2:
            quotas.settle(key=key, spent=True)
            quotas.settle(key=key, spent=True)
    answers.put((os.getpid(), granted))


def reserve(platform: Platform, key: uuid.UUID) -> bool:
    """Whether one part was granted."""
    try:
        quotas.reserve(platform=platform, kind=quotas.SMS, units=1, key=key, at=NOW, for_people=True)
    except QuotaExceeded:
        return False
    return True


def main(processes: int, requests: int, limit: int) -> None:
    """See the head of the module."""
    platform = make_platform("crowd", sms_limit=limit, time_zone="UTC")
    connections.close_all()  # a child must not use its parent's
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(processes), fork.Queue()
    children = [
        fork.Process(
            target=ask, args=(platform.pk, 1 + number * requests, requests, start, answers), daemon=True
        )
        for number in range(processes)
    ]
    for child in children:
        child.start()
    found = [answers.get(timeout=240) for _child in children]
    for child in children:
        child.join(timeout=30)
    assert len({pid for pid, _granted in found}) == processes
    usage = Usage.objects.get(kind=quotas.SMS)
    granted = sum(number for _pid, number in found)
    print(granted, usage.reserved, usage.used, QuotaReservation.objects.count())


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
