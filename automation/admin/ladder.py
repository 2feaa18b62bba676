"""The field of a form in which a ladder is built: a row per step, times in minutes."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from automation.ladder import MOST_MINUTES, MOST_STEPS, Do, validate_ladder
from automation.models import Webhook

SHOWN = 4  # rows that are always there; the others unfold
PARTS = 3  # of a row: what, minutes off, minutes of waiting


class LadderWidget(forms.MultiWidget):
    """The rows."""

    def __init__(self, choices: list[tuple[str, Any]]) -> None:
        what = [(_("step"), UnfoldAdminSelectWidget(choices=choices))]
        off = [(_("power off, min"), UnfoldAdminIntegerFieldWidget(attrs={"min": 1, "max": MOST_MINUTES}))]
        wait = [(_("wait for it, min"), UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}))]
        self.titles = [title for title, _widget in (*what, *off, *wait)]
        row = [widget for _title, widget in (*what, *off, *wait)]
        super().__init__(row * MOST_STEPS)

    def decompress(self, value: Any) -> list[Any]:
        found: list[Any] = []
        for step in value or []:
            do = f"{step['do']}:{step['webhook']}" if "webhook" in step else step["do"]
            wait_s = step.get("wait_s")
            found += [do, step.get("minutes"), f"{wait_s / 60:g}" if wait_s else None]
        return found + [None] * (PARTS * MOST_STEPS - len(found))

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Each row with what it holds; those behind the last used one are folded."""
        if not value or isinstance(value[0], dict):  # as it is stored; what was typed comes part by part
            value = self.decompress(value)
        parts = self.get_context(name, value, attrs)["widget"]["subwidgets"]
        cells = []
        for part, title in zip(parts, self.titles * MOST_STEPS, strict=True):
            part["attrs"]["aria-label"] = title
            html = mark_safe(renderer.render(part["template_name"], {"widget": part}))  # noqa: S308  Django's own
            cells.append((title, html, part["value"] not in (None, "", [], [""])))
        rows = [cells[at : at + PARTS] for at in range(0, len(cells), PARTS)]
        used = max((n for n, row in enumerate(rows, start=1) if any(cell[2] for cell in row)), default=0)
        shown = max(SHOWN, used)
        return render_to_string(
            "console/ladder.html", {"rows": rows[:shown], "more": rows[shown:], "shown": shown}
        )


class LadderField(forms.MultiValueField):
    """The steps of a job; stored as ``automation.ladder`` knows them."""

    def __init__(self, *, webhooks: Iterable[Webhook], several: bool, **kwargs: Any) -> None:
        hooks = [
            (f"{Do.WEBHOOK}:{row.pk}", _hook_title(row, several=several)) for row in webhooks
        ]  # fmt: skip
        choices = [
            ("", "—"), *hooks, (Do.CYCLE, _("Power cycle")), (Do.NOTICE, _("Tell people")), (Do.WAIT, _("Only wait")),
        ]  # fmt: skip
        what = forms.ChoiceField(choices=choices, required=False)
        off = forms.IntegerField(min_value=1, max_value=MOST_MINUTES, required=False)
        wait = forms.FloatField(min_value=0.1, max_value=1440, required=False, localize=True)
        super().__init__(
            [what, off, wait] * MOST_STEPS, widget=LadderWidget(choices), required=False, require_all_fields=False,
            **kwargs,
        )  # fmt: skip

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or []) != self.clean(data)
        except ValidationError:
            return True

    def compress(self, data_list: list[Any]) -> list[dict[str, Any]]:
        steps = []
        rows = [data_list[at : at + PARTS] for at in range(0, len(data_list), PARTS)]
        for number, (what, off, wait) in enumerate(rows, start=1):
            if not what:
                if off or wait:
                    raise ValidationError(_g("Step %(number)d: choose what it does.") % {"number": number})
                continue
            do, _colon, hook = what.partition(":")
            if off and do != Do.CYCLE:
                raise ValidationError(_g("Step %(number)d: only a power cycle has minutes without power.")
                                      % {"number": number})  # fmt: skip
            step = {"do": do, "webhook": int(hook) if hook else None, "minutes": off or None}
            step["wait_s"] = round(wait * 60, 1) if wait else None
            steps.append({name: value for name, value in step.items() if value is not None})
        validate_ladder(steps)
        return steps


def _hook_title(row: Webhook, *, several: bool) -> str:
    title = _g("Webhook “%(name)s”") % {"name": row.name}
    return f"{title} ({row.platform})" if several else title
