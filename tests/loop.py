"""The whole loop in one process: the real poller, jobs, outbox and inbox against the simulator.

The queue runs its tasks at once (`sync`), everything else is the product's own code over real HTTP
on loopback. One ``turn`` is one round of each process; the simulator's clock is the real one.
"""

import time
from collections.abc import Callable
from typing import Any

from django.core.management import call_command

from automation.models import Case, Job
from automation.services.sweep import sweep
from exporters.models import Exporter
from platforms.models import Platform
from remosa.demo import seed
from remosa.lib.clock import utcnow
from remosa.simulator.thread import SimulatorThread
from sms.models import Gateway
from sms.outbox import Pump
from sms.services.inboxes import read_inbox


class Loop:
    """One platform of the demo fleet, and its simulator."""

    def __init__(self, simulator: SimulatorThread, *, minute_s: float) -> None:
        self.simulator, self.minute_s = simulator, minute_s
        self.platform: Platform = seed(simulator_url=simulator.base_url, minute_s=minute_s)
        Job.objects.filter(platform=self.platform).update(hold_s=minute_s, stable_s=2 * minute_s)
        self.pump = Pump(owner="loop")

    def turn(self) -> None:
        """Poll, judge, send, read: each once."""
        Exporter.objects.update(next_poll_at=None)
        call_command("poll", once=True)
        self.pump.drain()
        for gateway in Gateway.objects.filter(platform=self.platform):
            read_inbox(gateway)
        sweep(now=utcnow())

    def until(self, done: Callable[[], Any], *, what: str, deadline_s: float = 90.0) -> Any:
        """Turn until ``done`` gives something; AssertionError with what is known when it never does."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            self.turn()
            if found := done():
                return found
        raise AssertionError(f"not in {deadline_s} s: {what}; {self.report()}")

    def turns(self, number: int) -> None:
        """A fixed number of rounds."""
        for _turn in range(number):
            self.turn()

    def report(self) -> str:
        """The cases and what was said of them, for a failing test."""
        lines = []
        for case in Case.objects.all():
            events = [(event.kind, event.data) for event in case.events.all()]
            lines.append(f"{case.kind} {case.title} {case.state} {case.outcome}: {events}")
        return "\n".join(lines) or "no case"
