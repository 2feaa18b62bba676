"""An HTTP server on a real socket that misbehaves as told, and a ledger of what reached it."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

Behaviour = Callable[[socket.socket, threading.Event], None]


def reset(peer: socket.socket) -> None:
    """Close with RST instead of FIN."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def read_request(peer: socket.socket) -> bytes:
    """One request: its head, and as much body as it declares."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = peer.recv(65_536)
        if not chunk:
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += peer.recv(65_536)
    return head + b"\r\n\r\n" + body


class FaultyServer:
    """Each connection: read one request into ``ledger``, then let ``behave`` answer.

    With ``reads`` False the behaviour comes before anything is read; with ``keeps`` True it is
    asked again on the same connection.
    """

    def __init__(
        self,
        behave: Behaviour,
        *,
        reads: bool = True,
        keeps: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.behave, self.reads, self.keeps, self.tls = behave, reads, keeps, tls
        self.ledger: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}/send"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            peer.settimeout(10)
            worker = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(worker)
            worker.start()

    def _serve(self, peer: socket.socket) -> None:
        with suppress(OSError):  # the client may leave at any time: that is what these tests are about
            if self.tls:
                peer = self.tls.wrap_socket(peer, server_side=True)
            while True:
                if self.reads:
                    request = read_request(peer)
                    if not request:
                        break
                    self.ledger.append(request)
                self.behave(peer, self.over)
                if not self.keeps:
                    break
        with suppress(OSError):
            peer.close()

    def __enter__(self) -> "FaultyServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(timeout=15)


def says(*pieces: bytes) -> Behaviour:
    """Send the pieces and close."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        for piece in pieces:
            peer.sendall(piece)

    return behave


def answers(status: str = "200 OK", body: bytes = b"", *headers: bytes) -> Behaviour:
    """A well-formed answer."""
    lines = [b"HTTP/1.1 " + status.encode(), b"Content-Length: %d" % len(body), *headers]
    return says(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def drips(text: bytes, *, every_s: float) -> Behaviour:
    """One byte at a time, until the text or the test is over."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        for byte in text:
            peer.sendall(bytes([byte]))
            if over.wait(every_s):
                return

    return behave


def keeps_silent(peer: socket.socket, over: threading.Event) -> None:
    """Hold the connection and say nothing."""
    over.wait(30)


def resets(peer: socket.socket, over: threading.Event) -> None:
    reset(peer)


def resets_unread(peer: socket.socket, over: threading.Event) -> None:
    """RST once something has come and before it is read: earlier, the client could not tell it from a refusal."""
    peer.recv(1, socket.MSG_PEEK)
    reset(peer)


def says_then_resets(*pieces: bytes) -> Behaviour:
    def behave(peer: socket.socket, over: threading.Event) -> None:
        says(*pieces)(peer, over)
        over.wait(0.05)  # let the bytes arrive: a RST would throw them away
        reset(peer)

    return behave


def floods(head: bytes, chunk: bytes) -> Behaviour:
    """Send for as long as somebody listens."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(head)
        while not over.is_set():
            peer.sendall(chunk)

    return behave
