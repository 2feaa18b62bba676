"""How many SMS a text costs, and where it may be cut. Pure: no database, no clock, no log.

A text travels in the GSM 7-bit default alphabet when every character of it has a code there, otherwise in
UCS-2 (3GPP TS 23.038). A single message holds 140 octets: 160 septets or 70 UTF-16 code units. A longer
text is concatenated; the 6-octet header with its 8-bit reference leaves 153 septets or 67 code units per
part (3GPP TS 23.040, 9.2.3.24.1). Nothing that takes two units is ever cut in two: neither an escaped
character of the extension table nor a surrogate pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext_lazy as _

Encoding = Literal["gsm7", "ucs2"]

# Index = septet, TS 23.038 table 6.2.1. Code 0x1B is the escape to the extension table and is no character.
GSM7_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
ESCAPE = 0x1B
# Character -> septet that follows the escape, TS 23.038 table 6.2.1.1.
GSM7_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}

_WIDTH = {character: 1 for code, character in enumerate(GSM7_BASIC) if code != ESCAPE} | dict.fromkeys(
    GSM7_EXTENSION, 2
)
_LIMITS: dict[Encoding, tuple[int, int]] = {"gsm7": (160, 153), "ucs2": (70, 67)}  # alone, one of several


@dataclass(frozen=True)
class Segments:
    """The cost of one text: ``units`` are septets (gsm7) or UTF-16 code units (ucs2), ``parts`` >= 1."""

    encoding: Encoding
    units: int
    parts: int
    per_part: int  # units that fit in one part of this text


def encoding_of(text: str) -> Encoding:
    """Name the cheapest encoding that carries ``text`` unchanged; an empty text is gsm7."""
    return "gsm7" if all(character in _WIDTH for character in text) else "ucs2"


def count(text: str) -> Segments:
    """Count what ``text`` costs; raises ValueError for a lone surrogate, which no encoding can carry."""
    encoding, widths = _measure(text)
    units = sum(widths)
    per_part = _per_part(encoding, units)
    return Segments(encoding, units, sum(1 for _start, _stop in _cuts(widths, per_part)), per_part)


def split(text: str) -> list[str]:
    """Cut ``text`` into the parts that ``count`` counts; an empty text is one empty part."""
    encoding, widths = _measure(text)
    return [text[start:stop] for start, stop in _cuts(widths, _per_part(encoding, sum(widths)))]


def _measure(text: str) -> tuple[Encoding, list[int]]:
    """The encoding of ``text`` and the units that each character of it takes (1 or 2)."""
    encoding = encoding_of(text)
    if encoding == "gsm7":
        return encoding, [_WIDTH[character] for character in text]
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(
            _("The text holds half of a character (a lone surrogate): type that character again.")
        )
    return encoding, [1 if character <= "\uffff" else 2 for character in text]


def _per_part(encoding: Encoding, units: int) -> int:
    alone, one_of_several = _LIMITS[encoding]
    return alone if units <= alone else one_of_several


def _cuts(widths: list[int], per_part: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each part: as long as fits, and one empty part for an empty text."""
    start = used = 0
    for position, width in enumerate(widths):
        if used + width > per_part:
            yield start, position
            start, used = position, 0
        used += width
    yield start, len(widths)
