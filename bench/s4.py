"""S4: rendering a round in the poller, per device, against a custom collector of prometheus_client."""

import time
import zlib
from dataclasses import dataclass
from typing import Any

from bench.harness import Goal, Outcome, alternate, exponent, project_on

GOAL = Goal(1 / 20, at_most=True)
SIZES = (10_000, 100_000)
CHANGED = 100  # one row of so many changes between two rounds
REPEATS = 5


@dataclass
class Row:
    external_id: str
    device_name: str
    status: str
    facts: dict[str, Any]
    is_changed: bool = False


def measure(count: int) -> tuple[float, float, float]:
    """Microseconds per device: ours, the collector's, and gzip of the body."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import GaugeMetricFamily

    from bench._fleet import macs
    from exporters.exposition import SHAPES, DeviceRow, families_of, render_each
    from exporters.fragments import FragmentCache

    rows = [
        Row(
            mac,
            mac,
            "online",
            {"name": f"Player {n}", "ip": f"10.0.{n >> 8 & 255}.{n & 255}", "outip": "198.51.100.7"},
        )
        for n, mac in enumerate(macs(count))
    ]
    shape, cache = SHAPES["cubic"], FragmentCache()
    turn = iter(range(10**9))

    def ours() -> str:
        start = next(turn) % CHANGED
        for row in rows[start::CHANGED]:
            row.is_changed, row.status = True, "offline" if row.status == "online" else "online"
        found = cache.families(
            1, rows, version="1", shape="cubic", names=families_of(shape),
            render=lambda some: render_each(
                shape, [DeviceRow(r.external_id, r.status, r.facts) for r in some], platform_id=1, exporter_id=2
            ),
        )  # fmt: skip
        cache.note(1, "1")
        for row in rows[start::CHANGED]:
            row.is_changed = False
        return "".join(map("".join, found.values()))

    class Collector:
        def collect(self) -> Any:
            ids = ["platform_id", "exporter_id", "mac"]
            status = GaugeMetricFamily("remosa_exporter_cubic_device_status", "status", labels=ids)
            info = GaugeMetricFamily(
                "remosa_exporter_cubic_device_info", "facts", labels=[*ids, "name", "ip", "outip"]
            )
            for row in rows:
                own = ["1", "2", row.external_id]
                status.add_metric(own, float(row.status == "online"))
                info.add_metric([*own, row.facts["name"], row.facts["ip"], row.facts["outip"]], 1)
            return [status, info]

    registry = CollectorRegistry()
    registry.register(Collector())
    mine, peer = alternate(ours, lambda: generate_latest(registry), repeats=REPEATS, warm_up=1)
    body = ours().encode()
    started = time.perf_counter()
    zlib.compress(body, 6)
    packed = time.perf_counter() - started
    return tuple(1e6 * seconds / count for seconds in (mine, peer, packed))  # type: ignore[return-value]


def run() -> Outcome:
    with project_on("sqlite://:memory:"):
        small, large = (measure(count) for count in SIZES)
    power = exponent(small[0] * SIZES[0], large[0] * SIZES[1], growth=SIZES[1] / SIZES[0])
    details = {
        "us_per_device": round(large[0], 3), "collector_us": round(large[1], 2), "gzip_us": round(large[2], 2),
        "exponent": round(power, 2), "changed": f"1 of {CHANGED}",
    }  # fmt: skip
    return Outcome(large[0] / large[1], details)
