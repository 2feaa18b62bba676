"""Debian's Kannel (bearerbox and smsbox) on free loopback ports, and the SMSC behind it.

``Smsc`` speaks the few PDUs of SMPP 3.4 that bearerbox needs: it keeps a ledger of what was submitted,
reports on it when it is told to and as it is told to, and says what phones say. It can be switched off,
so that bearerbox keeps what it was given.
"""

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.servers import process
from tests.servers.availability import find_program
from tests.servers.ports import free_port

START_TRIES = 3  # another program may take a port before Kannel does
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy

BIND_TRANSCEIVER, SUBMIT_SM, DELIVER_SM, UNBIND, ENQUIRE_LINK = 9, 4, 5, 6, 0x15
ANSWER = 0x80000000
OK, INVALID_DESTINATION = 0, 0x0B
RECEIPT = 0x04  # esm_class: this is a delivery receipt
UCS2 = 8  # data_coding
INTERNATIONAL, ISDN = b"\x01", b"\x01"


@dataclass(frozen=True)
class Submitted:
    """One SMS as the network got it; ``text`` decoded, numbers in digits."""

    id: str
    sender: str
    to: str
    text: str
    validity: str


class Smsc:
    """An SMSC on a free port; ``switch_on`` and ``switch_off`` open and close it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: list[Submitted] = []
        self.refuses = False  # answer every submission with "invalid destination"
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._sequence = 0

    def switch_on(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._spawn(self._accept, self._listener)

    def switch_off(self) -> None:
        """Close the port and the connection; harmless when it is off."""
        for end in (self._listener, self._peer):
            if end is not None:
                with contextlib.suppress(OSError):  # the other side was faster
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._listener = self._peer = None
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    @property
    def is_bound(self) -> bool:
        """Whether bearerbox has signed in."""
        return self._peer is not None

    def report(self, message: Submitted, stat: str = "DELIVRD") -> None:
        """Tell what became of a message: DELIVRD, UNDELIV, EXPIRED, REJECTD."""
        text = (
            f"id:{message.id} sub:001 dlvrd:001 submit date:2611200101 done date:2611200101 stat:{stat} "
            "err:000 text:"
        )
        self._deliver(message.to, message.sender, text.encode(), esm_class=RECEIPT)

    def say(self, sender: str, to: str, text: str) -> None:
        """An SMS from a phone; digits."""
        if text.isascii():
            self._deliver(sender, to, text.encode())
        else:
            self._deliver(sender, to, text.encode("utf-16-be"), data_coding=UCS2)

    def _deliver(
        self, sender: str, to: str, content: bytes, *, esm_class: int = 0, data_coding: int = 0
    ) -> None:
        body = b"\0" + INTERNATIONAL + ISDN + sender.encode() + b"\0"
        body += INTERNATIONAL + ISDN + to.encode() + b"\0"
        body += bytes([esm_class, 0, 0]) + b"\0\0" + bytes([0, 0, data_coding, 0, len(content)]) + content
        with self._lock:
            self._sequence += 1
            self._write(self._peer, DELIVER_SM, OK, self._sequence, body)

    # --- the wire -------------------------------------------------------------------------------
    def _spawn(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _address = listener.accept()
            except OSError:
                return  # switched off
            self._spawn(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while (head := _exactly(peer, 16)) is not None:
                length, command, _status, sequence = struct.unpack(">IIII", head)
                body = _exactly(peer, length - 16) or b""
                self._answer(peer, command, sequence, body)
        if self._peer is peer:
            self._peer = None

    def _answer(self, peer: socket.socket, command: int, sequence: int, body: bytes) -> None:
        with self._lock:
            if command == SUBMIT_SM and self.refuses:
                self._write(peer, command | ANSWER, INVALID_DESTINATION, sequence, b"")
            elif command == SUBMIT_SM:
                message = _submitted(body, f"m{len(self.taken) + 1}")
                self.taken.append(message)
                self._write(peer, command | ANSWER, OK, sequence, message.id.encode() + b"\0")
            elif command == BIND_TRANSCEIVER:
                self._write(peer, command | ANSWER, OK, sequence, b"smsc\0")
                self._peer = peer
            elif command in (ENQUIRE_LINK, UNBIND):
                self._write(peer, command | ANSWER, OK, sequence, b"")

    @staticmethod
    def _write(peer: socket.socket | None, command: int, status: int, sequence: int, body: bytes) -> None:
        if peer is None:
            raise ConnectionError("bearerbox is not connected to the SMSC")
        peer.sendall(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)


def _exactly(peer: socket.socket, size: int) -> bytes | None:
    content = b""
    while len(content) < size:
        piece = peer.recv(size - len(content))
        if not piece:
            return None
        content += piece
    return content


def _submitted(body: bytes, number: str) -> Submitted:
    """The fields of a submit_sm."""
    _service, rest = body.split(b"\0", 1)
    sender, rest = rest[2:].split(b"\0", 1)
    to, rest = rest[2:].split(b"\0", 1)
    _schedule, rest = rest[3:].split(b"\0", 1)
    validity, rest = rest.split(b"\0", 1)
    data_coding, length, content = rest[2], rest[4], rest[5:]
    text = content[:length].decode("utf-16-be" if data_coding == UCS2 else "latin-1")
    return Submitted(number, sender.decode(), to.decode(), text, validity.decode())


CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = {password}
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-deny-ip = "*.*.*.*"
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = {directory}/spool
log-level = 1

group = smsc
smsc = smpp
smsc-id = mts
host = 127.0.0.1
port = {smsc}
transceiver-mode = true
smsc-username = remosa
smsc-password = secret
system-type = ""
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
http-request-retry = 5
http-queue-delay = 1
log-level = 1

group = sendsms-user
username = remosa
password = {password}
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = true
get-url = "{get_url}"
max-messages = 0
omit-empty = true
assume-plain-text = true
"""


class Kannel:
    """Both boxes. ``url`` is the base of smsbox; ``bearerbox`` and ``smsbox`` are its processes."""

    def __init__(self, *, get_url: str, password: str, smsc: Smsc) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kannel-"))
        (self.directory / "spool").mkdir()
        self.password, self.smsc = password, smsc
        self._get_url = get_url
        self._programs = [find_program(name, f"/usr/sbin/{name}", package="kannel") for name in NAMES]

    def start(self) -> None:
        """Start both and wait until smsbox has found bearerbox; again on other ports where one was taken."""
        for try_number in range(1, START_TRIES + 1):
            self._ports = {name: free_port() for name in ("admin", "boxes", "sendsms")}
            self.url = f"http://127.0.0.1:{self._ports['sendsms']}"
            config = CONFIG.format(
                **self._ports, smsc=self.smsc.port, password=self.password, directory=self.directory,
                get_url=self._get_url,
            )  # fmt: skip
            (self.directory / "kannel.conf").write_text(config)
            try:
                self.start_bearerbox()
                self.start_smsbox()
            except RuntimeError:
                self.stop_boxes()
                if try_number == START_TRIES:
                    raise
            else:
                return

    def start_bearerbox(self) -> None:
        self.bearerbox = self._start(0)
        process.wait_until(self._answers, deadline_s=30, what="bearerbox")

    def start_smsbox(self) -> None:
        """Start smsbox and wait until bearerbox knows it."""
        self.smsbox = self._start(1)
        process.wait_until(
            lambda: _alive(self.smsbox) and "smsbox:(none), IP 127.0.0.1" in self.status(),
            deadline_s=30,
            what="smsbox",
        )

    def _start(self, number: int) -> process.Child:
        log = self.directory / f"{NAMES[number]}.log"
        return process.start(
            [self._programs[number], self.directory / "kannel.conf"], log=log, cwd=self.directory
        )

    def _answers(self) -> bool:
        _alive(self.bearerbox)
        try:
            return bool(self.status())
        except OSError:
            return False

    def status(self) -> str:
        """What bearerbox says about its boxes, its SMSC and its queues."""
        url = f"http://127.0.0.1:{self._ports['admin']}/status.txt?password={self.password}"
        with DIRECTLY.open(url, timeout=5) as answer:
            return answer.read().decode()

    def wait_until_bound(self) -> None:
        """Until bearerbox has signed in at the SMSC."""
        process.wait_until(lambda: self.smsc.is_bound, deadline_s=30, what="bearerbox at the SMSC")

    def log(self) -> str:
        return "".join((self.directory / f"{name}.log").read_text(errors="replace") for name in NAMES)

    def stop_boxes(self) -> None:
        for child in (getattr(self, "smsbox", None), getattr(self, "bearerbox", None)):
            if child is not None:
                child.stop(grace_s=5)

    def stop(self) -> None:
        self.stop_boxes()
        shutil.rmtree(self.directory, ignore_errors=True)


NAMES = ("bearerbox", "smsbox")


def _alive(child: process.Child) -> bool:
    """True, or RuntimeError with what it said when it has ended."""
    if not child.is_running:
        raise RuntimeError(f"Kannel ended while starting:\n{child.output()}")
    return True
