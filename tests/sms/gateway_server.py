"""A real HTTP server that behaves as SMS gateways do on bad days, and keeps a ledger of what it took.

One server is one mode on one port of the loopback. It speaks through raw sockets, because most of its
modes are things that a well-behaved server cannot do.
"""

import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Self

TAKES = frozenset(
    {"ok", "bare", "reset_after", "hang_after", "500_after", "garbage_200", "truncated", "drip", "half_head"}
)
ANSWERS = {
    "400": (400, b"bad number"),
    "401": (401, b"unauthorized"),
    "404": (404, b"no such page"),
    "408": (408, b"timeout"),
    "429": (429, b"too many"),
    "500": (500, b"modem not ready"),
    "503": (503, b"busy"),
    "500_after": (500, b"modem not ready"),
    "garbage_200": (200, b"\x00\xff\xfe<<<"),
    "307": (307, b""),
    "bare": (200, b"OK"),
}
MODES = (
    "ok",
    "400",
    "429",
    "reset_before",
    "reset_after",
    "hang_after",
    "500_after",
    "garbage_200",
    "307",
)


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class GatewayServer:
    """``with GatewayServer("ok") as server``; ``seen`` is what arrived, ``taken`` what became an SMS."""

    mode: str = "ok"
    answer: bytes | None = None  # a body instead of the mode's own
    extra: bytes = b""  # header lines of its own
    status: int = 200  # of the mode ``ok``
    seen: list[Seen] = field(default_factory=list)
    taken: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                peer, _address = self._listener.accept()
            except OSError:
                return  # the listener was closed
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            peer.settimeout(5)
            try:
                if self.mode == "reset_before":
                    reset(peer)
                    return
                self._answer(peer, read_request(peer))
            except OSError:
                return  # the client went away: it was killed, or its deadline passed

    def _answer(self, peer: socket.socket, request: Seen | None) -> None:
        if request is None:
            return
        with self._lock:
            self.seen.append(request)
            if self.mode in TAKES:
                self.taken.append(request)
            number = len(self.seen)
        if self.mode == "reset_after":
            reset(peer)
        elif self.mode in ("hang_after", "hang"):
            self._stop.wait(30)
        elif self.mode == "truncated":
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        elif self.mode == "ok":
            body = self.answer if self.answer is not None else json.dumps({"id": f"id-{number}"}).encode()
            peer.sendall(response(self.status, body, self.extra))
        elif self.mode == "drip":  # an acceptance that never comes to its end
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not self._stop.wait(0.05):
                peer.sendall(b" ")
        elif self.mode == "half_head":
            peer.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Le")
        else:
            status, usual = ANSWERS[self.mode]
            body = usual if self.answer is None else self.answer
            location = f"Location: {self.url}/elsewhere\r\n".encode() if status == 307 else b""
            peer.sendall(response(status, body, location + self.extra))


def reset(peer: socket.socket) -> None:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def response(status: int, body: bytes, extra: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n".encode()
    return head + extra + b"\r\n" + body


def read_request(peer: socket.socket) -> Seen | None:
    """One whole request, or None when the client left before it was complete."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = peer.recv(65536)
        if not piece:
            return None
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    while len(body) < int(headers.get("content-length", 0)):
        piece = peer.recv(65536)
        if not piece:
            return None
        body += piece
    method, target, _version = first.split(" ")
    return Seen(method, target, headers, body)
