"""REMOSA's doubt in itself: a late evaluator and a clock that jumped suspend automation for a while.

Both make evidence, pauses and deadlines worth less than they look. People may act all the same.
"""

import time
from datetime import datetime

from automation.engine import SETTLE, Lapse, lapse
from automation.models import Heartbeat
from devices.services import clamp_future

SWEEP = "sweep"


def uptime() -> tuple[float, str]:
    """Seconds that no clock setting changes, and the boot of the machine to which they belong."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()[:36]
    except OSError:
        boot = ""
    return time.clock_gettime(clock), boot


def beat(*, now: datetime, uptime_s: float | None = None, boot: str = "") -> Lapse | None:
    """Note that the evaluator is at work; the lapse that suspends automation from now on, if there is one."""
    last = Heartbeat.objects.filter(name=SWEEP).first()
    found = None
    if last is not None:
        same_boot = bool(boot) and boot == last.boot
        before = last.uptime_s if same_boot else None
        found = lapse(since=last.at, now=now, uptime_before=before, uptime_now=uptime_s)
    in_doubt = {}
    if found is not None and last is not None and not _stands(last, found, now=now):
        in_doubt = {"doubt_reason": found.reason, "doubt_until": found.until}
    if last is not None and now < last.at:
        clamp_future(now)
    Heartbeat.objects.update_or_create(
        name=SWEEP, defaults={"at": now, "uptime_s": uptime_s, "boot": boot, **in_doubt}
    )
    return found


def _stands(last: Heartbeat, found: Lapse, *, now: datetime) -> bool:
    """Whether an earlier doubt lasts longer; one that lies too far ahead was written by a wrong clock."""
    return last.doubt_until is not None and found.until < last.doubt_until <= now + SETTLE


def doubt(*, now: datetime) -> Lapse | None:
    """Why automation is suspended just now; None when REMOSA trusts itself."""
    last = Heartbeat.objects.filter(name=SWEEP).first()
    if last is None:
        return None  # a fresh start: jobs learn their hold anew in any case
    current = lapse(since=last.at, now=now, uptime_before=None, uptime_now=None)
    if current is not None:
        return current
    if last.doubt_until is not None and now < last.doubt_until:
        return Lapse(last.doubt_reason, last.doubt_until)
    return None
