"""Typed parameters of commands: what may be given, how it is written in the SMS, how it is read back.

Pure. A value is accepted only when the whole of it has the form of its type, in ASCII; nothing is guessed or
cut, since a stray ``#`` inside a parameter would be another command for the socket. Refusals are sentences
that say what to give instead, and never repeat the value: it may be a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from devices.errors import DevicesError
from remosa.lib.phones import normalise_msisdn

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    Sentence: TypeAlias = str | StrPromise

Value: TypeAlias = int | str | list[str]

# The words that the catalogue files use, for people. Others are shown as they are written there.
LABELS: "dict[str, Sentence]" = {
    "phone": _("Phone number"),
    "phones": _("Phone numbers"),
    "minutes": _("Minutes"),
    "seconds": _("Seconds"),
    "time": _("Time"),
    "day": _("Day"),
    "start": _("From"),
    "stop": _("Until"),
    "mode": _("Mode"),
    "low": _("Lowest temperature"),
    "high": _("Highest temperature"),
    "input": _("Input"),
    "type": _("Contact type"),
    "name1": _("Name of input 1"),
    "name2": _("Name of input 2"),
    "password": _("Device password"),
    "old": _("Present device password"),
    "new": _("New device password"),
    "slave": _("Name of the slave socket"),
    "slot": _("Slot"),
    "delta": _("Change of temperature"),
    "action": _("What to do"),
    "on": _("switch on"),
    "off": _("switch off"),
    "as before": _("as before the outage"),
    "heat": _("heating"),
    "cool": _("cooling"),
    "NC": _("normally closed"),
    "NO": _("normally open"),
    "NC and NO": _("both opening and closing"),
    "every day": _("every day"),
    "Mon": _("Monday"),
    "Tue": _("Tuesday"),
    "Wed": _("Wednesday"),
    "Thu": _("Thursday"),
    "Fri": _("Friday"),
    "Sat": _("Saturday"),
    "Sun": _("Sunday"),
    "Mon-Fri": _("Monday to Friday"),
    "Sat-Sun": _("Saturday and Sunday"),
    "min": _("min"),
    "s": _("s"),
}

MAX_LENGTH = 160  # characters of one parameter; the whole SMS has no more


class CatalogueError(DevicesError):
    """The catalogue itself is wrong, in ``column`` of ``row`` (the heading is row 1; 0 = unknown)."""

    def __init__(self, problem: str, *, column: str = "", row: int = 0) -> None:
        place = ", ".join(
            part for part in (f"row {row}" if row else "", f"column {column}" if column else "") if part
        )
        super().__init__(f"{place}: {problem}" if place else problem)
        self.problem, self.column, self.row = problem, column, row


class ParamError(DevicesError):
    """Parameters were refused: ``errors`` is {parameter: sentence that says what to change}."""

    def __init__(self, errors: "Mapping[str, Sentence]") -> None:
        super().__init__(f"{len(errors)} parameters were refused")
        self.errors = dict(errors)


@dataclass(frozen=True)
class ParamSpec:
    """One parameter of a command. Which fields a ``type`` uses: see ``TYPES``.

    ``minimum`` and ``maximum`` bound the value of an ``int``, the number of characters of ``digits`` and
    ``text``, the number of items of an ``e164_list``. ``choices`` are (code in the SMS, word). ``above``
    names a parameter that this one must exceed. A ``secret`` is masked wherever the text is shown.
    """

    name: str
    type: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[tuple[str, str], ...] = ()
    unit: str = ""
    above: str = ""
    secret: bool = False

    @property
    def label(self) -> "Sentence":
        """What people call it."""
        return LABELS.get(self.name, self.name)

    @property
    def hint(self) -> "Sentence":
        """A sentence that says what to give."""
        return TYPES[self.type].hint(self)

    def labelled_choices(self) -> "list[tuple[str, Sentence]]":
        """The choices as (code, words for people), for a form."""
        return [(code, LABELS.get(word, word)) for code, word in self.choices]

    def normalise(self, given: object) -> Value | None:
        """The value in its one form, ready for JSON; None when it is not acceptable as it stands."""
        return TYPES[self.type].normalise(self, given)

    def wire(self, value: Value) -> str:
        """A normalised value as it stands in the SMS."""
        return "#".join(value) if isinstance(value, list) else str(value)

    def read(self, text: str) -> Value | None:
        """The inverse of ``wire``; None when no acceptable value is written like that."""
        value = self.normalise(text.split("#") if self.type == "e164_list" else text)
        return value if value is not None and self.wire(value) == text else None

    @property
    def pattern(self) -> str:
        """Regular expression source of everything that ``wire`` can write (of its form, not of its range)."""
        return TYPES[self.type].pattern(self)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the normalised value."""
        return TYPES[self.type].json_schema(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, without what is empty; ``from_dict`` reads it back to an equal spec."""
        plain: dict[str, Any] = {"name": self.name, "type": self.type}
        plain |= {key: value for key in ("minimum", "maximum") if (value := getattr(self, key)) is not None}
        plain |= {key: value for key in ("unit", "above", "secret") if (value := getattr(self, key))}
        return plain | ({"choices": [list(choice) for choice in self.choices]} if self.choices else {})

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ParamSpec":
        """Read what ``to_dict`` wrote; raises CatalogueError when it is not a usable spec."""
        unknown = set(plain) - set(cls.__dataclass_fields__)
        if unknown or not {"name", "type"} <= set(plain):
            raise CatalogueError(
                f"a parameter needs name and type; it cannot have {sorted(map(str, unknown))}"
            )
        try:
            choices = tuple((str(code), str(word)) for code, word in plain.get("choices", ()))
        except (TypeError, ValueError) as exc:
            raise CatalogueError("choices must be pairs of code and word") from exc
        spec = cls(**{**plain, "choices": choices})
        check_param(spec)
        return spec

    @classmethod
    def from_text(cls, text: str) -> "ParamSpec":
        """Read one parameter of a catalogue file: ``name:type[:range or choices][:unit|>other|secret ...]``.

        Ranges are ``1..720``, choices ``1=heat,2=cool``. Raises CatalogueError.
        """
        name, _colon, options = text.strip().partition(":")
        type_, *rest = options.split(":")
        fields: dict[str, Any] = {"name": name, "type": type_}
        for option in rest:
            if span := re.fullmatch(r"(-?[0-9]{1,6})\.\.(-?[0-9]{1,6})", option):
                fields |= {"minimum": int(span[1]), "maximum": int(span[2])}
            elif "=" in option:
                fields["choices"] = [choice.partition("=")[::2] for choice in option.split(",")]
            elif option == "secret":
                fields["secret"] = True
            elif option.startswith(">"):
                fields["above"] = option[1:]
            elif option in UNITS:
                fields["unit"] = option
            else:
                raise CatalogueError(
                    f"{name}: {option!r} is neither a range, choices, unit, >other nor secret"
                )
        return cls.from_dict(fields)


UNITS = ("min", "s", "°C")


class ParamType(Protocol):
    """What one type of parameter does; ``spec`` is always of this type."""

    @property
    def needs_span(self) -> bool:
        """Whether ``minimum`` and ``maximum`` must be given."""

    @property
    def least(self) -> int:
        """The smallest ``minimum`` that makes sense."""

    def normalise(self, spec: ParamSpec, given: object) -> Value | None: ...

    def pattern(self, spec: ParamSpec) -> str: ...

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]: ...

    def hint(self, spec: ParamSpec) -> "Sentence": ...


def _span(spec: ParamSpec) -> tuple[int, int]:
    """Both bounds; ``check_param`` has made sure that they are there."""
    return spec.minimum or 0, spec.maximum or 0


class Integer:
    """A whole number; a string of it is taken too, since forms and CSV files give strings."""

    needs_span, least = True, -99_999

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        if isinstance(given, str) and re.fullmatch(r"0|-?[1-9][0-9]{0,8}", given):
            given = int(given)
        low, high = _span(spec)
        return given if type(given) is int and low <= given <= high else None  # a bool is not a number here

    def pattern(self, spec: ParamSpec) -> str:
        low, high = _span(spec)
        digits = max(len(str(abs(low))), len(str(abs(high))))
        return f"(?:0|{'-?' if low < 0 else ''}[1-9][0-9]{{0,{digits - 1}}})"

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        low, high = _span(spec)
        return {"type": "integer", "minimum": low, "maximum": high}

    def hint(self, spec: ParamSpec) -> "Sentence":
        low, high = _span(spec)
        if not spec.unit:
            return format_lazy(_("Give a whole number from {low} to {high}."), low=low, high=high)
        sentence = _("Give a whole number from {low} to {high} {unit}.")
        return format_lazy(sentence, low=low, high=high, unit=LABELS.get(spec.unit, spec.unit))


class Choice:
    """One of the codes of ``choices``, as a string; the number of a code that is a number is taken too."""

    needs_span, least = False, 0

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        if type(given) is int and abs(given) < 10**6:
            given = str(given)
        return next((code for code, _word in spec.choices if code == given), None)

    def pattern(self, spec: ParamSpec) -> str:
        codes = sorted((code for code, _word in spec.choices), key=lambda code: (-len(code), code))
        return "(?:" + "|".join(re.escape(code) for code in codes) + ")"

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        return {"type": "string", "enum": [code for code, _word in spec.choices]}

    def hint(self, spec: ParamSpec) -> "Sentence":
        words = [
            format_lazy("{code} = {word}", code=code, word=word) for code, word in spec.labelled_choices()
        ]
        listed = format_lazy(", ".join("{}" for _word in words), *words)
        return format_lazy(_("Choose one of these: {choices}."), choices=listed)


class Phone:
    """A phone number, in any spelling of ``remosa.lib.phones``; in the SMS E.164: ``+``, country, number."""

    needs_span, least = False, 0
    form = r"\+[1-9][0-9]{6,14}"

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        return self.read(given)

    @classmethod
    def read(cls, given: object) -> str | None:
        """The E.164 form of what a person wrote; None for what is not one whole number."""
        if not isinstance(given, str):
            return None
        if re.fullmatch(cls.form, given):  # in full already: countries open numbers that no list knows yet
            return given
        try:
            return normalise_msisdn(given)
        except ValueError:
            return None

    def pattern(self, spec: ParamSpec) -> str:
        return self.form

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.form}$"}

    def hint(self, spec: ParamSpec) -> "Sentence":
        return _("Write the whole number, for example +79001234567 or 8 900 123-45-67.")


class PhoneList:
    """Several different phone numbers: a list, or one string with commas between."""

    needs_span, least = True, 1

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        if isinstance(given, str) and len(given) <= MAX_LENGTH * 2:
            given = given.split(",")
        low, high = _span(spec)
        if not isinstance(given, list | tuple) or not low <= len(given) <= high:
            return None
        phones = [phone for item in given if (phone := Phone.read(item))]
        return phones if len(set(phones)) == len(given) else None

    def pattern(self, spec: ParamSpec) -> str:
        low, high = _span(spec)
        return f"{Phone.form}(?:#{Phone.form}){{{low - 1},{high - 1}}}"

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        low, high = _span(spec)
        item = {"type": "string", "pattern": f"^{Phone.form}$"}
        return {"type": "array", "items": item, "minItems": low, "maxItems": high, "uniqueItems": True}

    def hint(self, spec: ParamSpec) -> "Sentence":
        sentence = _("List {low} to {high} different whole numbers, with commas between.")
        low, high = _span(spec)
        return format_lazy(sentence, low=low, high=high)


@dataclass(frozen=True)
class ClockTime:
    """A time of day with ``separator`` between hours and minutes; both ``2000`` and ``20:00`` are taken."""

    separator: str
    sentence: "Sentence"
    needs_span: bool = False
    least: int = 0

    @property
    def form(self) -> str:
        return f"(?:[01][0-9]|2[0-3]){self.separator}[0-5][0-9]"

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        if not isinstance(given, str) or not re.fullmatch("(?:[01][0-9]|2[0-3]):?[0-5][0-9]", given):
            return None
        return f"{given[:2]}{self.separator}{given[-2:]}"

    def pattern(self, spec: ParamSpec) -> str:
        return self.form

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.form}$"}

    def hint(self, spec: ParamSpec) -> "Sentence":
        return self.sentence


@dataclass(frozen=True)
class Characters:
    """A string of ``minimum`` to ``maximum`` characters of one class."""

    characters: str  # inside of a regular expression class
    sentence: "Sentence"
    exactly: "Sentence"
    needs_span: bool = True
    least: int = 1

    def normalise(self, spec: ParamSpec, given: object) -> Value | None:
        return str(given) if isinstance(given, str) and re.fullmatch(self.pattern(spec), given) else None

    def pattern(self, spec: ParamSpec) -> str:
        low, high = _span(spec)
        return f"[{self.characters}]{{{low},{high}}}"

    def json_schema(self, spec: ParamSpec) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern(spec)}$"}

    def hint(self, spec: ParamSpec) -> "Sentence":
        low, high = _span(spec)
        return format_lazy(self.exactly if low == high else self.sentence, low=low, high=high)


TYPES: dict[str, ParamType] = {
    "int": Integer(),
    "enum": Choice(),
    "e164": Phone(),
    "e164_list": PhoneList(),
    "hhmm": ClockTime("", _("Write the time as four digits from 0000 to 2359; 20:00 is taken as 2000.")),
    "clock": ClockTime(":", _("Write the time from 00:00 to 23:59; 2000 is taken as 20:00.")),
    "digits": Characters(
        "0-9",
        _("Write {low} to {high} digits and nothing else."),
        _("Write {low} digits and nothing else."),
    ),
    "text": Characters(
        "A-Z0-9",
        _("Write {low} to {high} capital Latin letters or digits, without spaces."),
        _("Write {low} capital Latin letters or digits, without spaces."),
    ),
}


def check_param(spec: ParamSpec) -> None:
    """Raise CatalogueError unless ``spec`` can be used as it stands."""
    words = (spec.name, spec.type, spec.unit, spec.above)
    if not all(isinstance(word, str) for word in words) or not isinstance(spec.secret, bool):
        raise CatalogueError("name, type, unit and above must be strings, secret true or false")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", spec.name):
        raise CatalogueError(
            f"{spec.name[:40]!r} is no parameter name: use small Latin letters, digits and _"
        )
    if spec.type not in TYPES:
        raise CatalogueError(f"{spec.name}: unknown type {spec.type[:40]!r}; it may be {', '.join(TYPES)}")
    if spec.unit not in ("", *UNITS):
        raise CatalogueError(f"{spec.name}: unknown unit {spec.unit[:40]!r}; it may be {', '.join(UNITS)}")
    _check_span(spec)
    _check_choices(spec)
    if spec.above and spec.type not in ("int", "hhmm"):
        raise CatalogueError(f"{spec.name}: only int and hhmm can be above another parameter")


def _check_span(spec: ParamSpec) -> None:
    of_type = TYPES[spec.type]
    low, high = spec.minimum, spec.maximum
    if not of_type.needs_span:
        if low is not None or high is not None:
            raise CatalogueError(f"{spec.name}: {spec.type} has no range")
        return
    if type(low) is not int or type(high) is not int:
        raise CatalogueError(f"{spec.name}: {spec.type} needs a range, for example 1..720")
    most = 99_999 if spec.type == "int" else MAX_LENGTH
    if not of_type.least <= low <= high <= most:
        raise CatalogueError(
            f"{spec.name}: the range must lie within {of_type.least}..{most}, the lower bound first"
        )


def _check_choices(spec: ParamSpec) -> None:
    codes = [code for code, _word in spec.choices]
    if (spec.type == "enum") != bool(codes):
        raise CatalogueError(f"{spec.name}: an enum, and nothing else, needs choices like 1=heat,2=cool")
    if len(set(codes)) != len(codes) or not all(re.fullmatch(r"[A-Z0-9*]{1,16}", code) for code in codes):
        raise CatalogueError(f"{spec.name}: codes must differ and consist of A-Z, 0-9 and *")
