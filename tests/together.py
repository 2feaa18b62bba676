"""Do the same thing from several threads at the same moment, each with its own database connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

Result = TypeVar("Result")


def together(count: int, work: Callable[[int], Result]) -> list[Result | Exception]:
    """``work(number)`` in ``count`` threads that start as one; what each returned or raised, in order."""
    start = threading.Barrier(count)

    def run(number: int) -> Result | Exception:
        start.wait(timeout=30)
        try:
            return work(number)
        except Exception as exc:
            return exc
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
