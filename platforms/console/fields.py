"""Form fields of the console: secrets that are never shown, labels that are not JSON, durations with units."""

import json
import re
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import sanitize_separators
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from platforms.console.display import exact_span_text
from remosa.lib.hours import canonical, parse_week, week_text

LABEL = re.compile(r"\s*([^=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*")
MOST_LABELS = 50


class SecretField(forms.CharField):
    """A secret that can be set and replaced, and never read back: an empty field keeps what there is."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("max_length", 2000)
        kwargs.setdefault("widget", UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}))
        super().__init__(strip=True, **kwargs)

    def say_whether_set(self, is_set: bool) -> None:
        """Tell the reader whether there is one, and what an empty field means."""
        self.help_text = (
            _("It is set, and never shown. Write a new one to replace it; leave this empty to keep it.")
            if is_set
            else _("It is not set yet. It is stored encrypted and never shown again.")
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class SecretsForm(forms.ModelForm):
    """A form whose ``secrets`` (names of encrypted columns) are write-only."""

    secrets: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.secrets:
            if name in self.fields:
                field = SecretField(label=self.fields[name].label)
                field.say_whether_set(bool(getattr(self.instance, name)))
                self.fields[name] = field
                self.initial.pop(name, None)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in self.secrets:
            if name in self.fields and not cleaned.get(name):
                cleaned[name] = getattr(self.instance, name)
        return cleaned


class LabelsField(forms.CharField):
    """Labels as lines ``name = value``; the stored form is an object of strings."""

    def __init__(self, **kwargs: Any) -> None:
        for name in ("encoder", "decoder"):
            kwargs.pop(name, None)
        kwargs["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        kwargs["required"] = False
        kwargs["help_text"] = _("One per line, for example: hall = A")
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Stored labels as lines; what was typed stays as it was typed."""
        if isinstance(value, str):
            return value
        return "\n".join(f"{name} = {text}" for name, text in (value or {}).items())

    def to_python(self, value: Any) -> dict[str, str]:
        labels = {}
        for number, line in enumerate(super().to_python(value).splitlines(), start=1):
            if not line.strip():
                continue
            match = LABEL.fullmatch(line)
            if match is None or len(line) > 300:
                raise ValidationError(
                    _g("Line %(number)d is no label. Write a name, “=” and a value.") % {"number": number}
                )
            labels[match[1]] = match[2]
        if len(labels) > MOST_LABELS:
            raise ValidationError(_g("At most %(most)d labels.") % {"most": MOST_LABELS})
        return labels

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or {}) != self.to_python(data)
        except ValidationError:
            return True


def labels_text(labels: Any) -> str:
    """Labels in one line, for reading."""
    if not isinstance(labels, dict):
        return json.dumps(labels, ensure_ascii=False)
    return ", ".join(f"{name} = {value}" for name, value in labels.items()) or "—"


def day_names() -> list[str]:
    """The days in the reader's language, Monday first."""
    return [str(WEEKDAYS_ABBR[number]).lower() for number in range(7)]


def hours_text(week: Any) -> str:
    """A week in one line, for reading."""
    return week_text(week, day_names()).replace("\n", "; ") if week else ""


class WeekField(forms.CharField):
    """Hours of a week as lines ``mon-fri 09:00-22:00``; stored by day."""

    def __init__(self, **kwargs: Any) -> None:
        for name in ("encoder", "decoder"):
            kwargs.pop(name, None)
        kwargs["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        kwargs["required"] = False
        super().__init__(**kwargs)

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        """The example speaks the reader's language."""
        names, told = day_names(), self.help_text
        self.help_text = _g("%(told)s For example: %(days)s 09:00-22:00, a line for each; or 24/7.") % {
            "told": told, "days": f"{names[0]}-{names[4]}",
        }  # fmt: skip
        bound = super().get_bound_field(form, field_name)
        self.help_text = told
        return bound

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else week_text(value or {}, day_names())

    def to_python(self, value: Any) -> dict[str, list[str]]:
        try:
            return parse_week(super().to_python(value), day_names())
        except ValueError as exc:
            raise ValidationError(
                _g("This cannot be read: %(line)s. Write for example %(day)s 09:00-22:00.")
                % {"line": str(exc)[:80], "day": day_names()[0]}
            ) from exc

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or {}) != self.to_python(data)
        except ValidationError:
            return True


class SpansField(forms.CharField):
    """Hours of one day, such as ``10:00-16:00, 18:00-02:00``; stored as a list."""

    def __init__(self, **kwargs: Any) -> None:
        for name in ("encoder", "decoder"):
            kwargs.pop(name, None)
        kwargs["widget"] = UnfoldAdminTextInputWidget()
        kwargs["required"] = False
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else ", ".join(value or ())

    def to_python(self, value: Any) -> list[str]:
        try:
            return canonical(filter(None, (part.strip() for part in super().to_python(value).split(","))))
        except ValueError as exc:
            raise ValidationError(_g("Write hours such as 10:00-16:00.")) from exc

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or []) != self.to_python(data)
        except ValidationError:
            return True


class SpanField(forms.Field):
    """A duration as people write it, ``1 h 30 min`` or ``10 мин``; its value is a number of seconds.

    A number without a unit is refused: ten may be seconds or minutes. ``column`` is the one that it fills; the
    bounds of its validators are said in words.
    """

    widget = UnfoldAdminTextInputWidget
    UNITS: ClassVar[dict[str, int]] = {
        "s": 1,
        "с": 1,
        "m": 60,
        "м": 60,
        "h": 3600,
        "ч": 3600,
        "d": 86_400,
        "д": 86_400,
    }
    PART = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*([^\W\d_]+)\.?,?")

    def __init__(self, *, column: "models.Field[Any, Any]", **kwargs: Any) -> None:
        for name in ("min_value", "max_value"):  # the column's validators know them
            kwargs.pop(name, None)
        super().__init__(**kwargs)
        self._is_whole = isinstance(column, models.IntegerField)
        limits = [
            check for check in column.validators if isinstance(check, MinValueValidator | MaxValueValidator)
        ]
        self._least = max(
            (each.limit_value for each in limits if isinstance(each, MinValueValidator)), default=0
        )
        self._most = min(
            (each.limit_value for each in limits if isinstance(each, MaxValueValidator)), default=None
        )

    def prepare_value(self, value: Any) -> Any:
        return exact_span_text(value) if isinstance(value, int | float) else value

    def to_python(self, value: Any) -> float | int | None:
        text = str(value or "").strip().lower()
        if not text:
            return None
        seconds = 0.0
        rest = "0 s" if text == "0" else text
        while rest:
            part = self.PART.match(rest)
            unit = self.UNITS.get(part[2][0]) if part else None
            if part is None or unit is None:
                raise ValidationError(
                    _g("Write a number and its unit, for example %(example)s.")
                    % {"example": exact_span_text(5400)}
                )
            seconds += float(part[1].replace(",", ".")) * unit
            rest = rest[part.end() :].strip()
        return round(seconds) if self._is_whole else seconds

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is None:
            return
        if value < self._least:
            raise ValidationError(_g("At least %(span)s.") % {"span": exact_span_text(self._least)})
        if self._most is not None and value > self._most:
            raise ValidationError(_g("At most %(span)s.") % {"span": exact_span_text(self._most)})

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return initial != self.to_python(data)
        except ValidationError:
            return True


def is_span(column: Any) -> bool:
    """Whether a column holds a number of seconds: by its name, ``…_s``, and not ``…_per_s``."""
    return isinstance(column, models.FloatField | models.IntegerField) and bool(
        re.search(r"(?<!_per)_s$", column.name)
    )


def read_span(text: str) -> str:
    """A number of seconds as Django shows it, in words; anything else as it is."""
    try:
        return exact_span_text(float(sanitize_separators(text)))
    except ValueError:
        return text
