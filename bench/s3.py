"""S3: ``/exporters/<id>/metrics`` of 10,000 devices against rows from the ORM and prometheus_client for each scrape."""

import gzip
import time
from typing import Any

from bench.harness import Goal, Outcome, alternate, exponent, postgres, project_on

GOAL = Goal(300, at_most=False)
SIZES = (1_000, 10_000)


def measure(count: int) -> tuple[float, float]:
    """Seconds of a scrape: ours through the whole of Django, the peer's rendering alone."""
    from django.test import Client
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    from bench._fleet import make_fleet, scrape_token, store
    from exporters.models import ExporterTarget

    exporter = make_fleet(count)
    store(exporter, count)
    client, path = Client(SERVER_NAME="localhost"), f"/exporters/{exporter.pk}/metrics"
    headers = {"Authorization": f"Bearer {scrape_token(exporter)}", "Accept-Encoding": "gzip"}

    def ours() -> None:
        answer = client.get(path, headers=headers)
        if answer.status_code != 200 or len(answer.content) < count:
            raise RuntimeError(f"{answer.status_code}: {answer.content[:200]!r}")

    def peer() -> bytes:
        registry = CollectorRegistry()
        ids = ["platform_id", "exporter_id", "mac"]
        status = Gauge("device_status", "status", ids, registry=registry)
        info = Gauge("device_info", "facts", [*ids, "name", "ip", "outip"], registry=registry)
        for row in ExporterTarget.objects.filter(exporter=exporter).select_related("device"):
            own: list[Any] = [exporter.platform_id, exporter.pk, row.external_id]
            status.labels(*own).set(row.status == "online")
            facts = row.facts
            info.labels(*own, facts.get("name"), facts.get("ip"), facts.get("outip")).set(1)
        return gzip.compress(generate_latest(registry), 6)

    ours()
    return alternate(ours, peer, repeats=5, warm_up=1)


def run() -> Outcome:
    with postgres() as url, project_on(url):
        started = time.monotonic()
        (small, _small_peer), (large, peer) = (measure(count) for count in SIZES)
    details = {
        "ms": round(1e3 * large, 3), "peer_ms": round(1e3 * peer, 1), "ms_of_1000": round(1e3 * small, 3),
        "exponent": round(exponent(small, large, growth=SIZES[1] / SIZES[0]), 2),
        "took_s": round(time.monotonic() - started),
    }  # fmt: skip
    return Outcome(peer / large, details)
