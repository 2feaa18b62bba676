"""How a CMS that we have no code for is asked and read, as data: a request template and JMESPath. Pure.

``read_mapping`` turns the stored settings into a ``JsonMapping`` or says, field by field, what is wrong.
The expressions are those of JMESPath without what builds new lists and objects: what an expression
returns is never larger than what the CMS sent, whoever wrote it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jmespath
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError

MAX_EXPRESSION = 200
MAX_FACTS = 20
MAX_GAUGES = 20
MAX_WORDS = 30
PLACES = ("id", "offset", "page", "limit", "secret")
UNITS = (
    "", "celsius", "percent", "ratio", "volts", "amperes", "watts", "bytes", "seconds", "hertz", "meters",
    "decibel_milliwatts", "lux", "ppm",
)  # fmt: skip
# --- what may stand in an expression
NODES = frozenset(
    {
        "field", "subexpression", "index_expression", "index", "slice", "projection", "value_projection",
        "filter_projection", "flatten", "comparator", "and_expression", "or_expression", "not_expression",
        "literal", "identity", "current", "pipe", "function_expression",
    }
)  # fmt: skip
FUNCTIONS = frozenset(
    {"contains", "starts_with", "ends_with", "length", "not_null", "to_string", "to_number", "type"}
)

_PLACE = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,60}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,500}")
_FIXED_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"}
)
_TAKEN = frozenset(
    {"name", "platform_id", "exporter_id", "device_id", "last_online_at", "gauges", "player_status"}
)
_ENDS = ("_total", "_info", "_count", "_sum", "_bucket", "_created", "_status")


class BadMapping(Exception):
    """The settings cannot be used; ``faults`` says why, {field: sentence}."""

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__(" ".join(faults.values()))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Gauge:
    """A further number of each device; ``name`` is the end of the metric's name, the unit included."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class JsonMapping:
    """The settings, checked. ``online`` and ``offline`` are words in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object
    page_size: int
    list: str
    id: str
    name: str
    state: str
    last_online: str
    online: frozenset[str]
    offline: frozenset[str]
    facts: Mapping[str, str] = field(default_factory=dict)
    gauges: Sequence[Gauge] = ()

    @property
    def asks_each(self) -> bool:
        """Whether there is one request per device."""
        return "id" in self._places

    @property
    def is_paged(self) -> bool:
        """Whether the list is asked for page by page."""
        return not self.asks_each and bool({"offset", "page"} & self._places)

    @property
    def _places(self) -> set[str]:
        return places((self.path, self.query, self.headers, self.body))


# --- reading the settings --------------------------------------------------------------------------


def read_mapping(config: Mapping[str, Any]) -> JsonMapping:
    """The settings as they are stored; ``BadMapping`` when they cannot be used."""
    wrong: dict[str, str] = {}
    read = _Reader(config, wrong)
    mapping = JsonMapping(
        method=read.choice("method", ("GET", "POST"), "GET"),
        path=read.text("path"),
        query=read.texts("query"),
        headers=read.texts("headers"),
        body=config.get("body"),
        page_size=read.number("page_size", 100, most=10_000),
        list=read.expression("list", default="@"),
        id=read.expression("id", needed=True),
        name=read.expression("name"),
        state=read.expression("state", needed=True),
        last_online=read.expression("last_online"),
        online=read.words("online"),
        offline=read.words("offline"),
        facts=_facts(config.get("facts") or {}, wrong),
        gauges=_gauges(config.get("gauges") or [], wrong),
    )
    _check_request(mapping, wrong)
    if unknown := sorted(set(config) - set(JsonMapping.__dataclass_fields__)):
        wrong[unknown[0]] = _("There is no such setting.")
    if "online" not in wrong and mapping.online & mapping.offline:
        wrong["offline"] = _("The same word cannot mean online and offline.")
    if wrong:
        raise BadMapping(wrong)
    return mapping


@dataclass
class _Reader:
    """Takes settings out of the stored object by their kind; what is wrong goes into ``wrong``."""

    config: Mapping[str, Any]
    wrong: dict[str, str]

    def text(self, name: str) -> str:
        value = self.config.get(name, "")
        if not isinstance(value, str) or len(value) > 500:
            self.wrong[name] = _("Write a text of at most 500 characters.")
            return ""
        return value.strip()

    def texts(self, name: str) -> dict[str, str]:
        value = self.config.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(one, str | int) for one in value.values()):
            self.wrong[name] = _('Write an object of texts, for example {"limit": "100"}.')
            return {}
        return {str(key): str(one) for key, one in value.items()}

    def choice(self, name: str, known: Sequence[str], default: str) -> str:
        value = self.config.get(name, default)
        if value not in known:
            self.wrong[name] = _("Choose one of: %(known)s.") % {"known": ", ".join(known)}
            return default
        return str(value)

    def number(self, name: str, default: int, *, most: int) -> int:
        value = self.config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            self.wrong[name] = _("Write a whole number from 1 to %(most)d.") % {"most": most}
            return default
        return value

    def expression(self, name: str, *, default: str = "", needed: bool = False) -> str:
        value = self.config.get(name, default) or default
        if not isinstance(value, str) or (needed and not value.strip()):
            self.wrong[name] = _("Write where it stands in the answer (JMESPath).")
            return "@"
        if value and (sentence := expression_fault(value)):
            self.wrong[name] = sentence
        return value.strip()

    def words(self, name: str) -> frozenset[str]:
        value = self.config.get(name)
        if not isinstance(value, list) or not value or len(value) > MAX_WORDS:
            self.wrong[name] = _("Write the words of the CMS that mean it, for example: online, true, 1.")
            return frozenset()
        return frozenset(word(one) for one in value)


def _facts(stored: object, wrong: dict[str, str]) -> dict[str, str]:
    if not isinstance(stored, dict) or len(stored) > MAX_FACTS:
        wrong["facts"] = _("Write at most %(most)d facts, one per line: name = path.") % {"most": MAX_FACTS}
        return {}
    for name, path in stored.items():
        if not _NAME.fullmatch(str(name)) or name in _TAKEN or str(name).startswith("__"):
            wrong["facts"] = _("“%(name)s” cannot be a label: use small Latin letters, digits and _.") % {
                "name": name
            }
        elif not isinstance(path, str) or (sentence := expression_fault(path)):
            fault = sentence if isinstance(path, str) else _("Write a path.")
            wrong["facts"] = f"{name}: {fault}"
    return {} if "facts" in wrong else {str(name): str(path) for name, path in stored.items()}


def _gauges(stored: object, wrong: dict[str, str]) -> tuple[Gauge, ...]:
    if not isinstance(stored, list) or len(stored) > MAX_GAUGES:
        wrong["gauges"] = _("Write at most %(most)d numbers, one per line: name, unit = path.") % {
            "most": MAX_GAUGES
        }
        return ()
    gauges: dict[str, Gauge] = {}
    for one in stored:
        name, unit, path = (
            one.get(key, "") if isinstance(one, dict) else None for key in ("name", "unit", "path")
        )
        if not isinstance(name, str) or not isinstance(path, str) or unit not in UNITS:
            wrong["gauges"] = _("Each number has a name, a path and a unit out of: %(units)s.") % {
                "units": ", ".join(UNITS[1:])
            }
            return ()
        full = name if not unit or name.endswith(f"_{unit}") else f"{name}_{unit}"
        if not _NAME.fullmatch(name) or full.endswith(_ENDS) or full in _TAKEN or full in gauges:
            wrong["gauges"] = _("“%(name)s” cannot be the name of a number: choose another one.") % {
                "name": full
            }
        elif sentence := expression_fault(path):
            wrong["gauges"] = f"{name}: {sentence}"
        else:
            gauges[full] = Gauge(full, path)
    return tuple(gauges.values())


def _check_request(mapping: JsonMapping, wrong: dict[str, str]) -> None:
    """The request must be one that can be made, and must not carry the key where logs keep it."""
    if not mapping.path.startswith("/") or re.search(r"[\s?#\\]", mapping.path):
        wrong.setdefault("path", _("Begin with “/”, and write what follows “?” into the query."))
    for name in ("path", "query", "headers", "body"):
        found = places(getattr(mapping, name))
        if unknown := sorted(found - set(PLACES)):
            wrong.setdefault(
                name,
                _("Nothing fills {%(name)s}. There is: %(known)s.")
                % {"name": unknown[0], "known": ", ".join(PLACES)},
            )
        if name in ("path", "query") and "secret" in found:
            wrong.setdefault(name, _("Keep the key out of the address: use a header or the body."))
        if name == "headers" and found - {"secret"}:
            wrong.setdefault(name, _("Only {secret} belongs into a header."))
    for name, value in mapping.headers.items():
        if (
            not _HEADER.fullmatch(name)
            or name.lower() in _FIXED_HEADERS
            or not _HEADER_VALUE.fullmatch(value)
        ):
            wrong.setdefault("headers", _("“%(name)s” is not a header that may be set.") % {"name": name})
    if mapping.method == "GET" and mapping.body is not None:
        wrong.setdefault("body", _("Only POST has a body."))
    if len(json.dumps(mapping.body)) > 10_000:
        wrong.setdefault("body", _("It is too long."))


def expression_fault(text: str) -> str:
    """A sentence when ``text`` is no JMESPath that we take, else ""."""
    if len(text) > MAX_EXPRESSION:
        return _("The expression is longer than %(count)d characters.") % {"count": MAX_EXPRESSION}
    try:
        tree = jmespath.compile(text).parsed
    except (JMESPathError, RecursionError, ValueError) as exc:
        return _("This is no JMESPath: %(why)s") % {"why": str(exc).splitlines()[0][:120]}
    for node in _nodes(tree):
        if node["type"] not in NODES or (
            node["type"] == "function_expression" and node["value"] not in FUNCTIONS
        ):
            shown = node["value"] if node["type"] == "function_expression" else node["type"].replace("_", " ")
            return _("“%(part)s” is not supported here.") % {"part": shown}
    return ""


def _nodes(tree: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield tree
    for child in tree["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


# --- using them ------------------------------------------------------------------------------------


def places(template: object) -> set[str]:
    """The names of the placeholders in a template of any shape."""
    if isinstance(template, str):
        return set(_PLACE.findall(template))
    if isinstance(template, Mapping):
        return set().union(*(places(key) | places(value) for key, value in template.items()))
    if isinstance(template, list | tuple):
        return set().union(*map(places, template))
    return set()


def fill(template: Any, values: Mapping[str, str | int]) -> Any:
    """The template with its placeholders filled; one that is a whole text keeps the type of its value."""
    if isinstance(template, str):
        whole = _PLACE.fullmatch(template)
        if whole and whole[1] in values:
            return values[whole[1]]
        return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), template)
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    return template


def fill_path(template: str, values: Mapping[str, str | int]) -> str:
    """The path with its placeholders filled, each as one segment."""
    return str(fill(template, {name: quote(str(value), safe="") for name, value in values.items()}))


def find(expression: str, row: object) -> object:
    """What the expression finds; None where it finds nothing or cannot be applied."""
    if not expression:
        return None
    try:
        found: object = _compiled(expression).search(row)
    except (JMESPathError, RecursionError, TypeError, ValueError):
        return None
    return found


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    return jmespath.compile(expression)


def word(value: object) -> str:
    """A state as a word: ``True`` and ``"TRUE "`` are the same one; "" for what is no word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip().lower()[:100]
    return ""


def number(value: object) -> float | None:
    """A number, also one written as a text; None for anything else and for what is not finite."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = float(value.strip().replace(",", "."))
        except ValueError:
            return None
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
