"""SMS as octets (3GPP TS 23.040), in the hexadecimal form of AT+CMGS, +CMGR, +CMT and +CDS. Pure.

Encodes SMS-SUBMIT; decodes SMS-DELIVER, SMS-STATUS-REPORT and SMS-SUBMIT. Whatever else a modem says
is a PduError that names the reason: a modem on a bad line says anything. Each PDU begins with the
address of the service centre, which is not counted in the length that AT+CMGS wants.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal

from sms import gsm7
from sms.segments import Encoding, encoding_of

DELIVER, SUBMIT, STATUS_REPORT = 0, 1, 2  # TP-MTI
MTI_MASK, HAS_HEADER, WANTS_REPORT, RELATIVE_VALIDITY = 0x03, 0x40, 0x20, 0x10
VALIDITY_OCTETS = {0: 0, 1: 7, 2: 1, 3: 7}  # by TP-VPF; relative is 2
INTERNATIONAL, UNKNOWN_NUMBER, ALPHANUMERIC = 0x91, 0x81, 0x50
NUMBER_TYPE_MASK, INTERNATIONAL_TYPE = 0x70, 0x10
DIGITS = "0123456789*#abc"  # semi-octet 0xF fills
LONGEST_ADDRESS = 20  # semi-octets
CONCAT_8, CONCAT_16 = 0x00, 0x08  # information elements
LIMITS: Final[dict[tuple[Encoding, int], int]] = {  # units of one of several parts, by the bits of the reference
    ("gsm7", 8): 153, ("gsm7", 16): 152, ("ucs2", 8): 67, ("ucs2", 16): 66,
}  # fmt: skip
ALONE: Final[dict[Encoding, int]] = {"gsm7": 160, "ucs2": 70}
DCS: Final[dict[Encoding, int]] = {"gsm7": 0x00, "ucs2": 0x08}
MOST_PARTS = 255
USER_DATA_OCTETS = 140

Alphabet = Literal["gsm7", "8bit", "ucs2"]
StatusClass = Literal["delivered", "temporary_retrying", "permanent", "temporary_gave_up", "reserved"]
# TP-Status, TS 23.040 9.2.3.15: the words of the codes that are defined.
TP_STATUS: Final = {
    0x00: "delivered",
    0x01: "forwarded, delivery not confirmed",
    0x02: "replaced by the service centre",
    0x20: "congestion, still trying",
    0x21: "recipient busy, still trying",
    0x22: "no response from the recipient, still trying",
    0x23: "service rejected, still trying",
    0x24: "quality of service not available, still trying",
    0x25: "error in the recipient, still trying",
    0x40: "remote procedure error",
    0x41: "incompatible destination",
    0x42: "connection rejected by the recipient",
    0x43: "not obtainable",
    0x44: "quality of service not available",
    0x45: "no interworking available",
    0x46: "validity period expired",
    0x47: "deleted by the sender",
    0x48: "deleted by the service centre",
    0x49: "message does not exist",
    0x60: "congestion, given up",
    0x61: "recipient busy, given up",
    0x62: "no response from the recipient, given up",
    0x63: "service rejected, given up",
    0x64: "quality of service not available, given up",
    0x65: "error in the recipient, given up",
}


class PduError(ValueError):
    """These octets are no SMS that we read, or this SMS cannot be written; ``reason`` is a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Concat:
    """Which part of a longer text: the 8- or 16-bit reference, and the place ``part`` of ``parts``, from 1."""

    ref: int
    bits: int
    parts: int
    part: int


@dataclass(frozen=True)
class Submit:
    """An SMS on its way to the network. ``validity`` is the relative TP-VP octet, None for the network's own."""

    to: str
    text: str
    wants_report: bool = False
    validity: int | None = None
    concat: Concat | None = None
    smsc: str = ""
    mr: int = 0
    dcs: int = 0
    octets: bytes = b""  # the user data of an 8-bit message


@dataclass(frozen=True)
class Deliver:
    """An SMS from the network. A part may begin or end with half of a surrogate pair: see ``join``."""

    sender: str
    text: str
    sent_at: datetime | None = None  # by the service centre's clock; None when it makes no sense
    concat: Concat | None = None
    smsc: str = ""
    dcs: int = 0
    octets: bytes = b""  # the user data of an 8-bit message


@dataclass(frozen=True)
class StatusReport:
    """What became of the SMS that the network took over under ``mr`` (0-255, wraps)."""

    to: str
    mr: int
    status: int
    sent_at: datetime | None = None
    discharged_at: datetime | None = None
    smsc: str = ""


Message = Deliver | StatusReport | Submit


@dataclass(frozen=True)
class Encoded:
    """A PDU as AT+CMGS takes it: ``length`` counts the octets without the service centre's address."""

    hex: str
    length: int


# --- writing ---------------------------------------------------------------------------------------
def encode_text(
    to: str,
    text: str,
    *,
    ref: int = 0,
    bits: Literal[8, 16] = 8,
    wants_report: bool = False,
    validity_s: int | None = None,
) -> list[Encoded]:
    """``text`` as one SMS, or as many parts under the reference ``ref``; PduError when it cannot be said."""
    parts = cut(text, bits=bits)
    if len(parts) > MOST_PARTS:
        raise PduError("too_long")
    validity = None if validity_s is None else relative_validity(validity_s)
    encoding = encoding_of(text)
    return [
        encode_submit(
            Submit(
                to, part, wants_report, validity,
                Concat(ref % (1 << bits), bits, len(parts), number) if len(parts) > 1 else None,
                dcs=DCS[encoding],
            )
        )
        for number, part in enumerate(parts, start=1)
    ]  # fmt: skip


def encode_submit(submit: Submit) -> Encoded:
    """One SMS-SUBMIT, in the alphabet that its ``dcs`` names. PduError when it cannot be said."""
    header = _header(submit.concat)
    first = SUBMIT | (RELATIVE_VALIDITY if submit.validity is not None else 0)
    first |= (WANTS_REPORT if submit.wants_report else 0) | (HAS_HEADER if header else 0)
    count, octets = _user_data(submit, header)
    if len(octets) > USER_DATA_OCTETS:
        raise PduError("too_long")
    if not 0 <= submit.mr <= 0xFF or not 0 <= (submit.validity or 0) <= 0xFF:
        raise PduError("number_out_of_range")
    tpdu = bytes([first, submit.mr]) + _address(submit.to) + bytes([0x00, submit.dcs])
    tpdu += b"" if submit.validity is None else bytes([submit.validity])
    tpdu += bytes([count]) + octets
    return Encoded((_centre(submit.smsc) + tpdu).hex().upper(), len(tpdu))


def cut(text: str, *, bits: Literal[8, 16] = 8) -> list[str]:
    """``text`` in parts that fit; neither an escaped character nor a surrogate pair is ever cut in two."""
    encoding = encoding_of(text)
    widths = [_width(character, encoding) for character in text]
    if sum(widths) <= ALONE[encoding]:
        return [text]
    parts, start, used = [], 0, 0
    for place, width in enumerate(widths):
        if used + width > LIMITS[encoding, bits]:
            parts.append(text[start:place])
            start, used = place, 0
        used += width
    return [*parts, text[start:]]


def relative_validity(seconds: int) -> int:
    """The TP-VP octet of the longest period that is not longer than ``seconds``; five minutes at least.

    Shorter is safer: what arrives late may switch a device that is well again.
    """
    minutes = max(seconds, 0) // 60
    if minutes < 12 * 60 + 30:
        return max(min(minutes, 12 * 60) // 5 - 1, 0)
    if minutes < 2 * 24 * 60:
        return 143 + (min(minutes, 24 * 60) - 12 * 60) // 30
    days = minutes // (24 * 60)
    return 166 + days if days <= 30 else max(166 + 30, min(192 + days // 7, 0xFF))


def _width(character: str, encoding: Encoding) -> int:
    if encoding == "gsm7":
        return len(gsm7.to_septets(character))
    if "\ud800" <= character <= "\udfff":
        raise PduError("lone_surrogate")
    return 1 if character <= "\uffff" else 2


def _header(concat: Concat | None) -> bytes:
    """The user data header of one part, its length octet included."""
    if concat is None:
        return b""
    place = bytes([concat.parts, concat.part])
    if concat.bits == 8:
        return bytes([5, CONCAT_8, 3, concat.ref & 0xFF]) + place
    return bytes([6, CONCAT_16, 4]) + (concat.ref & 0xFFFF).to_bytes(2, "big") + place


def _user_data(submit: Submit, header: bytes) -> tuple[int, bytes]:
    """TP-UDL (septets in the 7-bit alphabet, else octets) and TP-UD."""
    match alphabet_of(submit.dcs):
        case "gsm7":
            try:
                septets = gsm7.to_septets(submit.text)
            except ValueError:
                raise PduError("not_in_alphabet") from None
            return gsm7.header_septets(len(header)) + len(septets), gsm7.pack(septets, header=header)
        case "ucs2":
            try:
                octets = header + submit.text.encode("utf-16-be")
            except UnicodeEncodeError:
                raise PduError("lone_surrogate") from None
            return min(len(octets), 0xFF), octets
        case "8bit":
            octets = header + submit.octets
            return min(len(octets), 0xFF), octets


def _address(number: str) -> bytes:
    """A phone number: ``+…`` is international, anything else (a short code) of unknown type."""
    digits = number.removeprefix("+").lower()
    if not 0 < len(digits) <= LONGEST_ADDRESS or any(digit not in DIGITS for digit in digits):
        raise PduError("bad_number")
    kind = INTERNATIONAL if number.startswith("+") else UNKNOWN_NUMBER
    return bytes([len(digits), kind]) + _semi_octets(digits)


def _centre(number: str) -> bytes:
    """The service centre's address, counted in octets; empty: the one that the SIM knows."""
    if not number:
        return b"\x00"
    address = _address(number)[1:]
    return bytes([len(address)]) + address


def _semi_octets(digits: str) -> bytes:
    nibbles = [DIGITS.index(digit) for digit in digits] + [0x0F] * (len(digits) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


# --- reading ---------------------------------------------------------------------------------------
class _Reader:
    """Takes octets from the front; PduError where they end too early."""

    def __init__(self, octets: bytes) -> None:
        self._octets, self._place = octets, 0

    def take(self, count: int, what: str) -> bytes:
        taken = self._octets[self._place : self._place + count]
        if len(taken) < count:
            raise PduError(f"cut_in_{what}")
        self._place += count
        return taken

    def octet(self, what: str) -> int:
        return self.take(1, what)[0]


def decode(text: str) -> Message:
    """What a PDU in hexadecimal says; PduError, and nothing else, when it says nothing that we read."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise PduError("not_hexadecimal") from None
    if not octets:
        raise PduError("empty")
    reader = _Reader(octets)
    size = reader.octet("centre")
    centre = reader.take(size, "centre")
    smsc = _number(centre[0], centre[1:], 2 * (size - 1)) if size else ""
    first = reader.octet("type")
    match first & MTI_MASK:
        case 0:
            return _deliver(reader, smsc, has_header=bool(first & HAS_HEADER))
        case 1:
            return _submit(reader, smsc, first)
        case 2:
            return _status_report(reader, smsc)
    raise PduError("reserved_type")


def alphabet_of(dcs: int) -> Alphabet:
    """The alphabet that a TP-DCS names (TS 23.038, 4); PduError for compressed text."""
    group = dcs >> 4
    if group < 0x8:
        if dcs & 0x20:
            raise PduError("compressed")
        return ("gsm7", "8bit", "ucs2", "gsm7")[dcs >> 2 & 0x03]
    if group == 0xE:
        return "ucs2"
    return "8bit" if group == 0xF and dcs & 0x04 else "gsm7"


def join(texts: list[str]) -> str:
    """The parts of one text, in order; halves of a character that two parts share meet again."""
    octets = "".join(texts).encode("utf-16-be", "surrogatepass")
    return octets.decode("utf-16-be", "replace")


def class_of(status: int) -> StatusClass:
    """What a TP-Status means: done, still trying, given up."""
    if status < 0x20:
        return "delivered"
    if status < 0x40:
        return "temporary_retrying"
    if status < 0x60:
        return "permanent"
    return "temporary_gave_up" if status < 0x80 else "reserved"


def _deliver(reader: _Reader, smsc: str, *, has_header: bool) -> Deliver:
    sender = _read_address(reader)
    reader.octet("protocol")
    dcs = reader.octet("coding")
    sent_at = _time(reader.take(7, "time"))
    text, concat, octets = _read_user_data(reader, dcs, has_header=has_header)
    return Deliver(sender, text, sent_at, concat, smsc, dcs, octets)


def _submit(reader: _Reader, smsc: str, first: int) -> Submit:
    mr = reader.octet("reference")
    to = _read_address(reader)
    reader.octet("protocol")
    dcs = reader.octet("coding")
    period = reader.take(VALIDITY_OCTETS[first >> 3 & 0x03], "validity")
    text, concat, octets = _read_user_data(reader, dcs, has_header=bool(first & HAS_HEADER))
    validity = period[0] if len(period) == 1 else None
    return Submit(to, text, bool(first & WANTS_REPORT), validity, concat, smsc, mr, dcs, octets)


def _status_report(reader: _Reader, smsc: str) -> StatusReport:
    mr = reader.octet("reference")
    to = _read_address(reader)
    sent_at, discharged_at = _time(reader.take(7, "time")), _time(reader.take(7, "time"))
    return StatusReport(to, mr, reader.octet("status"), sent_at, discharged_at, smsc)


def _read_address(reader: _Reader) -> str:
    length, kind = reader.octet("address"), reader.octet("address")
    if length > LONGEST_ADDRESS:
        raise PduError("long_address")
    return _number(kind, reader.take(-(-length // 2), "address"), length)


def _number(kind: int, octets: bytes, length: int) -> str:
    """An address of ``length`` semi-octets: a number, with ``+`` when international, or a name."""
    if kind & NUMBER_TYPE_MASK == ALPHANUMERIC:
        septets = gsm7.unpack(octets, length * 4 // gsm7.SEPTET)
        if len(septets) % 8 == 0 and septets[-1:] == [0]:  # seven letters in whole octets: the rest is no "@"
            septets.pop()
        return gsm7.from_septets(septets)
    nibbles = [nibble for octet in octets for nibble in (octet & 0x0F, octet >> 4)][:length]
    digits = "".join(DIGITS[nibble] for nibble in nibbles if nibble < len(DIGITS))
    return f"+{digits}" if kind & NUMBER_TYPE_MASK == INTERNATIONAL_TYPE else digits


def _time(octets: bytes) -> datetime | None:
    """A service centre time stamp: swapped decimal digits, the zone in quarters of an hour with its sign."""
    year, month, day, hour, minute, second = (_swapped(octet) for octet in octets[:6])
    quarters = _swapped(octets[6] & 0xF7)
    minutes = -15 * quarters if octets[6] & 0x08 else 15 * quarters
    try:
        zone = timezone(timedelta(minutes=minutes)) if minutes else UTC
        return datetime((1900 if year >= 90 else 2000) + year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


def _swapped(octet: int) -> int:
    """Two decimal digits, the lower nibble first; a number that no date takes when they are none."""
    low, high = octet & 0x0F, octet >> 4
    return low * 10 + high if low < 10 and high < 10 else 1000


def _read_user_data(reader: _Reader, dcs: int, *, has_header: bool) -> tuple[str, Concat | None, bytes]:
    """(text, part, octets of an 8-bit message)"""
    alphabet, count = alphabet_of(dcs), reader.octet("user_data")
    size = -(-count * gsm7.SEPTET // gsm7.OCTET) if alphabet == "gsm7" else count
    octets = reader.take(size, "user_data")
    header = b""
    if has_header:
        if not octets or octets[0] + 1 > len(octets):
            raise PduError("cut_in_header")
        header = octets[: octets[0] + 1]
    concat = _concat(header)
    body = octets[len(header) :]
    if alphabet == "gsm7":
        return gsm7.from_septets(gsm7.unpack(octets, count, header=len(header))), concat, b""
    if alphabet == "ucs2":
        return body[: len(body) // 2 * 2].decode("utf-16-be", "surrogatepass"), concat, b""
    return "", concat, body


def _concat(header: bytes) -> Concat | None:
    """The place of a part among its kin; None when the header does not say, or makes no sense."""
    place, found = 1, None
    while place + 2 <= len(header):
        kind, size = header[place], header[place + 1]
        element = header[place + 2 : place + 2 + size]
        if len(element) < size:
            raise PduError("cut_in_header")
        if (kind, size) in ((CONCAT_8, 3), (CONCAT_16, 4)):
            ref, parts, part = int.from_bytes(element[:-2], "big"), element[-2], element[-1]
            if 1 <= part <= parts:
                found = Concat(ref, 8 if kind == CONCAT_8 else 16, parts, part)
        place += 2 + size
    return found
