"""Files for the people who run Prometheus and Grafana: scrape configuration, alert rules, dashboard. Pure.

Everything speaks of one platform. The rules tell people; none of them claims that a device is offline
because nothing was heard of it.
"""

import json
from typing import Any

from django.conf import settings

from exporters.exposition import JSON_PREFIX, SHAPES

STATUSES = [f"{shape.prefix}device_status" for shape in SHAPES.values()] + [f"{JSON_PREFIX}device_status"]


PATIENCE_S = 600.0  # without a successful poll, before somebody is told


def scrape_config(platform_id: int) -> str:
    """What goes into prometheus.yml; the token is for a person to fill in."""
    return f"""scrape_configs:
  - job_name: remosa-{platform_id}
    scrape_interval: 30s
    authorization: {{type: Bearer, credentials: rms_…}}
    http_sd_configs:
      - url: {settings.PUBLIC_URL}/platforms/{platform_id}/sd
        authorization: {{type: Bearer, credentials: rms_…}}
"""


def alert_rules(platform_id: int, *, patience_s: float = PATIENCE_S) -> str:
    """Alert rules of one platform, as YAML (JSON is YAML).

    ``patience_s``: how long the platform's slowest exporter may be without a successful poll; ten minutes at least.
    """
    patience_s = max(PATIENCE_S, patience_s)
    own = f'{{platform_id="{int(platform_id)}"}}'
    status = " or ".join(f"{name}{own}" for name in STATUSES)
    rules = [
        _rule(
            "RemosaExporterDown", f"remosa_exporter_up{own} == 0", "5m", "critical",
            "The CMS of exporter {{ $labels.exporter_id }} does not answer",
            "Its devices are unknown, not offline. Nothing is switched meanwhile.",
        ),
        _rule(
            "RemosaExporterStale",
            f"time() - remosa_exporter_last_success_timestamp_seconds{own} > {patience_s:.0f}", "1m", "critical",
            "No successful poll of exporter {{ $labels.exporter_id }} for too long",
            "Last success {{ $value | humanizeDuration }} ago. Is a poller running?",
        ),
        _rule(
            "RemosaExporterAbsent", f"absent(remosa_exporter_up{own})", "10m", "critical",
            f"Prometheus gets no metrics of platform {int(platform_id)}",
            "See the target in Prometheus: token, address, REMOSA itself.",
        ),
        _rule(
            "RemosaDeviceDown", f"({status}) == 0 and on(exporter_id) (remosa_exporter_up{own} == 1)", "10m", "warning",
            "Device {{ $labels.mac }}{{ $labels.device_id }} has no connection to its CMS",
            "The CMS has said so for ten minutes.",
        ),
        _rule(
            "RemosaDevicesDown",
            f"count by (exporter_id) (({status}) == 0) / on(exporter_id) count by (exporter_id) ({status}) > 0.2",
            "5m", "critical", "More than a fifth of exporter {{ $labels.exporter_id }} is offline at once",
            "{{ $value | humanizePercentage }} of the devices: look for the common cause first.",
        ),
        _rule(
            "RemosaDevicesUnknown",
            f'remosa_exporter_targets{{platform_id="{int(platform_id)}",state="unknown"}} > 0'
            f" and on(exporter_id) (remosa_exporter_up{own} == 1)",
            "30m", "warning", "The CMS says nothing of some devices of exporter {{ $labels.exporter_id }}",
            "{{ $value }} devices: mistyped ids, or devices that were deleted there.",
        ),
        _rule(
            "RemosaSeriesRefused", f"remosa_exporter_refused_series{own} > 0", "1m", "warning",
            "Devices of exporter {{ $labels.exporter_id }} are not shown", "The platform is over its limit of series.",
        ),
    ]  # fmt: skip
    groups = [{"name": f"remosa-platform-{int(platform_id)}", "interval": "30s", "rules": rules}]
    return json.dumps({"groups": groups}, ensure_ascii=False, indent=2) + "\n"


def _rule(name: str, expr: str, hold: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": name, "expr": expr, "for": hold, "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }  # fmt: skip


def dashboard(platform_id: int, title: str) -> dict[str, Any]:
    """A Grafana dashboard of one platform; the data source is asked for on import."""
    own = f'platform_id="{int(platform_id)}"'
    status = " or ".join(f"{name}{{{own}}}" for name in STATUSES)
    panels = [
        _panel(1, "stat", "Online", f'sum(remosa_exporter_targets{{{own},state="online"}})', 0, 0, 6, 4),
        _panel(2, "stat", "Offline", f'sum(remosa_exporter_targets{{{own},state="offline"}})', 6, 0, 6, 4),
        _panel(3, "stat", "No data", f'sum(remosa_exporter_targets{{{own},state="unknown"}})', 12, 0, 6, 4),
        _panel(4, "stat", "CMS that answer", f"sum(remosa_exporter_up{{{own}}})", 18, 0, 6, 4),
        _panel(5, "timeseries", "Devices by state", f"sum by (state) (remosa_exporter_targets{{{own}}})", 0, 4, 12, 8),
        _panel(
            6, "timeseries", "Age of the answers", f"remosa_exporter_snapshot_age_seconds{{{own}}}", 12, 4, 12, 8, "s"
        ),
        _panel(
            7, "timeseries", "Duration of a poll", f"remosa_exporter_poll_duration_seconds{{{own}}}", 0, 12, 12, 8, "s"
        ),
        _panel(
            8, "timeseries", "Questions without an answer",
            f"sum by (reason) (rate(remosa_exporter_poll_errors_total{{{own}}}[5m]))", 12, 12, 12, 8,
        ),
        _panel(9, "table", "Offline now", f"({status}) == 0", 0, 20, 24, 10),
    ]  # fmt: skip
    return {
        "uid": f"remosa-platform-{int(platform_id)}", "title": f"REMOSA: {title}", "tags": ["remosa"],
        "timezone": "browser", "schemaVersion": 39, "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
        "__inputs": [
            {"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}
        ],
        "panels": panels,
    }  # fmt: skip


def _panel(
    number: int, kind: str, title: str, expr: str, x: int, y: int, w: int, h: int, unit: str = "short"
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    target = {"refId": "A", "expr": expr, "datasource": source, "instant": kind != "timeseries"}
    if kind == "table":
        target["format"] = "table"
    return {
        "id": number, "type": kind, "title": title, "datasource": source, "targets": [target],
        "gridPos": {"x": x, "y": y, "w": w, "h": h},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }  # fmt: skip
