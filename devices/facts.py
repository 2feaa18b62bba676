"""What a device is known to be, as lines for people: each fact in words, with its tone and its age. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from devices.sentences import output_words

WEAK_SIGNAL = 10  # of 31; below it SMS are lost
NOT_SHOWN = frozenset({"facts_at", "heard_at"})


@dataclass(frozen=True)
class FactLine:
    """One fact; ``tone`` is empty where it is neither good nor bad."""

    label: str
    value: str
    tone: str = ""
    at: datetime | None = None


def fact_lines(facts: Mapping[str, Any], *, lines: int = 0) -> list[FactLine]:
    """The facts of a device; of a socket with ``lines`` outputs each output has a line, known or not."""
    ages = facts.get("facts_at", {})
    rows = [_output(number, facts, ages) for number in range(1, lines + 1)]
    outputs = {f"out{number}" for number in range(1, lines + 1)}
    rows += [
        _line(name, value, _moment(ages, name))
        for name, value in facts.items()
        if name not in outputs | NOT_SHOWN and not isinstance(value, dict | list)
    ]
    return rows


def _output(number: int, facts: Mapping[str, Any], ages: Mapping[str, str]) -> FactLine:
    value, at = facts.get(f"out{number}"), _moment(ages, f"out{number}")
    label = output_words(number)
    if value == "on":
        return FactLine(label, _("is on"), "green", at)
    if value == "off":
        return FactLine(label, _("is off"), "amber", at)
    return FactLine(label, _("not known"), "grey")


def _line(name: str, value: Any, at: datetime | None) -> FactLine:
    if name == "mains":
        is_lost = value == "lost"
        return FactLine(
            _("mains"), _("mains lost") if is_lost else _("present"), "red" if is_lost else "green", at
        )
    if name == "gsm_csq":
        is_weak = isinstance(value, int | float) and value < WEAK_SIGNAL
        return FactLine(
            _("GSM signal"), _("%(value)s of 31") % {"value": value}, "amber" if is_weak else "", at
        )
    if name == "temperature_c":
        return FactLine(
            _("temperature"), f"{value:g} °C" if isinstance(value, int | float) else str(value), "", at
        )
    labels = {
        "ip": "IP", "outip": _("outer IP"), "name": _("name in the CMS"), "firmware": _("firmware"),
        "player_version": _("version of the player"), "time_zone": _("time zone"), "schedule": _("schedule"),
        "activation_state": _("activated"), "delay_minutes": _("delay, minutes"), "alarm_input": _("alarm input"),
        "temp_low": _("temperature, low limit"), "temp_high": _("temperature, high limit"),
        "temp_alarm": _("alarm of the temperature"),
    }  # fmt: skip
    words = {"on": _("is on"), "off": _("is off"), True: _("yes"), False: _("no")}
    shown = words[value] if isinstance(value, str | bool) and value in words else str(value)
    return FactLine(labels.get(name, name), shown, "", at)


def _moment(ages: Mapping[str, str], name: str) -> datetime | None:
    return datetime.fromisoformat(ages[name]) if name in ages else None
