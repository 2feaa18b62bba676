"""Forms of the exporter pages: what every kind asks for, and how a CMS without code is described."""

import json
import re
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from exporters.mapping import UNITS, BadMapping, read_mapping
from exporters.models import Exporter
from platforms.console.fields import SecretsForm

MOST_CHARACTERS = 500_000
PREFIX = "config_"
LINES_HELP = _(
    "One per line: a MAC (or a number in the CMS), then perhaps a name. Any way of writing a MAC will do."
)
_FACT = re.compile(r"\s*([^=\s]+)\s*=\s*(.+?)\s*")
_GAUGE = re.compile(r"\s*([^=,\s]+)\s*(?:,\s*([^=\s]*))?\s*=\s*(.+?)\s*")


def lines_field(*, required: bool, rows: int) -> forms.CharField:
    """A textarea for ids, one per line."""
    return forms.CharField(
        label=_("Devices"), max_length=MOST_CHARACTERS, required=required, help_text=LINES_HELP,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": rows}),
    )  # fmt: skip


class DevicesForm(forms.Form):
    """Devices to poll, pasted."""

    lines = lines_field(required=True, rows=10)


class CorrectForm(forms.Form):
    """The right id of a target."""

    external_id = forms.CharField(
        label=_("MAC or number in the CMS"), max_length=100, widget=UnfoldAdminTextInputWidget
    )


class ExporterForm(SecretsForm):
    """An exporter; a new one comes with its devices. ``kind`` is chosen before."""

    secrets = ("secret",)
    kind = ""
    lines = lines_field(required=False, rows=8)

    class Meta:
        model = Exporter
        fields = ("platform",)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.instance._state.adding and self.kind:
            self.instance.kind = self.kind
        return cleaned

    def _post_clean(self) -> None:
        """The row itself is checked once its fields are right: it has columns that are no fields here."""
        if not self.errors:
            super()._post_clean()


# --- a CMS that is described -------------------------------------------------------------------------


class JsonField(forms.JSONField):
    """JSON that may be left out."""

    def __init__(self, label: Any, help_text: Any = "") -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})
        super().__init__(label=label, required=False, widget=widget, help_text=help_text)

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, {}) else super().prepare_value(value)


class PathField(forms.CharField):
    """One JMESPath, or a plain text."""

    def __init__(self, label: Any, help_text: Any = "", **kwargs: Any) -> None:
        super().__init__(
            label=label, help_text=help_text, required=kwargs.pop("required", False), max_length=500,
            widget=UnfoldAdminTextInputWidget, **kwargs,
        )  # fmt: skip


class WordsField(PathField):
    """Words with commas in between."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return ", ".join(json.dumps(one) if isinstance(one, bool) else str(one) for one in value)

    def to_python(self, value: Any) -> list[str]:
        text = super().to_python(value)
        return [word.strip() for word in text.split(",") if word.strip()]


class FactsField(forms.CharField):
    """Lines ``name = path``."""

    pattern, keys = _FACT, ("name", "path")

    def __init__(self, label: Any, help_text: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        super().__init__(label=label, required=False, help_text=help_text, widget=widget, max_length=10_000)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{name} = {path}" for name, path in value.items())
        return value

    def to_python(self, value: Any) -> Any:
        return dict(self._rows(super().to_python(value)))

    def _rows(self, text: str) -> list[tuple[str, ...]]:
        rows = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            found = self.pattern.fullmatch(line)
            if found is None:
                raise forms.ValidationError(
                    _g("Line %(number)d: write %(form)s.") % {"number": number, "form": self.help_text}
                )
            rows.append(tuple(part or "" for part in found.groups()))
        return rows


class GaugesField(FactsField):
    """Lines ``name, unit = path``."""

    pattern = _GAUGE

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return "\n".join(
                f"{one.get('name', '')}{', ' + one['unit'] if one.get('unit') else ''} = {one.get('path', '')}"
                for one in value
            )
        return value

    def to_python(self, value: Any) -> Any:
        text = forms.CharField.to_python(self, value)
        return [{"name": name, "unit": unit, "path": path} for name, unit, path in self._rows(text)]


class JsonExporterForm(ExporterForm):
    """An exporter of kind ``json``; its settings are kept together in ``config``."""

    config_method = forms.ChoiceField(
        label=_("method"), choices=[("GET", "GET"), ("POST", "POST")], widget=UnfoldAdminSelectWidget
    )
    config_path = PathField(
        _("path of the request"),
        _("For example /api/devices. {id}: one request per device; {offset} or {page}: page by page."),
        required=True,
    )
    config_query = JsonField(_("query parameters"), _('For example {"limit": "{limit}"}'))
    config_headers = JsonField(_("headers"), _('For example {"Authorization": "Bearer {secret}"}'))
    config_body = JsonField(_("JSON body"), _("Only of POST."))
    config_page_size = forms.IntegerField(
        label=_("rows of a full page"), initial=100, widget=UnfoldAdminTextInputWidget
    )
    config_list = PathField(
        _("list"), _("Where the rows stand in the answer; @ is the answer itself."), initial="@"
    )
    config_id = PathField(_("id"), _("In a row, for example id or net.mac"), required=True)
    config_name = PathField(_("name"), _("In a row, for example title"))
    config_state = PathField(_("state"), _("In a row, for example status"), required=True)
    config_online = WordsField(_("words for online"), _("For example online, true, 1"), required=True)
    config_offline = WordsField(_("words for offline"), _("For example offline, false, 0"), required=True)
    config_last_online = PathField(_("last online"), _("In a row; ISO-8601 or Unix time"))
    config_facts = FactsField(_("facts"), _("name = path"))
    config_gauges = GaugesField(_("numbers"), _("name, unit = path"))

    MAPPED = (
        "method", "path", "query", "headers", "body", "page_size", "list", "id", "name", "state", "online",
        "offline", "last_online", "facts", "gauges",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.MAPPED:
            if PREFIX + name in self.fields:
                self.fields[PREFIX + name].label = capfirst(self.fields[PREFIX + name].label)
            if name in self.instance.config and PREFIX + name in self.fields:
                self.initial[PREFIX + name] = self.instance.config[name]
        if "config_gauges" in self.fields:
            self.fields["config_gauges"].help_text = _("name, unit = path")
            self.fields["config_gauges"].widget.attrs["placeholder"] = "temperature, celsius = sensors.board"
            self.fields["config_facts"].widget.attrs["placeholder"] = "ip = net.ip"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        config = self.config_of(cleaned)
        self.instance.config = config
        try:
            read_mapping(config)
        except BadMapping as exc:
            for name, sentence in exc.faults.items():
                if PREFIX + name not in self.errors:
                    self.add_error(PREFIX + name if PREFIX + name in self.fields else None, sentence)
        return cleaned

    def config_of(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """What is stored: everything that was filled in."""
        config = {name: cleaned.get(PREFIX + name) for name in self.MAPPED if PREFIX + name in self.fields}
        return {name: value for name, value in config.items() if value not in (None, "", {}, [])}


SECTIONS = (
    (_("Request"), ("method", "path", "query", "headers", "body", "page_size")),
    (_("Answer"), ("list", "id", "name", "state", "online", "offline", "last_online", "facts", "gauges")),
)


def form_of(kind: str) -> type[ExporterForm]:
    """The form of a kind."""
    base = JsonExporterForm if kind == "json" else ExporterForm
    return type("KindForm", (base,), {"kind": kind})


def sections_of(kind: str) -> list[tuple[Any, dict[str, Any]]]:
    """The fieldsets that only this kind has."""
    if kind != "json":
        return []
    units = ", ".join(UNITS[1:])
    described = {1: _g("Paths are JMESPath. Units of numbers: %(units)s.") % {"units": units}}
    return [
        (title, {"fields": [PREFIX + name for name in names], "description": described.get(number, "")})
        for number, (title, names) in enumerate(SECTIONS)
    ]
