"""One GSM modem on one port: the only holder of the line, and the words said over it.

``SerialPort`` opens ``/dev/tty…``, ``socket://host:port`` or ``rfc2217://host:port`` and locks it: a lock
file with flock for every process of this machine, flock and TIOCEXCL on the device itself. ``Modem`` holds
the dialogues of ``sms.at`` over a port: it makes the modem ready, sends PDUs, reads and deletes stored SMS,
asks how it feels, and collects what the modem says unasked. It knows neither database nor gateway.

A modem is used by one thread. Before every PDU the modem is put into PDU mode again: after a restart that
nobody noticed it would take the length for a phone number. After an end that leaves its state unclear the
modem is ``is_unsure`` and must be made ready anew before it is used, so that no late answer is believed.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import re
import socket
import termios
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

import serial

from remosa.lib.egress import is_allowed
from sms import at

logger = logging.getLogger(__name__)

READ_S = 0.05  # the longest wait of one read
WRITE_S = 10.0
ANSWER_S = 5.0
SLOW_ANSWER_S = 30.0  # lists, networks, a PIN
PROMPT_S = 10.0
RESET_S = 40.0
SYNC_TRIES = 4
SYNC_S = 1.0
QUIET_S = 0.2
# What pyserial says of a line that is gone: TypeError when it was closed meanwhile, ValueError from select.
BROKEN = (OSError, TypeError, ValueError, termios.error)
PIN = re.compile(r"[0-9]{4,8}")
USSD = re.compile(r"[*#][*#0-9]{1,20}#")


class ModemError(Exception):
    """The modem cannot be used now; ``reason`` is a word of ``ModemStatus.State`` where it is one."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class PortLost(ModemError):
    """The line is gone, or the modem on it began anew."""


class NoAnswer(ModemError):
    """The modem says nothing."""


class NotReady(ModemError):
    """The modem answers, but it cannot send: no SIM, no PIN, no network."""


class Port(Protocol):
    """A line. ``read`` and ``write`` raise PortLost, nothing else."""

    def read(self) -> bytes:
        """What has come, after a short wait when there is nothing."""

    def write(self, octets: bytes) -> None:
        """Write all of it."""

    def hang_up(self) -> None:
        """Drop DTR for a moment, where the line has it."""

    def close(self) -> None:
        """Let the line go; never raises."""


@dataclass(frozen=True)
class Facts:
    """How a modem feels; None and ``""`` where it does not say."""

    signal_dbm: int | None
    registration: str
    is_registered: bool
    operator: str


# --- the line ----------------------------------------------------------------------------------------
class SerialPort:
    """A locked line. PortLost when it cannot be opened or is somebody else's."""

    def __init__(self, url: str, *, baud: int, locks: Path) -> None:
        self._lock = _lock(url, locks)
        self._line: Any = None
        try:
            patience_s = (
                None if url.startswith("rfc2217:") else WRITE_S
            )  # there the socket has one of its own
            self._line = serial.serial_for_url(
                _permitted(url), do_not_open=True, timeout=READ_S, write_timeout=patience_s
            )
            self._line.baudrate = baud
            if "://" not in url:
                self._line.exclusive = True
            self._line.open()
            _exclude_others(self._line)
        except BROKEN as exc:
            self.close()
            raise PortLost("no_port", _why(exc)) from None

    def read(self) -> bytes:
        """See the port."""
        try:
            first = self._line.read(1)
            return first + self._line.read(self._line.in_waiting) if first else b""
        except BROKEN as exc:
            raise PortLost("port_lost", _why(exc)) from None

    def write(self, octets: bytes) -> None:
        """See the port."""
        try:
            self._line.write(octets)
        except BROKEN as exc:
            raise PortLost("port_lost", _why(exc)) from None

    def hang_up(self) -> None:
        """See the port."""
        with contextlib.suppress(*BROKEN, NotImplementedError):
            self._line.dtr = False
            self._line.read(1)
            self._line.dtr = True

    def close(self) -> None:
        """See the port."""
        with contextlib.suppress(*BROKEN, AttributeError):
            self._line.close()  # also one that was opened by half
        self._lock.close()  # closing a number twice could close somebody else's file: a file object does it once


def _lock(url: str, folder: Path) -> IO[bytes]:
    """Hold the lock file of a line; the open file is the lock, and dies with the process."""
    line = url if "://" in url else os.path.realpath(url)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = hashlib.sha256(line.encode()).hexdigest()[:16]
    lock = open(folder / f"modem-{name}.lock", "ab", opener=partial(os.open, mode=0o600))  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        lock.close()
        raise PortLost("port_busy", _why(exc)) from None
    return lock


def _permitted(url: str) -> str:
    """``url`` with the address that was checked instead of the host's name; ValueError for any other kind of line."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("socket", "rfc2217") or not parts.hostname or not parts.port:
        raise ValueError("no such kind of line")
    found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    address = next((str(entry[4][0]) for entry in found if is_allowed(str(entry[4][0]))), None)
    if address is None:
        raise OSError(errno.EACCES, "egress")
    host = f"[{address}]" if ":" in address else address
    return f"{parts.scheme}://{host}:{parts.port}"


def _exclude_others(line: serial.SerialBase) -> None:
    """Refuse the device to everybody who opens it from now on; sockets have nothing of the kind."""
    if hasattr(line, "fileno"):
        with contextlib.suppress(OSError, termios.error, AttributeError):
            fcntl.ioctl(line.fileno(), termios.TIOCEXCL)


def _why(exc: BaseException) -> str:
    code = getattr(exc, "errno", None)
    return errno.errorcode.get(code, type(exc).__name__) if isinstance(code, int) else type(exc).__name__


# --- the modem ---------------------------------------------------------------------------------------
class Modem:
    """The dialogues with one modem. Raises ModemError (``submit``: nothing)."""

    def __init__(
        self,
        port: Port,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        proves_not_sent: Collection[int] = (),
        answer_s: float = ANSWER_S,
        prompt_s: float = PROMPT_S,
        sync_s: float = SYNC_S,
    ) -> None:
        self._port, self._now, self._proves_not_sent = port, monotonic, proves_not_sent
        self._answer_s, self._prompt_s, self._sync_s = answer_s, prompt_s, sync_s
        self._parser = at.Parser()
        self.notices: deque[at.Urc] = deque(maxlen=1000)
        self.is_unsure = True
        self.storage = ""
        self.storages: list[str] = []

    # --- being ready --------------------------------------------------------------------------------
    def make_ready(self, *, pin: str = "", trying_pin: Callable[[], bool] = lambda: True) -> str:
        """Bring the modem into the state in which it can be used, and return what it calls itself.

        ``trying_pin`` is asked right before the PIN is said: a wrong one, said three times, locks the SIM.
        """
        self._synchronise()
        self.ask("ATE0")
        self._insist("AT+CMEE=1")
        self._unlock(pin, trying_pin)
        self._insist("AT+CMGF=0")
        notices = self.ask("AT+CNMI=?", prefix="+CNMI:")
        self.ask(f"AT+CNMI={at.notice_settings(notices.lines)}")
        found = self.storages = at.storages(self.ask("AT+CPMS=?", prefix="+CPMS:").lines)
        self.storage = ""
        self.is_unsure = False
        if found:
            self.use_storage(found[-1])
        return " ".join(self.ask("AT+CGMM").lines)[:60]

    def _synchronise(self) -> None:
        """End whatever was going on (a prompt of a process that died) and hear the modem answer."""
        self._parser = at.Parser()
        self._port.write(at.ESCAPE)
        for _try in range(SYNC_TRIES):
            try:
                self.ask("AT", timeout_s=self._sync_s)
            except NoAnswer:
                continue
            self._fall_silent()
            return
        raise NoAnswer("no_answer")

    def _fall_silent(self) -> None:
        """Let late answers of earlier commands pass by."""
        until = self._now() + QUIET_S
        while self._now() < until:
            self._take_notices()

    def _unlock(self, pin: str, trying_pin: Callable[[], bool]) -> None:
        query = self.ask("AT+CPIN?", prefix="+CPIN:", must_answer=True)
        state = at.pin_state(query.lines)
        if query.refusal is not None:
            self._no_sim(query.refusal)
        if state == "pin_required":
            if not PIN.fullmatch(pin):
                raise NotReady("pin_required")
            if not trying_pin():
                raise NotReady("pin_refused")
            answer = self.ask(f'AT+CPIN="{pin}"', timeout_s=SLOW_ANSWER_S)
            if answer.refusal is not None:
                raise NotReady("pin_refused", answer.refusal.words or answer.refusal.reason)
        elif state != "ready":
            raise NotReady(state or "no_sim")

    def _no_sim(self, found: at.Refusal) -> None:
        reason = {
            11: "pin_required",
            12: "puk_required",
            14: "sim_busy",
            311: "pin_required",
            314: "sim_busy",
        }
        raise NotReady(reason.get(found.code or 0, "no_sim"), found.words or found.reason)

    def use_storage(self, name: str) -> bool:
        """Read and write stored SMS there; False when the modem has no such place."""
        if name == self.storage:
            return True
        if not self.ask(f'AT+CPMS="{name}","{name}","{name}"', prefix="+CPMS:").is_ok:
            return False
        self.storage = name
        return True

    def reset(self) -> None:
        """Have a modem that hangs begin anew: by command, then by hanging up. The line may go away over it."""
        self.is_unsure = True
        with contextlib.suppress(NoAnswer):
            self._port.write(at.ESCAPE)
            self.ask("AT+CFUN=1,1", timeout_s=self._answer_s)
            return
        self._port.hang_up()

    # --- asking -------------------------------------------------------------------------------------
    def ask(
        self, command: str, *, prefix: str = "", must_answer: bool = False, timeout_s: float | None = None
    ) -> at.Query:
        """Say one command and wait for its end. NoAnswer when none comes."""
        query = at.Query(command, prefix=prefix, must_answer=must_answer)
        self._port.write(query.start())
        until = self._now() + (timeout_s or self._answer_s)
        while not query.is_over:
            token = self._next(query.expected, until)
            if token is None:
                self.is_unsure = True
                raise NoAnswer("no_answer", command.partition("=")[0])
            query.take(token)
        return query

    def _insist(self, command: str) -> None:
        query = self.ask(command)
        if query.refusal is not None:
            raise NotReady("refuses", f"{command}: {query.refusal.reason}")

    def facts(self) -> Facts:
        """How it feels now."""
        registration = at.registration(self.ask("AT+CREG?", prefix="+CREG:").lines)
        signal = at.signal_dbm(self.ask("AT+CSQ", prefix="+CSQ:").lines)
        operator = at.operator(self.ask("AT+COPS?", prefix="+COPS:", timeout_s=SLOW_ANSWER_S).lines)
        if registration is None:  # some say only who carries them
            return Facts(signal, "unknown", bool(operator), operator)
        return Facts(signal, registration.word, registration.is_registered, operator)

    def balance(self, code: str, *, timeout_s: float = SLOW_ANSWER_S) -> str | None:
        """What the network answers to a USSD ``code`` such as ``*100#``; None when it does not."""
        if not USSD.fullmatch(code) or self.ask(f'AT+CUSD=1,"{code}",15').refusal is not None:
            return None
        until = self._now() + timeout_s
        while self._now() < until:
            for notice in [found for found in self.notices if found.text.startswith("+CUSD:")]:
                self.notices.remove(notice)
                return at.ussd_text(notice.text)
            self._take_notices()
        self.ask("AT+CUSD=2")
        return None

    # --- incoming -----------------------------------------------------------------------------------
    def listen(self) -> None:
        """Collect in ``notices`` what the modem says unasked; returns after a short wait."""
        self._take_notices()

    def stored_sms(self) -> list[at.Stored]:
        """All received SMS in the current storage."""
        query = self.ask("AT+CMGL=4", prefix="+CMGL:", timeout_s=SLOW_ANSWER_S)
        return at.stored(query.lines)

    def stored_one(self, index: int) -> str | None:
        """The PDU of one stored SMS; None when there is none."""
        lines = self.ask(f"AT+CMGR={int(index)}", prefix="+CMGR:").lines
        return lines[1] if len(lines) >= 2 else None

    def delete(self, index: int) -> None:
        """Forget one stored SMS. Only after it is safe elsewhere."""
        self.ask(f"AT+CMGD={int(index)}")

    def acknowledge(self) -> None:
        """Tell the network that what came directly is safe; modems that want no word refuse it, harmlessly."""
        self.ask("AT+CNMA")

    # --- sending ------------------------------------------------------------------------------------
    def submit(self, pdu: str, length: int, *, timeout_s: float) -> at.Outcome:
        """Send one PDU, once. Never raises: whatever happens has an outcome."""
        submission = at.Submission(length, proves_not_sent=self._proves_not_sent)
        try:
            self._insist("AT+CMGF=0")
            self._converse(submission, pdu, self._now() + timeout_s)
        except ModemError as exc:
            submission.lost(exc.reason)
        outcome = submission.outcome
        if outcome is None:  # no way leads here; if one did, this is what it would prove
            outcome = at.Outcome("unknown" if submission.is_handed_over else "not_sent", "no_outcome")
        self.is_unsure = self.is_unsure or (outcome.kind == "unknown") or outcome.reason != ""
        return outcome

    def _converse(self, submission: at.Submission, pdu: str, until: float) -> None:
        self._port.write(submission.start())
        prompt_until = min(until, self._now() + self._prompt_s)
        while not submission.is_over:
            waits_until = until if submission.is_handed_over else prompt_until
            token = self._next(submission.expected, waits_until)
            if token is None:
                submission.timed_out()
                if not submission.is_handed_over:
                    self._port.write(at.ESCAPE)
                return
            submission.take(token)
            if submission.wants_pdu:
                self._port.write(pdu.encode("ascii"))
                submission.hand_over()
                self._port.write(at.CTRL_Z)

    # --- tokens -------------------------------------------------------------------------------------
    def _next(self, expected: str, until: float) -> at.Answer | at.Prompt | None:
        """The next token of the running dialogue; None when it does not come in time."""
        while True:
            token = self._parser.next(expected)
            if token is None:
                if self._now() >= until:
                    return None
                self._parser.feed(self._port.read())
            elif isinstance(token, at.Urc):
                self._note(token)
            else:
                return token

    def _take_notices(self) -> None:
        """One read; answers that nobody waits for are dropped."""
        self._parser.feed(self._port.read())
        while (token := self._parser.next()) is not None:
            if isinstance(token, at.Urc):
                self._note(token)

    def _note(self, notice: at.Urc) -> None:
        if notice.is_restart:
            self.is_unsure = True
            raise PortLost("restarted", notice.text[:40])
        self.notices.append(notice)
