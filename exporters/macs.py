"""MACs pasted by the hundred: which lines hold one, and what is said about the others. Pure.

What a MAC is stands in ``remosa.lib.macs``; whether it is known, or one too many, is decided where the
rows are.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from django.utils.translation import gettext as _

from remosa.lib.macs import CONTROL, INVISIBLE, normalise_mac, shown

__all__ = ["BadLine", "DuplicateLine", "MacLine", "MacReport", "normalise_mac", "read_mac_lines"]

_LINE_END = re.compile(r"\r\n|\r|\n")
_GAP = re.compile(r"[\s;,]+")
NAME_MAX = 200


class MacLine(NamedTuple):
    """One accepted line; ``name`` is None where the line had only a MAC."""

    mac: str
    name: str | None


class DuplicateLine(NamedTuple):
    """A MAC that an earlier line had already; the earlier line counts."""

    line_no: int
    mac: str
    first_line_no: int


class BadLine(NamedTuple):
    """A line that was not taken, as shown to people, with a sentence that says why."""

    line_no: int
    text: str
    reason: str


class MacReport(NamedTuple):
    """What became of a pasted text: every line that is not blank is in exactly one of the three."""

    accepted: tuple[MacLine, ...]
    duplicates: tuple[DuplicateLine, ...]
    bad: tuple[BadLine, ...]


def read_mac_lines(text: str, *, normalise: Callable[[str], str] = normalise_mac) -> MacReport:
    """Read a textarea: a MAC per line, then perhaps a name after a space, a tab, ``;`` or ``,``.

    ``normalise`` reads another kind of id in the same place; ValueError with a sentence for a bad one.
    """
    accepted: list[MacLine] = []
    duplicates: list[DuplicateLine] = []
    bad: list[BadLine] = []
    first: dict[str, int] = {}
    for line_no, line in enumerate(_LINE_END.split(text), start=1):
        line = line.strip().strip(INVISIBLE).strip()
        if not line:
            continue
        try:
            read = _read_line(line, normalise)
        except ValueError as exc:
            bad.append(BadLine(line_no, shown(line), str(exc)))
            continue
        if read.mac in first:
            duplicates.append(DuplicateLine(line_no, read.mac, first[read.mac]))
        else:
            first[read.mac] = line_no
            accepted.append(read)
    return MacReport(tuple(accepted), tuple(duplicates), tuple(bad))


def _read_line(line: str, normalise: Callable[[str], str]) -> MacLine:
    """A MAC and its name from one line without blank ends."""
    spelled, *rest = _GAP.split(line.strip('"'), maxsplit=1)
    mac = normalise(spelled.strip('"'))
    name = rest[0].strip(' \t";,') if rest else ""
    if len(name) > NAME_MAX:
        raise ValueError(_("The name is longer than %(count)d characters; shorten it.") % {"count": NAME_MAX})
    if CONTROL.search(name):
        raise ValueError(_("The name has control characters; type it again."))
    return MacLine(mac, name or None)
