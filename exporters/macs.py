"""MAC addresses as people write them, one by one or pasted by the hundred. Pure.

Decides what a MAC is and how it is stored (``aa:bb:cc:dd:ee:ff``); whether it is known, or one too many, is
decided where the rows are.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from django.utils.translation import gettext as _

_PAIRS = re.compile(r"[0-9a-f]{2}([:.-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}")
_QUADS = re.compile(r"[0-9a-f]{4}([:.-])[0-9a-f]{4}\1[0-9a-f]{4}")
_BARE = re.compile(r"[0-9a-f]{12}")
_SEPARATORS = str.maketrans("", "", ":.-")
_NOT_MAC = re.compile(r"[^0-9a-f:.-]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_GAP = re.compile(r"[\s;,]+")
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"  # what comes along from a web page or an editor
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_CYRILLIC_ALIKE = set("аАвВсСеЕоО")
NAME_MAX = 200
SHOWN_MAX = 80


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


def normalise_mac(text: str) -> str:
    """``aa:bb:cc:dd:ee:ff`` from any usual spelling; ValueError with a sentence for people."""
    lowered = text.strip().strip(_INVISIBLE).strip().lower()
    if not any(shape.fullmatch(lowered) for shape in (_PAIRS, _QUADS, _BARE)):
        raise ValueError(_why_not_a_mac(lowered))
    digits = lowered.translate(_SEPARATORS)
    if digits == "0" * 12:
        raise ValueError(_("The MAC is all zeros, which no device has; copy it from the player's settings."))
    if int(digits[:2], 16) & 1:
        raise ValueError(_("This is a group address (multicast or broadcast), not the MAC of one device."))
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _why_not_a_mac(lowered: str) -> str:
    """The most helpful sentence for a text that has not the shape of a MAC."""
    if not lowered:
        return _("The MAC is missing.")
    if alike := sorted(_CYRILLIC_ALIKE & set(lowered)):
        return _("The letter “%(letter)s” is Cyrillic; type the MAC in Latin letters.") % {"letter": alike[0]}
    if strange := _NOT_MAC.search(lowered):
        return _("“%(character)s” cannot be part of a MAC; it has only digits and the letters A to F.") % {
            "character": _shown(strange.group())
        }
    digits = len(lowered.translate(_SEPARATORS))
    if digits != 12:
        return _("A MAC has 12 hexadecimal digits; this has %(count)d.") % {"count": digits}
    return _("The separators are mixed; write the MAC like AA:BB:CC:DD:EE:FF.")


def read_mac_lines(text: str, *, normalise: Callable[[str], str] = normalise_mac) -> MacReport:
    """Read a textarea: a MAC per line, then perhaps a name after a space, a tab, ``;`` or ``,``.

    ``normalise`` reads another kind of id in the same place; ValueError with a sentence for a bad one.
    """
    accepted: list[MacLine] = []
    duplicates: list[DuplicateLine] = []
    bad: list[BadLine] = []
    first: dict[str, int] = {}
    for line_no, line in enumerate(_LINE_END.split(text), start=1):
        line = line.strip().strip(_INVISIBLE).strip()
        if not line:
            continue
        try:
            read = _read_line(line, normalise)
        except ValueError as exc:
            bad.append(BadLine(line_no, _shown(line), str(exc)))
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
    if _CONTROL.search(name):
        raise ValueError(_("The name has control characters; type it again."))
    return MacLine(mac, name or None)


def _shown(text: str) -> str:
    """A piece of input that can be shown: short, without control characters."""
    short = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
    return _CONTROL.sub("\ufffd", short)
