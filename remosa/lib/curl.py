"""libcurl, which carries what goes through the HTTP door: one exchange (``Transfer``), many at once (``Traffic``).

libcurl calls back while it works, and each promise of ``remosa.lib.http`` hangs on such a call:

* ``PREREQFUNCTION`` comes when the connection stands (TLS done) and before the first byte of a request. The
  first one is the proof that something may have left. A second one for the same transfer is libcurl's silent
  repetition after a kept connection had died: it is refused, and so is the connection that would lead to it;
* ``OPENSOCKETFUNCTION`` sees the very address that a socket is about to be connected to: the egress guard;
* ``HEADERFUNCTION`` and ``WRITEFUNCTION`` count what comes in, and decode it, while it comes in.

It runs on Linux: the sockets of a ``Traffic`` are in an epoll of its own, which the event loop watches as one.
That notices by itself when libcurl closes a socket, and spares the loop two registrations for each exchange.
"""

import asyncio
import math
import os
import re
import select
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pycurl

from remosa.lib.egress import is_allowed

MAX_HEADER_BYTES = 8_190  # one line; more is a protocol failure
MAX_HEADERS = 64
IDLE_S = 15.0  # after which a kept connection is not used again
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # an empty one at the least
NO_LIMIT = 10_000  # connections kept where the door has no limit
LONGEST_MS = 2**31 - 1

REFUSE: int = pycurl.PREREQFUNC_ABORT
NO_SOCKET: int = pycurl.SOCKET_BAD
OK: int = pycurl.E_OK
CLOSED = -1  # not of libcurl: the door was closed meanwhile
TIMEDOUT = pycurl.E_OPERATION_TIMEDOUT
NO_NAME = pycurl.E_COULDNT_RESOLVE_HOST
NOT_CONNECTED = pycurl.E_COULDNT_CONNECT
BAD_URL = frozenset({pycurl.E_URL_MALFORMAT, pycurl.E_UNSUPPORTED_PROTOCOL})
TLS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ENGINE_INITFAILED,
    }
)
BROKEN_OFF = frozenset(
    {
        OK,  # to libcurl, the end of a connection may be the end of an answer
        pycurl.E_PARTIAL_FILE,
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_ABORTED_BY_CALLBACK,
        NOT_CONNECTED,  # of the repetition that was refused
        CLOSED,
    }
)

_FRAMING = re.compile(
    rb"^(content-length|transfer-encoding|content-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE
)  # fmt: skip


def _authorities() -> tuple[int, str]:
    """Whom TLS trusts: the system's file or directory, or that of ``SSL_CERT_FILE`` (``SSL_CERT_DIR``).

    libcurl of the wheel knows no system. A directory is looked up by name, a file is read once and kept.
    """
    paths = ssl.get_default_verify_paths()
    file = os.environ.get(paths.openssl_cafile_env) or paths.cafile
    return (pycurl.CAINFO, file) if file else (pycurl.CAPATH, paths.capath or paths.openssl_capath)


AUTHORITIES = _authorities()
OPTIONS: tuple[tuple[int, Any], ...] = (
    AUTHORITIES,
    (pycurl.NOSIGNAL, 1),
    (pycurl.PROXY, ""),  # and none of the environment
    (pycurl.NOPROXY, "*"),
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.HTTP09_ALLOWED, 0),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    (pycurl.PATH_AS_IS, 1),
    (pycurl.HTTP_CONTENT_DECODING, 0),  # we do it, within bounds
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.MAXAGE_CONN, int(IDLE_S)),
)


@dataclass(slots=True)
class Message:
    """What to send, and to whom. ``is_numeric``: the host is an address, which needs no name server."""

    method: str
    url: str
    host: str
    port: int
    is_numeric: bool
    is_https: bool
    headers: tuple[bytes, ...]
    body: bytes | None


class Headers(Mapping[str, str]):
    """The header lines of an answer, taken apart when somebody asks; names in any case, the first of a name counts."""

    def __init__(self, head: bytes = b"") -> None:
        self._head = head
        self._fields: dict[str, tuple[str, str]] | None = None

    def _read(self) -> dict[str, tuple[str, str]]:
        if self._fields is None:
            self._fields = {}
            for line in self._head.decode("utf-8", "surrogateescape").split("\n")[1:]:
                name, colon, value = line.partition(":")
                if colon:
                    self._fields.setdefault(name.strip().lower(), (name.strip(), value.strip()))
        return self._fields

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _value in self._read().values())

    def __len__(self) -> int:
        return len(self._read())


class _Lent(socket.socket):
    """A socket of which pycurl takes a duplicate; nobody needs this one then."""

    def __del__(self) -> None:
        self.close()


class Transfer:
    """One handle of libcurl for one exchange after the other, and what is known about the present one."""

    def __init__(self, *, reuse: bool, connect_timeout_s: float) -> None:
        self.easy = pycurl.Curl()
        for option, value in OPTIONS:
            self.easy.setopt(option, value)
        self.easy.setopt(pycurl.CONNECTTIMEOUT_MS, _ms(connect_timeout_s))
        self.easy.setopt(pycurl.FORBID_REUSE, not reuse)
        self.easy.setopt(pycurl.PREREQFUNCTION, self._may_send)
        self.easy.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        self.easy.setopt(pycurl.HEADERFUNCTION, self._take_line)
        self.easy.setopt(pycurl.WRITEFUNCTION, self._take_piece)
        self._connect_timeout_s = connect_timeout_s
        self._headers: tuple[bytes, ...] | None = None
        self._names_host = False
        self.has_short_time = False
        self._shape: tuple[str, bool] | None = None
        self._timeout_ms = 0
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._max_bytes = 0
        self.forget()

    def forget(self) -> None:
        """Let go of the exchange that was, once its answer is read: the next one may come much later."""
        self.waiting: asyncio.Future[tuple[int, str]] | None = None
        self.connected = False  # a request was handed to a connection
        self.answered = False  # the head of the answer is here
        self.refused = ""  # an address that the egress guard turned down
        self.fault: tuple[str, str] | None = None  # why we ended it: a reason of the door, and words
        self.error: Exception | None = None  # of ours, in a callback
        self.status = 0
        self.head = b""
        self._lines.clear()
        self._pieces.clear()
        self._received = self._length = self._interim = 0
        self._unpacker: Any = None

    def prepare(
        self, message: Message, addresses: Sequence[str], *, timeout_s: float, max_bytes: int
    ) -> None:
        """Make ready for ``message``, to one of the ``addresses`` of a name; libcurl is told only what
        differs from the last one."""
        easy, body, self._max_bytes = self.easy, message.body, max_bytes
        easy.setopt(pycurl.URL, message.url)
        if self._headers is not message.headers:
            easy.setopt(pycurl.HTTPHEADER, message.headers)
            self._headers = message.headers
        if (timeout_ms := _ms(timeout_s)) != self._timeout_ms:
            easy.setopt(pycurl.TIMEOUT_MS, timeout_ms)
            self._timeout_ms = timeout_ms
        self.has_short_time = timeout_s <= self._connect_timeout_s
        if (shape := (message.method, body is not None)) != self._shape:
            self._set_method(*shape)
            self._shape = shape
        if body is not None or message.method in WITH_BODY:  # never the one of the message before
            easy.setopt(pycurl.POSTFIELDS, body or b"")
        if addresses or self._names_host:
            known = ",".join(f"[{one}]" if ":" in one else one for one in addresses)
            easy.setopt(pycurl.RESOLVE, [f"{message.host}:{message.port}:{known}"] if addresses else [])
            self._names_host = bool(addresses)

    def _set_method(self, method: str, has_body: bool) -> None:
        self.easy.unsetopt(pycurl.CUSTOMREQUEST)
        self.easy.setopt(pycurl.HTTPGET, 1)  # undoes POST and NOBODY
        if has_body or method in WITH_BODY:
            self.easy.setopt(pycurl.POST, 1)
        if method == "HEAD" and not has_body:
            self.easy.setopt(pycurl.NOBODY, 1)
        elif method not in ("GET", "POST") or (has_body and method != "POST"):
            self.easy.setopt(pycurl.CUSTOMREQUEST, method)

    def perform(self) -> tuple[int, str]:
        """Do it here and now; libcurl's code and words."""
        try:
            self.easy.perform()
        except pycurl.error as exc:
            return int(exc.args[0]), str(exc.args[1])
        return OK, ""

    @property
    def errno(self) -> int:
        """The system's word on why a connection failed."""
        return int(self.easy.getinfo(pycurl.OS_ERRNO))

    @property
    def body(self) -> bytes:
        """The decoded body, as far as it has come."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    @property
    def is_whole(self) -> bool:
        """Whether the compressed body, if it is one, has come to its end."""
        return self._unpacker is None or not self._received or bool(self._unpacker.eof)

    # --- what libcurl calls ------------------------------------------------------------------------

    def _may_send(self, *_connection: object) -> int:
        again, self.connected = self.connected, True
        return REFUSE if again else 0

    def _open_socket(self, _purpose: int, address: Any) -> socket.socket | int:
        """A socket for the address that it will be connected to next, if it may go there.

        A name with several addresses may still be reached through another one: each passes here.
        """
        if self.connected:
            return NO_SOCKET
        host, scope = str(address.addr[0]), address.addr[3:]
        try:
            allowed = is_allowed(f"{host}%{scope[0]}" if scope and scope[0] else host)
        except Exception as exc:  # bad settings: the caller's to hear
            self.error = exc
            return NO_SOCKET
        if not allowed:
            self.refused = host
            return NO_SOCKET
        try:
            return _Lent(address.family, address.socktype, address.protocol)
        except OSError:  # no descriptor is left
            return NO_SOCKET

    def _take_line(self, line: bytes) -> int | None:
        lines = self._lines
        lines.append(line)
        if len(line) > 2:  # the end of a head is CR LF, or LF
            if len(line) > MAX_HEADER_BYTES or len(lines) > MAX_HEADERS + 1:
                return self._end("protocol", "the answer's head is too long")
            return None
        if self.answered:  # the end of a trailer
            return None
        head = b"".join(lines)
        lines.clear()
        # libcurl takes three digits for a status and nothing else
        self.status = int(head.split(maxsplit=2)[1])
        if self.status < 200:  # 100 Continue: the answer is still to come
            self._interim += 1
            if self._interim == MAX_HEADERS:  # or never: this one is not listened to until the deadline
                self.easy.pause(pycurl.PAUSE_RECV)
            return None
        self.head, self.answered = head, True
        return self._begin_body()

    def _begin_body(self) -> int | None:
        lengths, is_chunked, encoding = set(), False, b""
        for name, value in _FRAMING.findall(self.head):
            match name.lower():
                case b"content-length":
                    lengths.add(value.strip())
                case b"transfer-encoding":
                    is_chunked = True
                case _:
                    encoding = value.strip().lower()
        if len(lengths) + is_chunked > 1 or not all(length.isdigit() for length in lengths):
            return self._end("protocol", "the answer does not say how long it is")
        if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
            return self._end("protocol", "the answer has an encoding that was not asked for")
        if b"gzip" in encoding:
            self._unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return None

    def _take_piece(self, piece: bytes) -> int | None:
        self._received += len(piece)
        if self._unpacker is not None:
            try:
                piece = self._unpacker.decompress(piece, self._max_bytes + 1 - self._length)
            except zlib.error:
                return self._end("protocol", "the answer is not compressed as it says")
        self._pieces.append(piece)
        self._length += len(piece)
        if self._received > self._max_bytes or self._length > self._max_bytes:
            return self._end("too_large", f"the answer is longer than {self._max_bytes} bytes")
        return None

    def _end(self, reason: str, words: str) -> int:
        self.fault = (reason, words)
        return -1


def _ms(seconds: float) -> int:
    """Milliseconds for libcurl, to which 0 would mean "for ever"."""
    return max(1, round(min(seconds * 1000, LONGEST_MS)))


class Traffic:
    """Transfers beside each other on the running event loop, and the connections that are kept for the next ones."""

    idle_s = IDLE_S

    def __init__(self, *, most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._multi = self._open()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._on_sockets)
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._rings = math.inf  # when libcurl wants to be called, and when it will be
        self._is_starting = self._is_closed = False
        self._transfers: dict[pycurl.Curl, Transfer] = {}
        self._busy_at = 0.0
        self._rest: asyncio.TimerHandle | None = None

    def _open(self) -> pycurl.CurlMulti:
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_MAXCONNECTS, self._most or NO_LIMIT)
        multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self._most)
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        return multi

    async def carry(self, transfer: Transfer) -> tuple[int, str]:
        """Do a prepared transfer; libcurl's code and words. A cancelled one takes its connection along."""
        transfer.waiting = waiting = self._loop.create_future()
        self._transfers[transfer.easy] = transfer
        try:
            self._is_starting = True  # it wants to be called at once, and is
            self._multi.add_handle(transfer.easy)
            self._is_starting = False
            self._act()
            code, words = await waiting
            return code, words
        finally:
            if self._transfers.pop(transfer.easy, None) is not None:
                self._multi.remove_handle(transfer.easy)
            self._busy_at = self._loop.time()
            if self._rest is None and not self._transfers and not self._is_closed:
                self._rest = self._loop.call_later(self.idle_s, self._close_idle)

    def _close_idle(self) -> None:
        """Nobody has asked for a while: let no connection stay open. libcurl itself only looks when it is used."""
        self._rest = None
        idle_s = self._loop.time() - self._busy_at
        if self._transfers or idle_s < self.idle_s:
            self._rest = self._loop.call_later(max(self.idle_s - idle_s, 1.0), self._close_idle)
            return
        self._multi.close()
        self._due = math.inf
        self._multi = self._open()

    def close(self) -> None:
        """End what still runs, and close every connection."""
        for easy, transfer in self._transfers.items():
            self._multi.remove_handle(easy)
            _settle(transfer, CLOSED, "")
        self._transfers.clear()
        for timer in (self._timer, self._rest):
            if timer is not None:
                timer.cancel()
        self._rest = self._timer = None
        self._is_closed = True
        self._loop.remove_reader(self._epoll.fileno())
        self._multi.close()
        self._epoll.close()

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            with suppress(OSError):  # closed before: then epoll knows
                self._epoll.unregister(descriptor)
            return
        events = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (
            select.EPOLLOUT if what & pycurl.POLL_OUT else 0
        )
        try:
            self._epoll.register(descriptor, events)
        except FileExistsError:
            self._epoll.modify(descriptor, events)

    def _on_sockets(self) -> None:
        for descriptor, events in self._epoll.poll(0):
            mask = pycurl.CSELECT_IN if events & ~select.EPOLLOUT else 0  # an error or an end is read
            self._multi.socket_action(
                descriptor, mask | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
            )
        self._collect()

    def _set_timer(self, timeout_ms: int) -> None:
        """Called whenever libcurl's next deadline changes; a timer that rings too early is set again then."""
        self._due = self._loop.time() + timeout_ms / 1000 if timeout_ms >= 0 else math.inf
        if self._due < self._rings and not self._is_starting:
            self._ring_at(self._due)

    def _ring_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._rings = None, math.inf
        if self._due <= self._loop.time():
            self._act()
        elif self._due < math.inf:
            self._ring_at(self._due)

    def _act(self) -> None:
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()

    def _collect(self) -> None:
        """Tell the callers of what is done."""
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for easy in done:
                self._finish(easy, OK, "")
            for easy, code, words in failed:
                self._finish(easy, code, words)

    def _finish(self, easy: pycurl.Curl, code: int, words: str) -> None:
        self._multi.remove_handle(easy)
        if (transfer := self._transfers.pop(easy, None)) is not None:
            _settle(transfer, code, words)


def _settle(transfer: Transfer, code: int, words: str) -> None:
    if transfer.waiting is not None and not transfer.waiting.done():
        transfer.waiting.set_result((code, words))
