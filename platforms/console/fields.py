"""Form fields of the console: secrets that are never shown, labels that are not JSON."""

import json
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

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
