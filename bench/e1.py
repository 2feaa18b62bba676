"""E1: evaluate one condition over 100,000 devices in the steady state, 1 % of them bad, on PostgreSQL.

The peer is Prometheus: it scrapes the same exporter and evaluates the same condition as a recording rule; its
own figure of the rule's duration is what counts. Ours is the whole of one evaluation: read, check freshness,
judge, keep the views, count. Goals: a job that asks Prometheus <= 1.5 x the rule, one that reads the snapshot
<= 1.0 x. ``E1_DEVICES`` makes it smaller.
"""

import itertools
import os
import statistics
import time
from typing import Any

from bench import _fleet as lab
from bench.harness import Goal, NotRun, Outcome, exponent, log, postgres, project_on

GOAL = Goal(bound=1.5, at_most=True)
SNAPSHOT_BOUND = 1.0
SIZE = int(os.environ.get("E1_DEVICES", "100000"))
BAD_SHARE, REPEATS, RULE_EVERY_S = 0.01, 7, 5


def run() -> Outcome:
    with postgres() as url, project_on(url, EGRESS_ALLOW="127.0.0.0/8"):
        return _measure()


def _measure() -> Outcome:
    from tests.servers.availability import ServerMissing

    details: dict[str, float | str] = {}
    small, large = _fill(SIZE // 10), _fill(SIZE)
    with lab.web_server() as base:
        try:
            server = _prometheus(base, small, large)
        except ServerMissing as exc:
            raise NotRun(str(exc)) from exc
        try:
            for exporter, size in ((small, SIZE // 10), (large, SIZE)):
                log(f"E1: {size} devices")
                for source in ("promql", "snapshot"):
                    details[f"{source}_ms_{size}"] = _ours(exporter, source, server.url, size) * 1000
                details[f"rule_ms_{size}"] = _rule_s(server, size) * 1000
        finally:
            server.stop()
    for source in ("promql", "snapshot"):
        few, many = float(details[f"{source}_ms_{SIZE // 10}"]), float(details[f"{source}_ms_{SIZE}"])
        details[f"{source}_exponent"] = exponent(few, many, growth=10)
    rule = float(details[f"rule_ms_{SIZE}"])
    snapshot = float(details[f"snapshot_ms_{SIZE}"]) / rule
    details["snapshot_ratio"] = snapshot
    broken = (
        "" if snapshot <= SNAPSHOT_BOUND else f"snapshot {snapshot:.2f} x the rule, goal <={SNAPSHOT_BOUND:g}"
    )
    return Outcome(float(details[f"promql_ms_{SIZE}"]) / rule, details, broken=broken)


def _fill(size: int) -> Any:
    """A platform of ``size`` players behind one exporter; the first 1 % are offline, and stay so."""
    exporter = lab.make_fleet(size, is_enabled=True)
    exporter.platform.device_limit = size
    exporter.platform.save(update_fields=["device_limit"])
    lab.store(exporter, size, offline=int(size * BAD_SHARE))
    exporter.refresh_from_db()
    return exporter


def _prometheus(base: str, *exporters: Any) -> Any:
    """Debian's Prometheus that scrapes both exporters and has a rule of its own for each; waits until both ran."""
    import json
    import tempfile
    from pathlib import Path

    from tests.servers.prometheus import start_prometheus

    rules = Path(tempfile.mkdtemp(prefix="e1-")) / "rules.yml"
    groups = [
        {
            "name": f"of{row.platform_id}", "interval": f"{RULE_EVERY_S}s",
            "rules": [{"record": f"bad:of{row.platform_id}", "expr": _condition(row)}],
        }
        for row in exporters
    ]  # fmt: skip
    rules.write_text(json.dumps({"groups": groups}))  # JSON is YAML
    address = base.removeprefix("http://")
    scrapes = [
        {
            "job_name": f"of{row.platform_id}", "metrics_path": f"/exporters/{row.pk}/metrics", "scrape_interval": "5s",
            "scrape_timeout": "5s", "authorization": {"credentials": lab.scrape_token(row)},
            "static_configs": [{"targets": [address]}],
        }
        for row in exporters
    ]  # fmt: skip
    server = start_prometheus({"scrape_configs": scrapes, "rule_files": [str(rules)]})
    for row in exporters:
        server.wait_for(f"bad:of{row.platform_id}", deadline_s=120)
    return server


def _condition(exporter: Any) -> str:
    return f'remosa_exporter_cubic_device_status{{platform_id="{exporter.platform_id}"}} == 0'


def _ours(exporter: Any, source: str, prometheus_url: str, size: int) -> float:
    """Median seconds of one evaluation in the steady state."""
    from automation.models import Job, JobRun, JobState, PrometheusConnection
    from automation.services.evaluation import evaluate_job
    from exporters.models import Exporter
    from remosa.lib.clock import utcnow

    PrometheusConnection.objects.all().delete()
    PrometheusConnection.objects.create(url=prometheus_url, timeout_s=30)
    job = Job.objects.create(
        platform=exporter.platform, name=source, mode="shadow", source=source, hold_s=36_000, fresh_samples=3,
        promql=_condition(exporter) if source == "promql" else "", operator="==", threshold=0,
        template_key="power_cycle", params={"minutes": 1}, evidence_max_age_s=36_000,
    )  # fmt: skip
    times: list[float] = []
    for turn in itertools.count():
        job.refresh_from_db()
        Exporter.objects.filter(pk=exporter.pk).update(
            answers_at=utcnow()
        )  # a round in which nothing changed
        started = time.perf_counter()
        run = evaluate_job(job, tick=f"{source}:{turn}", now=utcnow())
        times.append(time.perf_counter() - started)
        if run is None or (error := JobRun.objects.get(pk=run.pk).error):
            raise NotRun(f"not evaluated: {error if run else 'the tick was taken'}")
        if len(times) >= REPEATS + 2:
            break
    bad = int(size * BAD_SHARE)
    if JobState.objects.filter(job=job).count() != bad:
        raise NotRun(f"{JobState.objects.filter(job=job).count()} views instead of {bad}")
    job.delete()
    return statistics.median(times[2:])


def _rule_s(server: Any, size: int) -> float:
    """What Prometheus says that its rule took lately, as a median of some evaluations."""
    seen: dict[str, float] = {}
    ends = time.monotonic() + RULE_EVERY_S * 12
    while len(seen) < 5 and time.monotonic() < ends:
        for group in server.get("rules")["groups"]:
            rule = group["rules"][0]
            found = server.query(f"count({rule['name']})")
            if found and int(found[0]["value"][1]) == int(size * BAD_SHARE):
                seen[rule["lastEvaluation"]] = float(rule["evaluationTime"])
        time.sleep(RULE_EVERY_S / 2)
    if not seen:
        raise NotRun("the rule was not evaluated")
    return statistics.median(seen.values())
