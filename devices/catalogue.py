"""The command catalogue of control devices: one SMS per command, made only from these templates.

Pure: decides what a command looks like and whether parameters may go into it, never who may send it. A body
is built by literal splitting, its parameters are checked in full, and the finished text must match the
grammar of its own template from end to end before anybody may see it. The same bytes mean different things
to different models (``#12#0#10#1#`` cuts the power for ten minutes on a D210 and restores it after ten on a
T40), so nothing here works without a model.

``line`` is the output that a template acts on: 1 or 2, and 0 for a command to the device as a whole. With a
``power`` effect 0 means all outputs at once. The single output of a D210 is line 1.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from devices.parameters import CatalogueError, ParamError, ParamSpec, Value, check_param

if TYPE_CHECKING:
    from devices.parameters import Sentence

__all__ = [
    "CATEGORIES",
    "CatalogueError",
    "ParamError",
    "ParamSpec",
    "Rendered",
    "TemplateSpec",
    "check_template",
    "grammar",
    "load_catalogue",
    "params_schema",
    "parse_body",
    "render",
]

DATA = Path(__file__).parent / "data"
SHIPPED = DATA / "simpal.csv"
COLUMNS = (
    *("model", "key", "category", "name_ru", "name_en", "body", "params"),
    *("effect", "power", "min_role", "line", "dangerous", "source"),
)

CATEGORIES: "dict[str, Sentence]" = {
    "power": _("Power"),
    "delay": _("Delay"),
    "schedule": _("Schedule"),
    "temperature": _("Temperature"),
    "sensors": _("Sensors"),
    "notices": _("SMS notices"),
    "status": _("Status"),
    "numbers": _("Phone numbers"),
    "danger": _("Dangerous"),
}
EFFECTS = ("non-idempotent", "idempotent", "query")
POWERS = ("", "on", "off", "cycle", "on_then_off", "on_later", "off_later", "schedule", "thermostat")
DARKENING = frozenset({"off", "cycle", "on_then_off", "off_later"})  # sent twice, these act twice
ROLES = ("viewer", "user", "manager", "admin", "superadmin")
ROLES_FOR_DANGER = ("admin", "superadmin")

# Characters that take one septet in the GSM 7-bit alphabet and are ASCII; what a body is made of.
ONE_SEPTET = frozenset(map(chr, range(0x20, 0x7F))) - frozenset("[\\]^`{|}~")
MAX_SEPTETS = 160  # one SMS: a command that arrives in part is another command
UNCONFIRMED = "confirm on the bench"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class TemplateSpec:
    """One command of one model. ``source`` says where it was learned from."""

    model: str
    key: str
    category: str
    name_ru: str
    name_en: str
    body: str
    params: tuple[ParamSpec, ...] = ()
    effect: str = "non-idempotent"
    power: str = ""
    min_role: str = "superadmin"
    source: str = ""
    line: int = 0
    dangerous: bool = False

    @property
    def to_be_confirmed(self) -> bool:
        """True for what was never seen on a real device of this model."""
        return UNCONFIRMED in self.source

    @property
    def acts_on_all_lines(self) -> bool:
        """True when the command moves every output at once, which has to be asked for twice."""
        return self.line == 0 and self.power != ""

    @property
    def pieces(self) -> list[str]:
        """The body cut into literals and parameter names, literals at the even places."""
        return _PLACEHOLDER.split(self.body)


@dataclass(frozen=True)
class Rendered:
    """A finished SMS: its text, its parameters as JSON, and the text as it may be shown and logged."""

    body: str
    params: dict[str, Value]
    masked: str


def load_catalogue(*paths: Path) -> list[TemplateSpec]:
    """Read catalogue files (UTF-8 CSV with the columns of ``COLUMNS``), by default all that are shipped.

    Raises CatalogueError naming row and column of the first mistake; never returns a part of a catalogue.
    """
    specs: dict[tuple[str, str], TemplateSpec] = {}
    bodies: dict[tuple[str, str], str] = {}
    for path in paths or sorted(DATA.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise CatalogueError(f"the columns must be {','.join(COLUMNS)}", row=1)
            for number, row in enumerate(reader, start=2):
                try:
                    spec = _read_row(row)
                    if (spec.model, spec.key) in specs:
                        raise CatalogueError(f"{spec.model} has {spec.key!r} already", column="key")
                    twin = bodies.setdefault((spec.model, spec.body), spec.key)
                    if twin != spec.key:
                        raise CatalogueError(f"{spec.model} sends the same text for {twin!r}", column="body")
                except CatalogueError as exc:
                    raise CatalogueError(exc.problem, column=exc.column, row=number) from exc
                specs[spec.model, spec.key] = spec
    return list(specs.values())


def _read_row(row: Mapping[str, Any]) -> TemplateSpec:
    if None in row or None in row.values():
        raise CatalogueError(f"a row has {len(COLUMNS)} cells; quote a cell that holds a comma")
    try:
        params = tuple(ParamSpec.from_text(text) for text in row["params"].split(";") if text.strip())
    except CatalogueError as exc:
        raise CatalogueError(exc.problem, column="params") from exc
    if row["dangerous"] not in ("yes", "no"):
        raise CatalogueError("write yes or no", column="dangerous")
    if not re.fullmatch("[0-9]", row["line"]):
        raise CatalogueError("write 0 for the whole device or the number of the output", column="line")
    same = ("model", "key", "category", "name_ru", "name_en", "body", "effect", "power", "min_role", "source")
    spec = TemplateSpec(
        params=params,
        line=int(row["line"]),
        dangerous=row["dangerous"] == "yes",
        **{column: row[column] for column in same},
    )
    check_template(spec)
    return spec


def check_template(spec: TemplateSpec) -> None:
    """Raise CatalogueError (with ``column``) unless the template is whole and consistent in itself."""
    for column, form in (("model", r"[A-Z0-9-]{1,32}"), ("key", r"[a-z][a-z0-9_]{0,63}")):
        if not re.fullmatch(form, getattr(spec, column)):
            raise CatalogueError(f"{getattr(spec, column)[:40]!r} does not match {form}", column=column)
    allowed = {"category": CATEGORIES, "effect": EFFECTS, "power": POWERS, "min_role": ROLES}
    for column, words in allowed.items():
        if getattr(spec, column) not in words:
            raise CatalogueError(
                f"{getattr(spec, column)[:40]!r} is none of {', '.join(words)}", column=column
            )
    for column in ("name_ru", "name_en", "source"):
        if not getattr(spec, column).strip():
            raise CatalogueError("is empty", column=column)
    if not 0 <= spec.line <= 9:
        raise CatalogueError("must be 0 for the whole device or the number of the output", column="line")
    if spec.power in DARKENING and spec.effect != "non-idempotent":
        raise CatalogueError(f"a command that can switch off ({spec.power}) acts each time", column="effect")
    if spec.effect == "query" and (spec.power or spec.dangerous):
        raise CatalogueError("a query neither switches anything nor is dangerous", column="effect")
    if spec.dangerous and spec.min_role not in ROLES_FOR_DANGER:
        raise CatalogueError(f"a dangerous command needs {' or '.join(ROLES_FOR_DANGER)}", column="min_role")
    _check_body(spec)


def _check_body(spec: TemplateSpec) -> None:
    literals, names = spec.pieces[::2], spec.pieces[1::2]
    if not set("".join(literals)) <= ONE_SEPTET:
        raise CatalogueError("may hold plain Latin letters, digits, signs and {parameters}", column="body")
    if not 1 <= len(spec.body) <= MAX_SEPTETS:
        raise CatalogueError(f"must have 1 to {MAX_SEPTETS} characters", column="body")
    if len(set(names)) != len(names) or "" in literals[1:-1]:
        raise CatalogueError("names a parameter twice, or two without a sign between them", column="body")
    given = [param.name for param in spec.params]
    if sorted(given) != sorted(names):
        raise CatalogueError(f"the body has {names}, the parameters are {given}", column="params")
    for param in spec.params:
        try:
            check_param(param)
        except CatalogueError as exc:
            raise CatalogueError(exc.problem, column="params") from exc
        if param.above and (param.above not in given or _type_of(spec, param.above) != param.type):
            raise CatalogueError(f"{param.name}: there is no {param.type} {param.above!r}", column="params")


def _type_of(spec: TemplateSpec, name: str) -> str:
    return next(param.type for param in spec.params if param.name == name)


def render(spec: TemplateSpec, params: Mapping[str, object]) -> Rendered:
    """Make the SMS of ``spec``; every parameter must be given, and no other.

    Raises ParamError with a sentence for each parameter to change; one about the whole is under ``body``.
    """
    values = _normalise(spec, params)
    body = _fill(spec, values)
    if grammar(spec).fullmatch(body) is None:
        raise ParamError({"body": _("The text is not a command of this device: check the parameters.")})
    if len(body) > MAX_SEPTETS:
        sentence = _("The command would have {length} characters, one SMS holds {limit}: give less.")
        longest = max(values, key=lambda name: len(str(values[name])), default="body")
        raise ParamError({longest: format_lazy(sentence, length=len(body), limit=MAX_SEPTETS)})
    return Rendered(body, values, _fill(spec, values, mask=True))


def _normalise(spec: TemplateSpec, given: Mapping[str, object]) -> dict[str, Value]:
    """All parameters in their one form, in the order of the template; raises ParamError."""
    known = {param.name for param in spec.params}
    errors: dict[str, Sentence] = {
        str(name)[:32]: _("This command has no such parameter: leave it out.")
        for name in given
        if name not in known
    }
    values: dict[str, Value] = {}
    for param in spec.params:
        value = param.normalise(given.get(param.name))
        if value is None:
            errors[param.name] = param.hint
        else:
            values[param.name] = value
    for param in spec.params:
        if param.above and {param.name, param.above} <= set(values) and not _exceeds(values, param):
            other = next(each.label for each in spec.params if each.name == param.above)
            errors[param.name] = format_lazy(_("Give more than in “{other}”."), other=other)
    if errors:
        raise ParamError(errors)
    return values


def _exceeds(values: Mapping[str, Value], param: ParamSpec) -> bool:
    value, other = values[param.name], values[param.above]
    if isinstance(value, int) and isinstance(other, int):
        return value > other
    return isinstance(value, str) and isinstance(other, str) and value > other  # hhmm: as text is as time


def _fill(spec: TemplateSpec, values: Mapping[str, Value], *, mask: bool = False) -> str:
    """Put the values between the literals of the body; their content is never looked at again."""
    params = {param.name: param for param in spec.params}
    written = list(spec.pieces)
    for place in range(1, len(written), 2):
        param = params[written[place]]
        written[place] = "****" if mask and param.secret else param.wire(values[param.name])
    return "".join(written)


@cache
def grammar(spec: TemplateSpec) -> re.Pattern[str]:
    """Everything that ``spec`` may ever send, as a regular expression; a group per parameter."""
    params = {param.name: param for param in spec.params}
    written = list(spec.pieces)
    for place, piece in enumerate(written):
        written[place] = re.escape(piece) if place % 2 == 0 else f"(?P<{piece}>{params[piece].pattern})"
    return re.compile("".join(written), re.ASCII)


def parse_body(specs: Iterable[TemplateSpec], body: str) -> tuple[TemplateSpec, dict[str, Value]] | None:
    """Read an SMS back: the template and its parameters; None when none of ``specs`` sends such a text.

    ``specs`` are those of one model. Where two could have sent it, the one with more literal text wins, then
    the one whose key comes first.
    """
    if len(body) > MAX_SEPTETS:
        return None
    for spec in sorted(specs, key=lambda spec: (-len("".join(spec.pieces[::2])), spec.model, spec.key)):
        if match := grammar(spec).fullmatch(body):
            read = {param.name: param.read(match[param.name]) for param in spec.params}
            try:
                return spec, _normalise(spec, read)
            except ParamError:
                continue
    return None


def params_schema(spec: TemplateSpec) -> dict[str, Any]:
    """JSON Schema of the parameters object of ``spec``, for the API documents."""
    return {
        "type": "object",
        "properties": {param.name: param.json_schema() for param in spec.params},
        "required": [param.name for param in spec.params],
        "additionalProperties": False,
    }
