"""E2: durable alert intake, 20 alerts a request, each new; PostgreSQL, one web worker, four kept connections.

The peer is Alertmanager's own API on the same machine (``GOMAXPROCS=1``): it keeps alerts in memory and
has no tenants, no mapping, no history. The second peer is a DRF serializer with ``bulk_create`` on our own
server: no proof of the sender, no dedup of deliveries, no devices, no history. Goals: >= 0.3 x and >= 4 x.
"""

import json
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.harness import Goal, NotRun, Outcome, log, postgres, project_on

GOAL = Goal(bound=0.3, at_most=False)
ALERTS, REQUESTS, REPEATS = 20, 150, 3
SECRET = "bench-secret"
HEADERS = {"Authorization": f"Bearer {SECRET}"}


def run() -> Outcome:
    with postgres() as url, project_on(url), tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Outcome:
    from automation.models import Alert, AlertChange
    from bench._web import post_all, web
    from tests.servers.alertmanager import start_alertmanager
    from tests.servers.availability import ServerMissing

    source = _source()
    try:
        peer = start_alertmanager("route: {receiver: none}\nreceivers: [{name: none}]\n")
    except ServerMissing as exc:
        raise NotRun(str(exc)) from exc
    times: dict[str, list[float]] = {"ours": [], "alertmanager": [], "drf": []}
    try:
        with web(folder / "web", DJANGO_SETTINGS_MODULE="bench._e2_settings", ALLOWED_HOSTS="*") as base:
            doors = {
                "ours": f"{base}/hooks/alerts/{source}/", "alertmanager": f"{peer.url}/api/v2/alerts",
                "drf": f"{base}/bench/drf/",
            }  # fmt: skip
            for turn in range(REPEATS + 1):
                for name, url in doors.items():
                    bodies = [
                        _body(f"{name}-{turn}-{number}", bare=name == "alertmanager")
                        for number in range(REQUESTS)
                    ]
                    took = post_all(url, bodies, HEADERS if name == "ours" else {})
                    log(f"E2: {name} {REQUESTS / took:.0f} requests/s")
                    if turn:  # the first is for warming up
                        times[name].append(took)
    finally:
        peer.stop()
    per_s = {name: REQUESTS / statistics.median(took) for name, took in times.items()}
    sent = ALERTS * REQUESTS * (REPEATS + 1)
    stored = AlertChange.objects.count()
    details: dict[str, float | str] = {f"requests_per_s_{name}": value for name, value in per_s.items()}
    times_drf = per_s["ours"] / per_s["drf"]
    details |= {"times_drf": times_drf, "alerts_stored": float(Alert.objects.count())}
    broken = [f"{stored} of {sent} alerts stored"] if stored != sent else []
    broken += [f"{times_drf:.2f} x DRF, goal >=4"] if times_drf < 4 else []
    return Outcome(per_s["ours"] / per_s["alertmanager"], details, broken="; ".join(broken))


def _source() -> str:
    from automation.models import AlertSource
    from automation.services.sources import create_source
    from devices.models import Device
    from platforms.models import User
    from platforms.services import create_platform

    platform = create_platform(name="bench", device_limit=1_000_000)
    by = User.objects.create_superuser("root", email="r@example.org", password=None)
    Device.objects.bulk_create(
        Device(platform=platform, name=f"player {number}", mac=_mac(number)) for number in range(1_000)
    )
    return str(
        create_source(AlertSource(platform=platform, name="am", kind="alertmanager", secret=SECRET), by=by).pk
    )


def _mac(number: int) -> str:
    return f"02:be:00:00:{number >> 8:02x}:{number & 255:02x}"


def _body(mark: str, *, bare: bool) -> bytes:
    at = datetime.now(UTC) - timedelta(minutes=1)
    start, end = (
        at.isoformat().replace("+00:00", "Z"),
        (at + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
    )
    alerts = [
        {
            "labels": {
                "alertname": "PlayerOffline", "instance": "exporter:9001", "job": "cubic", "severity": "critical",
                "mac": _mac(number), "mark": mark,
            },
            "annotations": {"summary": f"Player {number} is not seen", "description": "no connection for 5 minutes"},
            "startsAt": start, "generatorURL": "http://prom.example:9090/graph?g0.expr=x",
            **({"endsAt": end} if bare else {
                "endsAt": "0001-01-01T00:00:00Z", "status": "firing", "fingerprint": f"{mark}-{number}"}),
        }
        for number in range(ALERTS)
    ]  # fmt: skip
    if bare:
        return json.dumps(alerts).encode()
    return json.dumps(
        {
            "receiver": "remosa",
            "status": "firing",
            "alerts": alerts,
            "version": "4",
            "groupKey": mark,
            "truncatedAlerts": 0,
        }
    ).encode()
