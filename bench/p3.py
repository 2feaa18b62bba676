"""P3: 100,000 devices a minute: the share of a core that the poller takes, and its memory over the rounds."""

import resource
from pathlib import Path

from bench.harness import Goal, NotRun, Outcome, exponent, log, postgres, project_on

GOAL = Goal(0.3, at_most=True)
SIZES = (10_000, 100_000)
ROUNDS = 10
FILLED = 4  # the round after which all is there that a process keeps
FLAT = 1.05
MOST_MB = 300
PERIOD_S = 60


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def rounds(count: int, base_url: str) -> list[tuple[float, float]]:
    """(CPU seconds, memory afterwards) of each whole round: fetch, parse, store, render, gzip."""
    import asyncio

    from bench._fleet import cpu_s, make_fleet
    from exporters.management.commands.poll import fast_loop
    from exporters.models import Exporter
    from exporters.polling import Pace, open_loop

    exporter = make_fleet(count, base_url=base_url, concurrency=64, interval_s=600)

    def make_due() -> None:
        Exporter.objects.filter(pk=exporter.pk).update(next_poll_at=None)

    async def whole() -> list[tuple[float, float]]:
        found = []
        async with open_loop(Pace()) as loop:  # one for all rounds, as in the process
            for number in range(ROUNDS):
                await loop.results(make_due)
                before = cpu_s()
                (done,) = await loop.run_once(only=[exporter.pk])
                if done.stored is None or done.stored.online != count:
                    raise NotRun(f"a round went wrong: {done.stored and done.stored.errors}")
                found.append((cpu_s() - before, rss_mb()))
                log(f"P3 {count} devices, round {number}: {found[-1][0]:.1f} CPU s, {found[-1][1]:.0f} MB")
        return found

    with asyncio.Runner(loop_factory=fast_loop) as runner:
        return runner.run(whole())


def run() -> Outcome:
    from bench._fleet import cms

    with postgres() as url, project_on(url, EGRESS_ALLOW="127.0.0.0/8"), cms(0.0) as base_url:
        small, large = (rounds(count, base_url) for count in SIZES)
    cpu = min(used for used, _memory in large[1:])
    memory = [megabytes for _used, megabytes in large]
    broken = []
    if max(memory) > MOST_MB:
        broken.append(f"{max(memory):.0f} MB")
    if memory[-1] > FLAT * memory[FILLED]:
        broken.append("memory grows")
    power = exponent(min(used for used, _memory in small[1:]), cpu, growth=SIZES[1] / SIZES[0])
    details = {
        "cpu_s_per_round": round(cpu, 2), "mb": [round(one) for one in memory],
        "first_round_cpu_s": round(large[0][0], 2), "exponent": round(power, 2),
    }  # fmt: skip
    return Outcome(cpu / PERIOD_S, details, broken=", ".join(broken))
