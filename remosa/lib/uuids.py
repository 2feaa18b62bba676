"""UUIDs that sort in the order in which one process made them: version 7 of RFC 9562."""

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0  # milliseconds and a counter of 12 bits below them


def time_ordered_uuid() -> uuid.UUID:
    """A new UUID, greater than every one that this process made before, whatever the clock does."""
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1_000_000 << 12)
        stamp, counter = _last >> 12, _last & 0xFFF
    number = (stamp & (1 << 48) - 1) << 80 | 7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=number)
