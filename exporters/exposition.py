"""Plain rows to Prometheus text (0.0.4) and OpenMetrics (1.0). Pure.

Rendering is in two steps, because the parts age differently. ``render_fragments`` turns the devices
of one exporter into the lines of each family, once per round; ``render_exporters`` turns what is
known of the exporters themselves into lines, with ages as of the scrape. ``merge`` puts fragments
of any number of exporters together: each family once, with its HELP and TYPE, its lines contiguous.
The device families are gauges, so their text is the same in both formats; only the counter's header
and the ``# EOF`` differ.

Unknown is absent: a device without a stated status has no value series, only its ``_info``. A
snapshot that is older than its exporter allows is treated likewise (``without_values``), so nothing
stale is served as fresh.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from exporters.errors import UnknownKind
from exporters.mapping import BadMapping, read_mapping
from exporters.ports import Fact, Status

Fragments = dict[str, str]  # family -> its sample lines, each with its line end

MAX_LABEL = 256  # characters of a label value
_CARE = re.compile('[\\\\"\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


# --- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device of a snapshot; ``facts`` as in ``exporters.ports.Observation``, last known ones included."""

    external_id: str
    status: str
    facts: Mapping[str, Fact | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExporterRow:
    """What is known of one exporter. ``observed_at`` is the time of the snapshot, None before the first;
    ``max_age`` is how long a snapshot may be shown; ``up`` is the judgement of the last round;
    ``targets`` counts by status; ``errors`` counts by reason since the exporter was made; ``version`` is that
    of the snapshot's lines."""

    platform_id: int
    exporter_id: int
    up: bool
    observed_at: datetime | None
    max_age: timedelta
    last_success_at: datetime | None = None
    poll_duration_s: float | None = None
    targets: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    refused_series: int = 0
    version: str = ""

    def is_stale(self, now: datetime) -> bool:
        """Whether the snapshot is too old to be shown, or there is none."""
        return self.observed_at is None or now - self.observed_at > self.max_age


# --- families -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """HELP and TYPE of a metric; ``help`` has no character that either format escapes."""

    name: str
    type: str
    help: str


@dataclass(frozen=True, slots=True)
class ValueSeries:
    """A value of a device that has a stated status; ``read`` gives None where the answer had none."""

    suffix: str
    help: str
    read: Callable[[DeviceRow], float | int | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """How the devices of one kind of exporter are shown: ``remosa_exporter_<kind>_<suffix>``."""

    prefix: str
    id_label: str
    info_labels: tuple[str, ...]
    values: tuple[ValueSeries, ...]


def _is_online(row: DeviceRow) -> int:
    return int(row.status == Status.ONLINE)


def _player_status(row: DeviceRow) -> int | None:
    playing = row.facts.get("player_status")
    return playing if playing in (0, 1) and isinstance(playing, int) else None


def _last_online(row: DeviceRow) -> float | None:
    seen_at = row.facts.get("last_online_at")
    return seen_at.timestamp() if isinstance(seen_at, datetime) else None


_STATUS = ValueSeries(
    "device_status", "1 if the CMS says that the device is online, 0 if offline", _is_online
)

SHAPES: dict[str, Shape] = {
    "cubic": Shape(
        prefix="remosa_exporter_cubic_",
        id_label="mac",
        info_labels=("name", "ip", "outip"),
        values=(_STATUS,),
    ),
    "addreality": Shape(
        prefix="remosa_exporter_addreality_",
        id_label="device_id",
        info_labels=("name", "player_version", "time_zone", "activation_state"),
        values=(
            _STATUS,
            ValueSeries("player_status", "1 if the player plays, 0 if it does not", _player_status),
            ValueSeries(
                "last_online_timestamp_seconds", "When the CMS last saw the device, Unix time", _last_online
            ),
        ),
    ),
}

JSON_PREFIX = "remosa_exporter_json_"
OLD_STATUS = "json_exporter_device_status"
OLD_INFO = "json_exporter_device_info"


def shape_of(kind: str, config: Mapping[str, Any]) -> Shape | None:
    """How devices of this kind are shown; of the generic kind its settings say what there is besides.

    None for a kind, or for settings, that nothing can be shown for.
    """
    if kind != "json":
        return SHAPES.get(kind)
    try:
        mapping = read_mapping(config)
    except BadMapping:
        return None
    numbers = [ValueSeries(gauge.name, "", _number(gauge.name)) for gauge in mapping.gauges]
    if mapping.last_online:
        numbers.append(ValueSeries("last_online_timestamp_seconds", "", _last_online))
    return Shape(JSON_PREFIX, "device_id", ("name", *mapping.facts), (_STATUS, *numbers))


def _number(name: str) -> Callable[[DeviceRow], float | None]:
    def read(row: DeviceRow) -> float | None:
        value = row.facts.get(name)
        return float(value) if isinstance(value, int | float) else None

    return read


UP = "remosa_exporter_up"
LAST_SUCCESS = "remosa_exporter_last_success_timestamp_seconds"
POLL_DURATION = "remosa_exporter_poll_duration_seconds"
SNAPSHOT_AGE = "remosa_exporter_snapshot_age_seconds"
TARGETS = "remosa_exporter_targets"
POLL_ERRORS = "remosa_exporter_poll_errors_total"
REFUSED = "remosa_exporter_refused_series"


def _families() -> dict[str, Family]:
    """Every family that can be shown, in the order of the exposition."""
    listed = [
        Family(UP, "gauge", "1 if the last round got plausible answers from the CMS and is fresh"),
        Family(LAST_SUCCESS, "gauge", "When a round last succeeded, Unix time"),
        Family(POLL_DURATION, "gauge", "How long the last round took"),
        Family(SNAPSHOT_AGE, "gauge", "Age of the answers that are shown"),
        Family(TARGETS, "gauge", "Devices of the exporter by state"),
        Family(POLL_ERRORS, "counter", "Questions to the CMS without a usable answer, by reason"),
        Family(REFUSED, "gauge", "Series of devices that are not shown because the platform has too many"),
    ]
    for shape in SHAPES.values():
        listed += [Family(shape.prefix + series.suffix, "gauge", series.help) for series in shape.values]
        listed.append(Family(shape.prefix + "device_info", "gauge", _FACTS))
    listed += [
        Family(JSON_PREFIX + "device_status", "gauge", _STATUS.help),
        Family(JSON_PREFIX + "device_info", "gauge", _FACTS),
        Family(OLD_STATUS, "gauge", "1 if the CMS says that the device is online, 0 if offline; old name"),
        Family(OLD_INFO, "gauge", "Facts about the device, as labels; old name"),
    ]
    return {family.name: family for family in listed}


_FACTS = "Facts about the device, as labels"
FAMILIES = _families()
VALUE_FAMILIES = frozenset(
    [shape.prefix + series.suffix for shape in SHAPES.values() for series in shape.values]
    + [JSON_PREFIX + "device_status", OLD_STATUS]
)
_OF_JSON = re.compile(re.escape(JSON_PREFIX) + "[a-z][a-z0-9_]*")


def family_of(name: str) -> Family | None:
    """The family of this name, None for one that this version does not know.

    A number of a generic exporter has its name from its settings; what is said of it follows from the name
    alone, because several exporters may have it.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if _OF_JSON.fullmatch(name):
        return Family(name, "gauge", "A number that the CMS reports of the device")
    return None


def is_value(name: str) -> bool:
    """Whether the family claims something about the present."""
    return name in VALUE_FAMILIES or (name.startswith(JSON_PREFIX) and name != JSON_PREFIX + "device_info")


def in_order(names: Iterable[str]) -> list[str]:
    """The known ones of these families in the order of the exposition."""
    found = set(names)
    others = sorted(name for name in found - FAMILIES.keys() if family_of(name) is not None)
    return [name for name in FAMILIES if name in found] + others


# --- rendering ------------------------------------------------------------------------------------


def label(value: object) -> str:
    """A label value, escaped and at most ``MAX_LABEL`` characters long before escaping.

    Control characters and halves of surrogate pairs become U+FFFD; a line break stays, as ``\\n``.
    """
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if len(text) > MAX_LABEL:
        text = text[:MAX_LABEL]
    if not _CARE.search(text):
        return text
    text = _UNFIT.sub("\ufffd", text)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class _Labels(dict[object, str]):
    """``label`` with a memory: most facts (version, time zone, outer address) repeat."""

    def __missing__(self, value: object) -> str:
        self[value] = escaped = label(value)
        return escaped


def render_fragments(
    kind: str,
    rows: Iterable[DeviceRow],
    *,
    platform_id: int,
    exporter_id: int,
    config: Mapping[str, Any] | None = None,
) -> Fragments:
    """The device families of one exporter; ``UnknownKind`` for a kind that has no ``Shape``."""
    shape = shape_of(kind, config or {})
    if shape is None:
        raise UnknownKind(f"no exposition for exporters of kind {kind!r}")
    columns = zip(*render_each(shape, rows, platform_id=platform_id, exporter_id=exporter_id), strict=True)
    found = ["".join(lines) for lines in columns] or [""] * len(families_of(shape))
    return dict(zip(families_of(shape), found, strict=True))


def families_of(shape: Shape) -> tuple[str, ...]:
    """The families of a shape, in the order of ``render_each``: the values, then the info."""
    return (*(shape.prefix + series.suffix for series in shape.values), shape.prefix + "device_info")


def render_each(
    shape: Shape, rows: Iterable[DeviceRow], *, platform_id: int, exporter_id: int
) -> Iterator[tuple[str, ...]]:
    """The hot loop: for each row its line in each family, "" where it has none."""
    start = f'{{platform_id="{int(platform_id)}",exporter_id="{int(exporter_id)}",{shape.id_label}="'
    values = [(shape.prefix + series.suffix + start, series.read) for series in shape.values]
    nothing = ("",) * len(values)
    info_start = shape.prefix + "device_info" + start
    info_labels = [(name, f'",{name}="') for name in shape.info_labels]
    labels = _Labels()
    for row in rows:
        key = label(row.external_id)
        fact = row.facts.get
        info = (
            info_start + key + "".join([text + labels[fact(name)] for name, text in info_labels]) + '"} 1\n'
        )
        if row.status in _STATED:
            yield (
                *(
                    "" if (value := read(row)) is None else f'{series_start}{key}"}} {value!r}\n'
                    for series_start, read in values
                ),
                info,
            )
        else:
            yield (*nothing, info)


_STATED = frozenset({Status.ONLINE.value, Status.OFFLINE.value})


def without_values(fragments: Mapping[str, str]) -> Fragments:
    """The same without value series: what may still be shown when the snapshot is too old."""
    return {name: lines for name, lines in fragments.items() if not is_value(name)}


def render_old_names(rows: Iterable[DeviceRow], *, platform_id: int, exporter_id: int) -> Fragments:
    """The same devices under the names of the first exporter: ``json_exporter_device_*{name, platform_id}``.

    Only the name told devices apart there. Of several devices of one name each bears its id too, and the
    exporter is named, so that no series stands for two devices.
    """
    end = f'platform_id="{int(platform_id)}",exporter_id="{int(exporter_id)}"}}'
    listed = list(rows)
    names = Counter(label(row.facts.get("name") or row.external_id) for row in listed)
    status: list[str] = []
    info: list[str] = []
    for row in listed:
        name = label(row.facts.get("name") or row.external_id)
        if names[name] > 1:
            name = f"{name} ({label(row.external_id)})"
        if row.status in _STATED:
            status.append(f'{OLD_STATUS}{{name="{name}",{end} {_is_online(row)}\n')
        ip = label(row.facts.get("ip"))
        info.append(f'{OLD_INFO}{{name="{name}",ip="{ip}",{end} 1\n')
    return {OLD_STATUS: "".join(status), OLD_INFO: "".join(info)}


def render_exporters(rows: Iterable[ExporterRow], *, now: datetime) -> Fragments:
    """The self-metrics as of ``now``. A stale exporter is not up, and all of its targets count as unknown."""
    lines: dict[str, list[str]] = {
        name: [] for name in (UP, LAST_SUCCESS, POLL_DURATION, SNAPSHOT_AGE, TARGETS, POLL_ERRORS, REFUSED)
    }
    for row in rows:
        labels = f'platform_id="{int(row.platform_id)}",exporter_id="{int(row.exporter_id)}"'
        stale = row.is_stale(now)
        lines[UP].append(f"{UP}{{{labels}}} {int(row.up and not stale)}\n")
        if row.last_success_at is not None:
            lines[LAST_SUCCESS].append(f"{LAST_SUCCESS}{{{labels}}} {row.last_success_at.timestamp()!r}\n")
        if row.poll_duration_s is not None and math.isfinite(row.poll_duration_s):
            lines[POLL_DURATION].append(f"{POLL_DURATION}{{{labels}}} {float(row.poll_duration_s)!r}\n")
        if row.observed_at is not None:
            age_s = max(0.0, (now - row.observed_at).total_seconds())
            lines[SNAPSHOT_AGE].append(f"{SNAPSHOT_AGE}{{{labels}}} {age_s!r}\n")
        for state, count in _target_counts(row, stale=stale).items():
            lines[TARGETS].append(f'{TARGETS}{{{labels},state="{state}"}} {count}\n')
        for reason, count in sorted(row.errors.items()):
            lines[POLL_ERRORS].append(
                f'{POLL_ERRORS}{{{labels},reason="{label(reason)}"}} {max(0, int(count))}\n'
            )
        if row.refused_series:
            lines[REFUSED].append(f"{REFUSED}{{{labels}}} {int(row.refused_series)}\n")
    return {name: "".join(found) for name, found in lines.items()}


def _target_counts(row: ExporterRow, *, stale: bool) -> dict[str, int]:
    """Targets by state, every state named."""
    if stale:
        return {Status.ONLINE: 0, Status.OFFLINE: 0, Status.UNKNOWN: sum(row.targets.values())}
    return {state: row.targets.get(state, 0) for state in Status}


def merge(*parts: Mapping[str, str], openmetrics: bool = False) -> str:
    """Fragments of any number of exporters as one text: each family once, in a fixed order.

    A family that this version does not know (a fragment stored by a newer one) is left out. The text has no
    end mark, so it can be joined to another with other families; ``exposition`` adds the end.
    """
    collected: dict[str, list[str]] = {}
    for part in parts:
        for name, lines in part.items():
            if lines:
                collected.setdefault(name, []).append(lines)
    text: list[str] = []
    for name in in_order(collected):
        text.append(heading(name, openmetrics=openmetrics))
        text += collected[name]
    return "".join(text)


def heading(name: str, *, openmetrics: bool) -> str:
    """HELP and TYPE of a family that ``family_of`` knows."""
    family = family_of(name)
    if family is None:
        raise KeyError(name)
    shown = name.removesuffix("_total") if openmetrics and family.type == "counter" else name
    return f"# HELP {shown} {family.help}\n# TYPE {shown} {family.type}\n"


def exposition(*parts: Mapping[str, str], openmetrics: bool = False) -> str:
    """A whole body: ``merge`` and, in OpenMetrics, the end mark."""
    return merge(*parts, openmetrics=openmetrics) + end_mark(openmetrics=openmetrics)


def end_mark(*, openmetrics: bool) -> str:
    """What must follow the last family."""
    return "# EOF\n" if openmetrics else ""


# --- negotiation ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Format:
    """The format of an answer and the Content-Type that says so."""

    content_type: str
    openmetrics: bool


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", openmetrics=False)
OPENMETRICS = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics=True)

# Our names are plain ASCII, so every scheme of escaping leaves them as they are and can be promised.
_ESCAPINGS = frozenset({"allow-utf-8", "underscores", "dots", "values"})
_WEIGHT = re.compile(r"0(\.\d*)?|1(\.0*)?")
_ACCEPT_MAX = 4096


def negotiate(accept: str) -> Format:
    """The best format for an ``Accept`` header; plain text where the client names nothing that we speak."""
    best, best_weight = TEXT, 0.0
    for offer in accept[:_ACCEPT_MAX].lower().split(","):
        media, *pairs = (part.strip() for part in offer.split(";"))
        params = {
            key.strip(): value.strip().strip('"') for key, _, value in (pair.partition("=") for pair in pairs)
        }
        wanted = _format_for(media, params)
        weight = _weight_of(params.get("q", "1"))
        if wanted is not None and weight > best_weight:
            best, best_weight = wanted, weight
    return best


def _weight_of(text: str) -> float:
    return float(text) if _WEIGHT.fullmatch(text) else 0.0


def _format_for(media: str, params: Mapping[str, str]) -> Format | None:
    """What one media range of an Accept header asks for, None for what we cannot give."""
    if media == "application/openmetrics-text" and params.get("version", "1.0.0") == "1.0.0":
        wanted = OPENMETRICS
    elif media == "text/plain" and params.get("version", "0.0.4") == "0.0.4":
        wanted = TEXT
    elif media in ("text/*", "*/*"):
        return TEXT
    else:
        return None
    if params.get("escaping") in _ESCAPINGS:
        return Format(f"{wanted.content_type}; escaping={params['escaping']}", wanted.openmetrics)
    return wanted
