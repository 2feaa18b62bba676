"""O1: from the commit of a request to the first byte of its SMS, in an idle outbox on PostgreSQL, p50.

The peer is a plain django-q2 task with the ORM broker (poll 0.2 s) on the same database: from enqueue to its
start. Beside both, a bare SKIP LOCKED loop with NOTIFY, which does neither guards nor journal. In turns.
"""

import random
import statistics
import time

from bench import _outbox as lab
from bench.harness import Goal, Outcome, log, postgres, project_on

GOAL = Goal(bound=1 / 20, at_most=True)
SAMPLES = 40


def run() -> Outcome:
    with postgres() as url, project_on(url, Q_WORKERS="2"):
        ear, platform, line, dice = lab.Ear(), lab.prepare(), lab.bare_line(url), random.Random(1)
        asks = {
            "outbox": lambda: lab.ask_outbox(platform), "django_q2": lab.ask_queue,
            "skip_locked": lambda: lab.ask_bare(line),
        }  # fmt: skip
        waits: dict[str, list[float]] = {name: [] for name in asks}
        with lab.outbox(), lab.queue(), lab.skip_locked(url):
            lab.ask_queue()
            ear.hear(1)  # the queue is there
            for number in range(SAMPLES + 3):
                for name, ask in asks.items():
                    time.sleep(dice.uniform(0.05, 0.25))  # idle, and at any moment of a poll
                    key = ask()
                    asked = time.monotonic()
                    waited = ear.hear(1)[key] - asked
                    if number >= 3:
                        waits[name].append(max(0.0, waited))
                if number % 20 == 0:
                    log(f"O1: {number}")
        line.close()
    p50 = {name: statistics.median(times) for name, times in waits.items()}
    details: dict[str, float | str] = {f"{name}_p50_ms": seconds * 1000 for name, seconds in p50.items()}
    details |= {f"{name}_max_ms": max(times) * 1000 for name, times in waits.items()}
    return Outcome(p50["outbox"] / p50["django_q2"], details)
