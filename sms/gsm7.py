"""The GSM 7-bit default alphabet on the wire: characters to septets, septets to octets. Pure.

The tables are those of ``sms.segments`` (3GPP TS 23.038, 6.2.1). Septets are packed from the lowest bit
up (TS 23.038, 6.1.2.1); after a user data header the text begins at the next septet boundary, which
leaves up to six fill bits (TS 23.040, 9.2.3.24).
"""

from collections.abc import Sequence

from sms.segments import ESCAPE, GSM7_BASIC, GSM7_EXTENSION

_CODE = {character: code for code, character in enumerate(GSM7_BASIC) if code != ESCAPE}
_EXTENSION = {code: character for character, code in GSM7_EXTENSION.items()}
SEPTET, OCTET = 7, 8


def to_septets(text: str) -> list[int]:
    """The septets of ``text``, two for a character of the extension table; ValueError for any other character."""
    septets: list[int] = []
    for character in text:
        if character in _CODE:
            septets.append(_CODE[character])
        elif character in GSM7_EXTENSION:
            septets += [ESCAPE, GSM7_EXTENSION[character]]
        else:
            raise ValueError("a character is not in the GSM 7-bit alphabet")
    return septets


def from_septets(septets: Sequence[int]) -> str:
    """The text of ``septets``. An escape that leads nowhere shows what follows it, as TS 23.038 wants."""
    text, escaped = [], False
    for septet in septets:
        if escaped:
            escaped = False
            text.append(_EXTENSION.get(septet) or (" " if septet == ESCAPE else GSM7_BASIC[septet]))
        elif septet == ESCAPE:
            escaped = True
        else:
            text.append(GSM7_BASIC[septet])
    return "".join(text)


def pack(septets: Sequence[int], *, header: bytes = b"") -> bytes:
    """``header`` and then the septets, from the next septet boundary on."""
    bits, used = 0, header_septets(len(header)) * SEPTET
    for septet in septets:
        bits |= septet << used
        used += SEPTET
    size = max(len(header), -(-used // OCTET))
    return (bits | int.from_bytes(header, "little")).to_bytes(size, "little")


def unpack(octets: bytes, count: int, *, header: int = 0) -> list[int]:
    """``count`` septets, those that ``header`` octets take included but not returned."""
    bits = int.from_bytes(octets, "little")
    return [bits >> SEPTET * place & 0x7F for place in range(header_septets(header), count)]


def header_septets(octets: int) -> int:
    """How many septets a user data header of so many octets takes, its fill bits included."""
    return -(-octets * OCTET // SEPTET)
