"""What a GSM modem says on its line, and the dialogues held with it (3GPP TS 27.005, 27.007). Pure: no port, no clock.

``Parser`` cuts the bytes, however they are split, into answers, prompts, and what the modem says unasked
(+CMTI, +CDS, RING, +CREG …), which may come between any two lines. ``Query`` is one command and its
answer. ``Submission`` is the sending of one PDU in PDU mode, and what its end proves:

    AT+CMGS=<length> CR  ->   "> "   ->   PDU   ->   Ctrl-Z   ->   +CMGS: <mr>   ->   OK
    \\___ nothing has left until Ctrl-Z is written ___/   \\__ it may have left __/ \\_ taken over

Before Ctrl-Z an end is ``not_sent`` (or ``rejected``, when the code says "never"); after it only a code
of the permanent table proves that nothing was taken over, and everything else is ``unknown``.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sms import at_codes, gsm7

CTRL_Z, ESCAPE = b"\x1a", b"\x1b"
LONGEST_LINE = 4096  # octets; a PDU line has some 350
LONGEST_TEXT_LINES = 30  # of one USSD answer

# What comes unasked. A name that is the beginning of the running command's own answer is an answer.
UNASKED = (
    "+CMTI:", "+CMT:", "+CDS:", "+CDSI:", "+CBM:", "+CBMI:", "+CUSD:", "RING", "+CRING:", "+CLIP:", "+CCWA:",
    "+CREG:", "+CGREG:", "+CEREG:", "+CTZV:", "+CTZE:", "+CTZDST:", "+CIEV:", "+CGEV:", "+CPIN:", "+CFUN:",
    "+CSSI:", "+CSSU:", "+CSQ:", "+CSQN:", "+CNEMIU:", "+QIND:", "+QUSIM:", "+PACSP", "+XDRV", "+STIN:",
    "NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE", "CONNECT", "RDY", "Call Ready", "SMS Ready", "PB DONE",
    "NORMAL POWER DOWN", "UNDER-VOLTAGE", "OVER-VOLTAGE", "MODEM:", "DST:", "^", "*", "%", "$", "#",
)  # fmt: skip
WITH_PDU = ("+CMT:", "+CDS:", "+CBM:")  # the next line is its PDU
RESTARTS = ("RDY", "^SYSSTART", "NORMAL POWER DOWN", "MODEM:STARTUP")
NEVER_SUPPORTED = ("COMMAND NOT SUPPORT", "TOO MANY PARAMETERS")  # some makes say it instead of ERROR

_REFUSAL = re.compile(r"\+(CMS|CME) ERROR:\s*(\d{1,5})?")
_ACCEPTED = re.compile(r"\+CMGS:\s*(\d{1,3})\s*(?:,.*)?")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")

Kind = Literal["accepted", "not_sent", "rejected", "unknown"]


@dataclass(frozen=True)
class Answer:
    """One line that belongs, or may belong, to the running command."""

    text: str


@dataclass(frozen=True)
class Prompt:
    """``>``: the modem waits for the PDU."""


@dataclass(frozen=True)
class Urc:
    """What the modem says unasked; ``payload`` is the PDU that follows some of them."""

    text: str
    payload: str = ""

    @property
    def is_restart(self) -> bool:
        """Whether the modem says that it has just begun, or ended, to work."""
        return self.text.startswith(RESTARTS)


Token = Answer | Prompt | Urc


@dataclass(frozen=True)
class Refusal:
    """A final answer that is not OK. ``code`` None where the modem gives none."""

    kind: Literal["cms", "cme", "error"]
    code: int | None = None

    @property
    def reason(self) -> str:
        """A word for logs and columns: ``cms_38``, ``error``."""
        return self.kind if self.code is None else f"{self.kind}_{self.code}"

    @property
    def words(self) -> str:
        """What the code means; ``""`` when nobody knows."""
        table = at_codes.CMS if self.kind == "cms" else at_codes.CME
        return table.get(self.code, "") if self.code is not None and self.kind != "error" else ""


def refusal(line: str) -> Refusal | None:
    """The refusal that ``line`` is, if it is one."""
    if line == "ERROR" or line.startswith(NEVER_SUPPORTED):
        return Refusal("error")
    if match := _REFUSAL.match(line):
        code = int(match[2]) if match[2] else None
        return Refusal("cms" if match[1] == "CMS" else "cme", code)
    return None


class Parser:
    """Bytes in, tokens out. ``feed`` what was read, then ask ``next`` until it says None."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._open: list[str] = []  # the lines of something unasked that is not complete yet
        self._space_may_follow = False

    def feed(self, octets: bytes) -> None:
        """Take what was read, however it was split."""
        self._bytes += octets

    def next(self, expected: str = "") -> Token | None:
        """The next token, or None when more must be read; ``expected`` begins the running command's answer."""
        while True:
            if self._skip_to_text() and not self._open and self._bytes.startswith(b">"):
                del self._bytes[:1]
                self._space_may_follow = True
                return Prompt()
            line = self._line()
            if line is None:
                return None
            if line and (token := self._token(line, expected)) is not None:
                return token

    def _skip_to_text(self) -> bool:
        """Drop line ends, and the space after a prompt; whether anything is left."""
        if self._space_may_follow and self._bytes:
            if self._bytes.startswith(b" "):
                del self._bytes[:1]
            self._space_may_follow = False
        while self._bytes and self._bytes[0] in b"\r\n\x00":
            del self._bytes[:1]
        return bool(self._bytes)

    def _line(self) -> str | None:
        ends = [place for end in (b"\r", b"\n") if (place := self._bytes.find(end)) >= 0]
        if not ends:
            if len(self._bytes) > LONGEST_LINE:
                self._bytes.clear()  # noise: no modem says this
            return None
        line = self._bytes[: min(ends)].decode("latin-1").strip(" \t\x00\x1a\xff")
        del self._bytes[: min(ends) + 1]
        return line

    def _token(self, line: str, expected: str) -> Token | None:
        if self._open:
            return self._continue(line, expected)
        if expected and line.startswith(expected) and not _is_notice(line, expected):
            return Answer(line)
        if not line.startswith(UNASKED):
            return Answer(line)
        if line.startswith(WITH_PDU) or _is_open_text(line):
            self._open = [line]
            return None
        return Urc(line)

    def _continue(self, line: str, expected: str) -> Token | None:
        """The PDU of a +CMT, or the next line of a USSD text. Whatever it says, it is no answer of the modem."""
        first = self._open[0]
        if first.startswith(WITH_PDU):
            self._open = []
            if _HEX.fullmatch(line):
                return Urc(first, line)
            return self._token(line, expected) if line.startswith(UNASKED) else Urc(first)
        self._open.append(line)
        text = "\n".join(self._open)
        if _is_open_text(text) and len(self._open) < LONGEST_TEXT_LINES:
            return None
        self._open = []
        return Urc(text)


def _is_open_text(line: str) -> bool:
    """Whether the quoted text of a USSD answer goes on in the next line."""
    return line.startswith("+CUSD:") and line.count('"') % 2 == 1


def _is_notice(line: str, expected: str) -> bool:
    """Whether a line that begins like the answer was said unasked: ``+CREG: 1`` is, ``+CREG: 0,1`` answers."""
    if not expected.endswith("REG:"):
        return False
    fields = line.partition(":")[2].split(",")
    return len(fields) == 1 or not fields[1].strip().isdecimal()


class Query:
    """One command and its answer: ``lines`` that begin with ``prefix`` (without one: all), then OK or a refusal.

    With ``must_answer`` an OK without such a line is left over from something earlier, and ignored.
    """

    def __init__(self, command: str, *, prefix: str = "", must_answer: bool = False) -> None:
        self._command, self.expected, self._must_answer = command, prefix, must_answer
        self.lines: list[str] = []
        self.refusal: Refusal | None = None
        self.is_over = False

    def start(self) -> bytes:
        """What to write."""
        return self._command.encode("ascii") + b"\r"

    def take(self, token: Answer | Prompt) -> None:
        """Go on with what the modem said; ``is_over`` says whether that was the end."""
        if isinstance(token, Prompt) or self.is_over or token.text == self._command:
            return
        if token.text == "OK":
            self.is_over = bool(self.lines) or not self._must_answer
        elif found := refusal(token.text):
            self.refusal, self.is_over = found, True
        elif not self.expected or self.lines or token.text.startswith(self.expected):
            self.lines.append(token.text)

    @property
    def is_ok(self) -> bool:
        """Whether it ended with OK."""
        return self.is_over and self.refusal is None


@dataclass(frozen=True)
class Outcome:
    """How a submission ended; ``mr`` is the network's number of an accepted SMS.

    ``breaks`` means that every other message would end like this one.
    """

    kind: Kind
    reason: str = ""
    mr: int | None = None
    words: str = ""
    breaks: bool = False


class Submission:
    """The sending of one PDU. Write ``start()``, pass on every token, and obey ``wants_pdu``:

    write the PDU, call ``hand_over()``, write Ctrl-Z. ``timed_out`` and ``lost`` end it from outside.
    """

    expected = "+CMGS:"

    def __init__(self, length: int, *, proves_not_sent: Collection[int] = ()) -> None:
        self._length, self._proves_not_sent = length, frozenset(proves_not_sent)
        self._mr: int | None = None
        self.wants_pdu = False
        self.is_handed_over = False
        self.outcome: Outcome | None = None

    def start(self) -> bytes:
        """What to write first."""
        return f"AT+CMGS={self._length}\r".encode("ascii")

    @property
    def is_over(self) -> bool:
        """Whether there is an outcome."""
        return self.outcome is not None

    @property
    def is_accepted(self) -> bool:
        """Whether the network has taken the SMS over, even if the modem has not said OK yet."""
        return self._mr is not None

    def hand_over(self) -> None:
        """Ctrl-Z is about to be written: from here on the SMS may leave."""
        self.wants_pdu, self.is_handed_over = False, True

    def take(self, token: Answer | Prompt) -> None:
        """Go on with what the modem said."""
        if self.is_over:
            return
        if isinstance(token, Prompt):
            self.wants_pdu = not self.is_handed_over
            return
        if found := refusal(token.text):
            self._refused(found)
        elif not self.is_handed_over:
            return  # an OK or a +CMGS before the PDU answers something earlier
        elif match := _ACCEPTED.fullmatch(token.text):
            self._mr = int(match[1]) & 0xFF
        elif token.text == "OK" and self._mr is not None:
            self.outcome = Outcome("accepted", mr=self._mr)

    def _refused(self, found: Refusal) -> None:
        if self._mr is not None:
            self.outcome = Outcome("unknown", found.reason, words="an acceptance and a refusal")
        else:
            self.outcome = judge(
                found, handed_over=self.is_handed_over, proves_not_sent=self._proves_not_sent
            )

    def timed_out(self) -> None:
        """The modem said nothing more in time."""
        self._end("no_answer" if self.is_handed_over else "no_prompt")

    def lost(self, reason: str = "port_lost") -> None:
        """The line broke, or the modem began anew."""
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self.is_over:
            return
        if self._mr is not None:  # the network's number is the acceptance; the OK after it says nothing more
            self.outcome = Outcome("accepted", reason, mr=self._mr)
        else:
            self.outcome = Outcome("unknown" if self.is_handed_over else "not_sent", reason)


def judge(found: Refusal, *, handed_over: bool, proves_not_sent: Collection[int] = ()) -> Outcome:
    """What a refusal of a submission proves."""
    code, reason, words = found.code, found.reason, found.words
    if found.kind == "cms" and code is not None:
        breaks = code in at_codes.SIM_TROUBLE or code in at_codes.BARRED
        if code in proves_not_sent or (not handed_over and code in at_codes.SIM_TROUBLE):
            return Outcome("not_sent", reason, words=words, breaks=breaks)
        if code in at_codes.PERMANENT:
            return Outcome("rejected", reason, words=words, breaks=breaks)
    if handed_over:
        return Outcome("unknown", reason, words=words)
    breaks = found.kind == "cme" and code in at_codes.CME_SIM_TROUBLE
    return Outcome("not_sent", reason, words=words, breaks=breaks)


# --- what single answers say -------------------------------------------------------------------------
@dataclass(frozen=True)
class Registration:
    """+CREG: at home 1, roaming 5; cells come quoted, bare, or not at all."""

    stat: int

    @property
    def is_registered(self) -> bool:
        return self.stat in (1, 5)

    @property
    def word(self) -> str:
        known = {0: "not_searching", 1: "home", 2: "searching", 3: "denied", 5: "roaming"}
        return known.get(self.stat, "unknown")


def fields(line: str) -> list[str]:
    """The comma-separated values after the name, unquoted: ``+CMTI: "ME",3`` -> ``["ME", "3"]``."""
    found = re.findall(r'\s*("[^"]*"|[^,]*)\s*(?:,|$)', line.partition(":")[2])
    values = [value.strip().strip('"') for value in found]
    return values[:-1] if values and not values[-1] and not line.rstrip().endswith(",") else values


def registration(lines: list[str]) -> Registration | None:
    """The answer to AT+CREG?; None when the modem does not say."""
    for line in lines:
        values = fields(line)
        if len(values) >= 2 and values[1].isdecimal():
            return Registration(int(values[1]))
    return None


def signal_dbm(lines: list[str]) -> int | None:
    """The answer to AT+CSQ in dBm; None when the modem does not know (99)."""
    for line in lines:
        values = fields(line)
        if values and values[0].isdecimal() and int(values[0]) <= 31:
            return -113 + 2 * int(values[0])
    return None


def operator(lines: list[str]) -> str:
    """The operator's name in the answer to AT+COPS?."""
    return next((values[2] for line in lines if len(values := fields(line)) >= 3), "")


def pin_state(lines: list[str]) -> str:
    """The answer to AT+CPIN?: ``ready``, ``pin_required``, ``puk_required``, or ``""``."""
    said = " ".join(lines).partition(":")[2].strip().upper()
    if said == "READY":
        return "ready"
    if said.endswith(("PUK", "PUK2")):
        return "puk_required"
    return "pin_required" if said.endswith("PIN") else ""


def ranges(line: str) -> list[frozenset[int]]:
    """The groups of a test command's answer: ``(0-2),(0,1,3)`` -> ``[{0,1,2}, {0,1,3}]``."""
    groups = []
    for group in re.findall(r"\(([^)]*)\)", line):
        values: set[int] = set()
        for piece in group.split(","):
            low, _, high = piece.strip().partition("-")
            if low.isdecimal():
                last = int(high) if high.isdecimal() else int(low)
                values.update(range(int(low), min(last, int(low) + 255) + 1))
        groups.append(frozenset(values))
    return groups


def notice_settings(lines: list[str]) -> str:
    """The AT+CNMI values for a modem with these ranges: stored SMS announced, reports handed over at once."""
    groups = next((found for line in lines if len(found := ranges(line)) >= 4), None)
    if groups is None:
        return "2,1,0,1,0"
    wishes = [(2, 1, 3, 0), (1, 3, 2, 0), (0,), (1, 2, 0), (0, 1)]
    chosen = []
    for wish, group in zip(wishes, groups, strict=False):
        chosen.append(next((value for value in wish if value in group), min(group, default=0)))
    return ",".join(map(str, chosen))


def storages(lines: list[str]) -> list[str]:
    """The places for incoming SMS that the answer to AT+CPMS=? names, of those that we read."""
    known = {name for line in lines for name in re.findall(r'"([A-Z]{2})"', line)}
    return [name for name in ("SM", "ME") if name in known]


@dataclass(frozen=True)
class Stored:
    """One SMS in the modem's memory."""

    index: int
    pdu: str


def stored(lines: list[str]) -> list[Stored]:
    """The answer to AT+CMGL=4: the received SMS in it; what we stored ourselves is left out."""
    found = []
    for header, pdu in pairwise(lines):
        values = fields(header) if header.startswith("+CMGL:") else []
        if len(values) >= 2 and values[0].isdecimal() and values[1] in ("0", "1") and _HEX.fullmatch(pdu):
            found.append(Stored(int(values[0]), pdu))
    return found


def ussd_text(line: str) -> str | None:
    """The text of ``+CUSD: <m>,"<text>",<dcs>``: plain, hexadecimal UCS-2, or packed septets; None without one."""
    match = re.match(r'\+CUSD:\s*\d\s*,\s*"?([^"]*)"?\s*(?:,\s*(\d+))?', line, re.DOTALL)
    if match is None or not match[1].strip():
        return None
    text, coding = match[1].strip(), int(match[2] or 15)
    if not _HEX.fullmatch(text) or len(text) < 8:
        return text
    octets = bytes.fromhex(text)
    if coding & 0x48 == 0x48 or (len(octets) % 2 == 0 and max(octets[::2]) <= 0x06):
        return octets.decode("utf-16-be", "replace").rstrip("\x00\uffff")
    if text.isdecimal() and len(text) < 16:
        return text  # a bare number
    septets = gsm7.unpack(octets, len(octets) * 8 // 7)
    return gsm7.from_septets(septets).rstrip("\r@")
