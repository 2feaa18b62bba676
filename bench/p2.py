"""P2: CPU of a whole round (fetch, parse, store, render, gzip) per 1,000 devices, against the predecessor's way.

The predecessor asked with ``requests`` from ten threads, a new connection for each player, and wrote a row of
SQLite for each. blackbox_exporter's probe of the same address is the second peer: at most a fifth of it.
"""

import asyncio
import json
import sqlite3
import subprocess
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from bench.harness import Goal, NotRun, Outcome, exponent, postgres, project_on

GOAL = Goal(1 / 16, at_most=True)
SIZES = (1_000, 10_000)
PEER = 500
REPEATS = 3
BLACKBOX = 1 / 5


def ours(exporter: Any) -> float:
    from bench._fleet import cpu_s
    from exporters.management.commands.poll import fast_loop, poll_once
    from exporters.models import Exporter
    from exporters.polling import Pace

    Exporter.objects.filter(pk=exporter.pk).update(next_poll_at=None)
    before = cpu_s()
    with asyncio.Runner(loop_factory=fast_loop) as runner:
        (done,) = runner.run(poll_once(Pace(), [exporter.pk]))
    if done.stored is None or done.stored.unknown:
        raise NotRun(f"a round went wrong: {done.stored and done.stored.errors}")
    return cpu_s() - before


def predecessor(base_url: str, ids: list[str], file: str) -> float:
    import requests
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    from bench._fleet import cpu_s

    def ask(mac: str) -> dict[str, Any]:
        answer = requests.get(f"{base_url}/api/v0.1/players/status-check", params={"mac": mac}, timeout=15)
        found: dict[str, Any] = answer.json()[0]
        with sqlite3.connect(file, timeout=30) as db:
            db.execute("REPLACE INTO device VALUES (?, ?)", (mac, json.dumps(found)))
        db.close()
        return found

    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE IF NOT EXISTS device (mac TEXT PRIMARY KEY, facts TEXT)")
    db.close()
    before = cpu_s()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, ids))
    registry = CollectorRegistry()
    status = Gauge("status", "status", ["mac"], registry=registry)
    for mac, found in zip(ids, answers, strict=True):
        status.labels(mac).set(found["status"] == "online")
    generate_latest(registry)
    return cpu_s() - before


def blackbox(base_url: str, count: int) -> float:
    """CPU seconds of the exporter's own process for so many probes."""
    from bench._fleet import need
    from tests.servers.ports import free_port

    binary, port = need("prometheus-blackbox-exporter", "prometheus-blackbox-exporter"), free_port()
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "blackbox.yml"
        config.write_text("modules: {http_2xx: {prober: http, timeout: 5s}}\n")
        command = [
            binary,
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
        child = subprocess.Popen(command, env={"GOMAXPROCS": "1"})
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            probe = f"http://127.0.0.1:{port}/probe?module=http_2xx&target={base_url}/"
            for _try in range(100):
                try:
                    opener.open(probe, timeout=5).read()
                    break
                except OSError:
                    child.poll()
                    asyncio.run(asyncio.sleep(0.1))
            before = _cpu_of(child.pid)
            for _number in range(count):
                if b"probe_success 1" not in opener.open(probe, timeout=5).read():
                    raise NotRun("blackbox_exporter's probe failed")
            return _cpu_of(child.pid) - before
        finally:
            child.terminate()
            child.wait(10)


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run() -> Outcome:
    from bench._fleet import cms, macs, make_fleet

    mine: dict[int, list[float]] = {count: [] for count in SIZES}
    before, probes = [], []
    with postgres() as url, project_on(url, EGRESS_ALLOW="127.0.0.0/8"), cms(0.0) as base_url:
        fleets = {
            count: make_fleet(count, base_url=base_url, concurrency=64, interval_s=600) for count in SIZES
        }
        with tempfile.TemporaryDirectory() as name:
            for fleet in fleets.values():
                ours(fleet)  # the first round writes every row
            for _ in range(REPEATS):
                for count in SIZES:
                    mine[count].append(1000 * ours(fleets[count]) / count)
                before.append(1000 * predecessor(base_url, macs(PEER), f"{name}/cache.sqlite3") / PEER)
                probes.append(1000 * blackbox(base_url, PEER) / PEER)
    small, large = (median(mine[count]) for count in SIZES)
    to_blackbox = large / median(probes)
    details = {
        "cpu_s_per_1000": round(large, 4), "predecessor": round(median(before), 3),
        "blackbox": round(median(probes), 3),
        "to_blackbox": round(to_blackbox, 3), "cpu_s_of_1000": round(small, 4),
        "exponent": round(exponent(small * SIZES[0], large * SIZES[1], growth=SIZES[1] / SIZES[0]), 2),
    }  # fmt: skip
    broken = "" if to_blackbox <= BLACKBOX else f"{to_blackbox:.2f} of blackbox_exporter, goal <={BLACKBOX}"
    return Outcome(large / median(before), details, broken=broken)
