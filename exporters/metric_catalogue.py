"""What people call the metrics of exporters: name, unit and range of each. Pure.

Source of the names that no exporter of ours has yet (temperature, humidity, ...): the operators' own
dictionary; a generic exporter can report them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from exporters.exposition import JSON_PREFIX


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric for people. ``unit`` is "" for a number of nothing; ``lowest`` and ``highest`` bound its values."""

    name: str
    title: str | Promise
    unit: str | Promise = ""
    lowest: float | None = None
    highest: float | None = None
    words: Mapping[int, Any] | None = None  # where a value is a word


_LINK = {1: _("online"), 0: _("offline")}
_PLAY = {1: _("plays"), 0: _("does not play")}

METRICS = {
    metric.name: metric
    for metric in (
        Metric("remosa_exporter_cubic_device_status", _("Connection (Cubic)"), "", 0, 1, _LINK),
        Metric("remosa_exporter_addreality_device_status", _("Connection (Addreality)"), "", 0, 1, _LINK),
        Metric("remosa_exporter_addreality_player_status", _("Playback (Addreality)"), "", 0, 1, _PLAY),
        Metric(
            "remosa_exporter_addreality_last_online_timestamp_seconds", _("Last online (Addreality)"), _("Unix time")
        ),
        Metric(JSON_PREFIX + "device_status", _("Connection (other CMS)"), "", 0, 1, _LINK),
        Metric(JSON_PREFIX + "last_online_timestamp_seconds", _("Last online (other CMS)"), _("Unix time")),
        Metric(JSON_PREFIX + "temperature_celsius", _("Temperature"), "°C", -40, 85),
        Metric(JSON_PREFIX + "humidity_percent", _("Humidity"), "%", 0, 100),
        Metric(JSON_PREFIX + "power_consumption_watts", _("Power consumption"), _("W"), 0, 1000),
        Metric(JSON_PREFIX + "voltage_volts", _("Voltage"), _("V"), 0, 50),
        Metric(JSON_PREFIX + "current_amperes", _("Current"), _("A"), 0, 10),
        Metric(JSON_PREFIX + "signal_strength_decibel_milliwatts", _("Signal strength"), _("dBm"), -120, 0),
        Metric(JSON_PREFIX + "uptime_seconds", _("Uptime"), _("s"), 0),
        Metric(JSON_PREFIX + "memory_usage_percent", _("Memory in use"), "%", 0, 100),
        Metric(JSON_PREFIX + "cpu_usage_percent", _("Processor in use"), "%", 0, 100),
        Metric("remosa_exporter_up", _("CMS answers"), "", 0, 1),
        Metric("remosa_exporter_snapshot_age_seconds", _("Age of the answers"), _("s"), 0),
        Metric("remosa_exporter_poll_duration_seconds", _("Duration of a poll"), _("s"), 0),
        Metric("remosa_exporter_last_success_timestamp_seconds", _("Last successful poll"), _("Unix time")),
        Metric("remosa_exporter_targets", _("Devices by state"), "", 0),
        Metric("remosa_exporter_poll_errors_total", _("Questions without an answer"), "", 0),
        Metric("remosa_exporter_refused_series", _("Series over the limit"), "", 0),
    )
}  # fmt: skip
UNIT_SIGNS: dict[str, Any] = {
    "celsius": "°C", "percent": "%", "ratio": "", "volts": _("V"), "amperes": _("A"), "watts": _("W"),
    "bytes": _("B"), "seconds": _("s"), "hertz": _("Hz"), "meters": _("m"), "decibel_milliwatts": _("dBm"),
    "lux": _("lx"), "ppm": "ppm",
}  # fmt: skip


def metric_of(name: str) -> Metric:
    """The metric of this name; one that the catalogue does not know is called by what its name says."""
    if name in METRICS:
        return METRICS[name]
    short = name.removeprefix(JSON_PREFIX).removeprefix("remosa_exporter_")
    for unit, sign in UNIT_SIGNS.items():
        if short.endswith(f"_{unit}"):
            return Metric(name, short.removesuffix(f"_{unit}").replace("_", " "), sign)
    return Metric(name, short.replace("_", " "))


def words_of(name: str, value: float) -> str:
    """The value as people read it: a word where there is one, else the number with its unit."""
    metric = metric_of(name)
    if metric.words and value in metric.words:
        return str(metric.words[int(value)])
    return f"{value:g} {metric.unit}".strip()
