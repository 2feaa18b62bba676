"""O2: draining a full outbox on PostgreSQL, claim and barrier committed before each send.

Messages a second of one `manage.py outbox` against tasks a second of a plain django-q2 cluster (ORM broker,
``save_limit=-1``, two workers), from the first to the last that is sent. Beside both, a bare SKIP LOCKED loop
with the same three commits. At two sizes: the cost of one must not grow with the number that wait.
"""

import statistics

from bench import _outbox as lab
from bench.harness import Goal, Outcome, exponent, log, postgres, project_on

GOAL = Goal(bound=3.0, at_most=False)
SIZES, REPEATS = (150, 1500), 3


def run() -> Outcome:
    with postgres() as url, project_on(url, Q_WORKERS="2"):
        ear, platform, line = lab.Ear(), lab.prepare(), lab.bare_line(url)
        ways = {
            "outbox": (lambda: lab.ask_outbox(platform), lab.outbox),
            "django_q2": (lab.ask_queue, lab.queue),
            "skip_locked": (lambda: lab.ask_bare(line), lambda: lab.skip_locked(url)),
        }  # fmt: skip

        def drain(name: str, size: int) -> float:
            """Seconds for ``size`` of them, without the start of the process."""
            ask, start = ways[name]
            for _ in range(size):
                ask()
            with start():
                heard = sorted(ear.hear(size).values())
            return heard[-1] - heard[0]

        details: dict[str, float | str] = {}
        took: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(REPEATS):
            for name in ways:
                log(f"O2: {name}, {SIZES[0]}, {repeat + 1}/{REPEATS}")
                took[name].append(drain(name, SIZES[0]))
        rates = {name: (SIZES[0] - 1) / statistics.median(times) for name, times in took.items()}
        details |= {f"{name}_per_s": rate for name, rate in rates.items()}
        log(f"O2: outbox, {SIZES[1]}")
        large = drain("outbox", SIZES[1])
        details[f"outbox_per_s_of_{SIZES[1]}"] = (SIZES[1] - 1) / large
        details["exponent"] = exponent(statistics.median(took["outbox"]), large, growth=SIZES[1] / SIZES[0])
        line.close()
    return Outcome(rates["outbox"] / rates["django_q2"], details)
