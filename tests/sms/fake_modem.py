"""A GSM modem that never was: ``Script`` is what it does, ``MemoryPort`` and ``PtyModem`` are its lines."""

import errno
import fcntl
import os
import pty
import random
import re
import select
import termios
import threading
import tty
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from sms.modem import PortLost

OK = "\r\nOK\r\n"
# Where the line breaks, in the order of a dialogue.
POINTS = (
    "command", "half_prompt", "prompt", "half_body", "body", "ctrl_z", "half_answer", "answer", "end",
)  # fmt: skip
REPORT = "07919761989901F006D60B919761214365F7527070214365215270702153002100"  # of mr 214


@dataclass
class Script:
    """The modem. ``feed`` it what the computer writes; it says what it answers. ``taken`` went to the network."""

    echo: bool = True
    pin: str = ""
    sim: str = "READY"
    creg: str = "0,1"
    is_hung: bool = False
    wakes_by_reset: bool = True
    breaks_at: str = ""
    silent_at: str = ""  # "prompt": none comes; "answer": nothing after the body
    refuses_at_prompt: int | None = None
    refuses_after_body: int | None = None
    takes_refused: bool = False  # the network took it although the modem says it did not
    prompts_late: str = ""  # said before the prompt: answers left over from earlier
    mr: int = 214
    balance: str = '+CUSD: 0,"041100B0",72'
    stored: dict[int, str] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    pins_tried: list[str] = field(default_factory=list)
    resets: int = 0
    is_broken: bool = False
    before_answer: Callable[[str], None] | None = None
    on_point: Callable[[str], None] | None = None
    _buffer: bytes = b""
    _in_body: bool = False
    _length: int = 0
    _pdu_mode: bool = False

    def feed(self, octets: bytes) -> list[str]:
        """What the modem says to ``octets``: whole lines and prompts, so that others may speak between them."""
        out: list[str] = []
        for octet in octets:
            if self.is_broken:
                break
            self._take(bytes([octet]), out)
        return out

    def _take(self, octet: bytes, out: list[str]) -> None:
        if octet == b"\x1b":
            if self._in_body:
                out.append(OK)
            self._in_body, self._buffer = False, b""
            return
        if self._in_body:
            self._take_body(octet, out)
            return
        if octet != b"\r":
            self._buffer += octet
            return
        command, self._buffer = self._buffer.decode("latin-1").strip(), b""
        if command:
            self.said.append(command)
            if self.is_hung and not (command == "AT+CFUN=1,1" and self.wakes_by_reset):
                return
            if self.echo:
                out.append(command + "\r")
            if self.before_answer is not None:
                self.before_answer(command)
            self._answer(command, out)

    def _take_body(self, octet: bytes, out: list[str]) -> None:
        if octet != b"\x1a":
            self._buffer += octet
            if len(self._buffer) == self._length:
                self._breaks("half_body")
            if len(self._buffer) == 2 * (self._length + 1):
                self._breaks("body")
            return
        pdu, self._buffer, self._in_body = self._buffer.decode("ascii"), b"", False
        if self.refuses_after_body is None or self.takes_refused:
            self.taken.append(pdu)
        if self.echo:
            out.append(pdu + "\r\n")
        if self._breaks("ctrl_z") or self.silent_at == "answer":
            return
        if self.refuses_after_body is not None:
            out.append(f"\r\n+CMS ERROR: {self.refuses_after_body}\r\n")
            return
        if self.breaks_at == "half_answer":
            out.append(f"\r\n+CMGS: {str(self.mr)[:-1]}")
            self._breaks("half_answer")
            return
        out.append(f"\r\n+CMGS: {self.mr}\r\n")
        if self._breaks("answer"):
            return
        out.append(OK)
        self._breaks("end")

    def _breaks(self, point: str) -> bool:
        if self.on_point is not None:
            self.on_point(point)
        self.is_broken = self.is_broken or self.breaks_at == point
        return self.is_broken

    def _answer(self, command: str, out: list[str]) -> None:
        if command.startswith("AT+CMGS="):
            self._begin(int(command.partition("=")[2]), out)
        elif command == "ATE0":
            self.echo = False
            out.append(OK)
        elif command == "AT+CFUN=1,1":
            self.resets, self.is_hung = self.resets + 1, False
            out.append(OK)
        elif command.startswith("AT+CPIN="):
            self._open_sim(command, out)
        elif match := re.fullmatch(r"AT\+CMGD=(\d+)", command):
            self.deleted.append(int(match[1]))
            self.stored.pop(int(match[1]), None)
            out.append(OK)
        elif match := re.fullmatch(r"AT\+CMGR=(\d+)", command):
            raw = self.stored.get(int(match[1]))
            out += [f"\r\n+CMGR: 0,,29\r\n{raw}\r\n"] if raw else []
            out.append(OK)
        elif command.startswith("AT+CUSD=1"):
            out += [OK, f"\r\n{self.balance}\r\n"]
        elif command == "AT+CMGL=4":
            listed = self.stored.items() if self._storage == "ME" else ()
            out += [f"\r\n+CMGL: {index},0,,29\r\n{raw}\r\n" for index, raw in listed]
            out.append(OK)
        else:
            self._answer_plainly(command, out)

    _storage: str = "ME"

    def _answer_plainly(self, command: str, out: list[str]) -> None:
        if match := re.match(r'AT\+CPMS="(\w\w)"', command):
            self._storage = match[1]
        known = {
            "AT+CPIN?": f"+CPIN: {self.sim}",
            "AT+CREG?": f"+CREG: {self.creg}",
            "AT+CSQ": "+CSQ: 18,99",
            "AT+COPS?": '+COPS: 0,0,"Operator, Ltd",2',
            "AT+CGMM": "FAKE 900",
            "AT+CNMI=?": "+CNMI: (0-2),(0,1,3),(0),(0,1),(0,1)",
            "AT+CPMS=?": '+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")',
        }
        if command == "AT+CPIN?" and not self.sim:
            out.append("\r\n+CME ERROR: 10\r\n")
            return
        if command in known:
            out.append(f"\r\n{known[command]}\r\n")
        if command == "AT+CMGF=0":
            self._pdu_mode = True
        out.append(OK)

    def _open_sim(self, command: str, out: list[str]) -> None:
        tried = command.partition('"')[2].rstrip('"')
        self.pins_tried.append(tried)
        if tried == self.pin:
            self.sim = "READY"
            out.append(OK)
        else:
            out.append("\r\n+CME ERROR: 16\r\n")

    def _begin(self, length: int, out: list[str]) -> None:
        assert self._pdu_mode, "a length in text mode is a phone number"
        if self._breaks("command"):
            return
        if self.prompts_late:
            out.append(self.prompts_late)
        if self.refuses_at_prompt is not None:
            out.append(f"\r\n+CMS ERROR: {self.refuses_at_prompt}\r\n")
            return
        if self.silent_at == "prompt":
            return
        if self.breaks_at == "half_prompt":
            out.append("\r\n")
            self._breaks("half_prompt")
            return
        self._length, self._in_body = length, True
        out.append("\r\n> ")
        self._breaks("prompt")


class Time:
    """Monotonic time that passes while nothing comes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class MemoryPort:
    """A line without a system between: split as ``dice`` say, with ``notices`` of the modem between its lines."""

    def __init__(
        self, script: Script, clock: Time, *, dice: random.Random | None = None, notices: Iterable[str] = ()
    ) -> None:
        self.script, self._clock, self._dice = script, clock, dice
        self._notices, self._out = list(notices), b""

    def write(self, octets: bytes) -> None:
        if self.script.is_broken:
            raise PortLost("port_lost", "EIO")
        for piece in self.script.feed(octets):
            self._say_notices()
            self._out += piece.encode("latin-1")
            if piece.endswith(("\n", "> ")):  # never within a line
                self._say_notices()

    def _say_notices(self) -> None:
        while self._dice is not None and self._notices and self._dice.random() < 0.5:
            self._out += self._notices.pop().encode("latin-1")

    def read(self) -> bytes:
        if not self._out:
            if self.script.is_broken:
                raise PortLost("port_lost", "EIO")
            self._clock.seconds += 0.05
            return b""
        size = self._dice.randint(1, 12) if self._dice else len(self._out)
        read, self._out = self._out[:size], self._out[size:]
        return read

    def hang_up(self) -> None:
        self.script.resets += 1

    def close(self) -> None:
        self._out = b""


class PtyModem:
    """``with PtyModem(script) as modem``: the modem behind a real terminal, its file is ``modem.path``."""

    def __init__(self, script: Script, *, notices: Iterable[str] = ()) -> None:
        self.script, self._notices = script, list(notices)

    def __enter__(self) -> Self:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        self.path = os.ttyname(self._slave)
        self._is_over = False
        self._wake_read, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._is_over = True
        os.write(self._wake, b"x")
        self._thread.join(5)
        for handle in (self._wake_read, self._wake):
            os.close(handle)

    def say(self, text: str) -> None:
        """Say something unasked."""
        os.write(self._master, text.encode("latin-1"))

    def let_go(self) -> None:
        """Lift the lock that a killed process has left on the terminal; a real one forgets it with its last user."""
        fcntl.ioctl(self._slave, termios.TIOCNXCL)

    def _run(self) -> None:
        try:
            while not self._is_over and not self.script.is_broken:
                ready, _w, _x = select.select([self._master, self._wake_read], [], [], 1)
                if self._master not in ready:
                    continue
                for piece in self.script.feed(os.read(self._master, 4096)):
                    if self._notices:
                        os.write(self._master, self._notices.pop().encode("latin-1"))
                    os.write(self._master, piece.encode("latin-1"))
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        """The cable is pulled: what was said is read first, then the line is gone."""
        quiet = 0  # looks in a row that found nothing unread: the terminal passes octets on in its own time
        while quiet < 5 and not self._is_over:
            unread = fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0")
            quiet = quiet + 1 if unread == b"\0\0\0\0" else 0
            select.select([self._wake_read], [], [], 0.005)
        for handle in (self._slave, self._master):
            os.close(handle)
        self._slave = self._master = -1  # the numbers are somebody else's now
