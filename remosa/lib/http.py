"""The one door for outgoing HTTP: an asynchronous face (``Door``) and a synchronous one (``request``).

What it promises to a caller who must know whether a message may have left:

* one call is at most one request on the wire: no redirects, no retries, no proxies, no cookies;
* the deadline covers everything, from the name lookup to the last byte of the body;
* it ends with a ``Response``, whatever its status, or with an ``HttpFailure``; and
  ``may_have_left`` is False only when no connection had been made, so that nothing can have been sent;
* it connects to public addresses and ``settings.EGRESS_ALLOW`` only, with TLS verified (against
  the system's authorities, or those of ``SSL_CERT_FILE``), and reads no more than it was told to.

Which statuses mean success, and what is worth another try, is the caller's business.
"""

import asyncio
import errno
import json as jsonlib
import math
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal, NoReturn, Self, get_args
from urllib.parse import quote_plus, urlencode, urlsplit

from yarl import URL

from remosa.lib import curl
from remosa.lib.curl import Headers, Message, Traffic, Transfer
from remosa.lib.egress import Lookup, Resolver

CONNECT_TIMEOUT_S = 3.0  # TCP and TLS together; the deadline still rules when it is shorter
MAX_BYTES = 65_536
NAMES_S = 10.0  # how long a door believes a name server
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OUR_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect"}
)
PLAIN_IN_QUERIES = "/:?@!$'()*,"
PLAIN = re.compile(r"[A-Za-z0-9._~:/-]*")  # needs no look at every character
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\]")
HOST = re.compile(r"(?![0-9.]+$)[a-z0-9_.-]+")  # a name as yarl writes it; digits alone are a bad address
NOT_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Reason = Literal[
    "dns",
    "refused",
    "connect_timeout",
    "tls",
    "egress",
    "bad_url",
    "deadline",
    "reset",
    "truncated",
    "too_large",
    "protocol",
]
REASONS: frozenset[str] = frozenset(get_args(Reason))

Params = Mapping[str, str | int | float]
Data = bytes | str | Mapping[str, str]


class HttpFailure(Exception):
    """There is no answer. ``reason`` is one of ``REASONS``; ``may_have_left`` False is a proof, True is not.

    The message names the host but never the query, the headers or the body.
    """

    def __init__(self, reason: str, may_have_left: bool = True, message: str = "") -> None:
        super().__init__(reason, may_have_left, message)
        self.reason = reason
        self.may_have_left = may_have_left
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.message else self.reason


class EgressRefused(HttpFailure):
    """The address is neither public nor inside ``EGRESS_ALLOW``; no socket was opened."""

    def __init__(self, message: str = "") -> None:
        super().__init__("egress", False, message)
        self.args = (message,)  # so that a copy (pickle) is built from what this class takes


@dataclass(frozen=True)
class Response:
    """A complete answer, whatever its status. ``headers`` ignore case; the body is decoded."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as text, by its declared charset or UTF-8; undecodable bytes become U+FFFD."""
        charset = re.search(r"charset=[\"']?([\w.:-]+)", self.headers.get("Content-Type", ""), re.IGNORECASE)
        try:
            return self.body.decode(charset[1] if charset else "utf-8", errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as strict JSON; ValueError for anything else, absurd nesting and NaN included."""
        try:
            return jsonlib.loads(self.body, parse_constant=_refuse_constant)
        except RecursionError:
            raise ValueError("The JSON is nested too deeply.") from None


def request(
    method: str,
    url: str,
    *,
    params: Params | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Data | None = None,
    deadline_s: float,
    max_bytes: int = MAX_BYTES,
) -> Response:
    """Send one request on a connection of its own and return the answer within ``deadline_s`` seconds.

    ``params`` are added to the query, ``json`` or ``data`` (a mapping is sent as a form) is the
    body, ``max_bytes`` bounds the decoded answer. Raises HttpFailure for everything that is not an
    answer, ValueError for a call that makes no sense, RuntimeError inside a running event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("request() would block the running event loop; use `async with Door()` there.")

    message = _message(method, url, params, headers, json, data, deadline_s, max_bytes, is_last=True)
    until = time.monotonic() + deadline_s
    addresses = () if message.is_numeric else _look_up(message, deadline_s)
    transfer = _own_transfer()
    try:
        transfer.prepare(message, addresses, timeout_s=until - time.monotonic(), max_bytes=max_bytes)
        return _answer(message, transfer, *transfer.perform())
    finally:
        transfer.forget()


_threads = threading.local()


def _own_transfer() -> Transfer:
    """This thread's handle: it keeps no connection, but what it has read of the authorities."""
    if not hasattr(_threads, "transfer"):
        _threads.transfer = Transfer(reuse=False, connect_timeout_s=CONNECT_TIMEOUT_S)
    transfer: Transfer = _threads.transfer
    return transfer


def _look_up(message: Message, timeout_s: float) -> Sequence[str]:
    try:
        return Resolver().begin(message.host, message.port).result(timeout_s)
    except FutureTimeout:
        raise _too_late(message.host) from None
    except OSError:
        raise _nameless(message.host) from None


class Door:
    """The asynchronous face: ``async with Door(limit=64) as door: await door.request(...)``.

    Connections are kept for the next request unless ``reuse`` is False; ``limit`` bounds how many
    are open at once, and waiting for a free one counts against the deadline.
    """

    def __init__(
        self,
        *,
        limit: int = 64,
        reuse: bool = True,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        resolver: Lookup | None = None,
    ) -> None:
        self._limit, self._reuse = limit, reuse
        self._connect_timeout_s = connect_timeout_s
        self._resolver: Lookup = resolver or Resolver()
        self._names: dict[tuple[str, int], _Name] = {}
        self._room = asyncio.Semaphore(limit) if limit else None
        self._idle: list[Transfer] = []
        self._traffic: Traffic | None = None

    async def __aenter__(self) -> Self:
        self._traffic = Traffic(most=self._limit)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in self._names.values():
            name.lookup.cancel()
        if self._traffic is not None:
            self._traffic.close()
            self._traffic = None
        for transfer in self._idle:
            transfer.easy.close()
        self._idle.clear()

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Data | None = None,
        deadline_s: float,
        max_bytes: int = MAX_BYTES,
    ) -> Response:
        """Send one request; arguments, answer and errors are those of the function ``request``."""
        if self._traffic is None:
            raise RuntimeError("Enter the door first: `async with Door() as door`.")
        message = _message(
            method, url, params, headers, json, data, deadline_s, max_bytes, is_last=not self._reuse
        )
        addresses = self._known_addresses(message)
        if addresses is not None and self._room is None:
            return await self._exchange(message, addresses, deadline_s, max_bytes)
        until = time.monotonic() + deadline_s
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline_s):
                    if self._room is not None:
                        await stack.enter_async_context(self._room)
                    if addresses is None:
                        addresses = await self._ask_for_addresses(message)
            except TimeoutError:
                raise _too_late(message.host) from None
            except OSError:
                raise _nameless(message.host) from None
            return await self._exchange(message, addresses, until - time.monotonic(), max_bytes)

    async def _exchange(
        self, message: Message, addresses: Sequence[str], timeout_s: float, max_bytes: int
    ) -> Response:
        """One request, one answer."""
        if self._traffic is None:
            raise _too_late(message.host)
        transfer = (
            self._idle.pop()
            if self._idle
            else Transfer(reuse=self._reuse, connect_timeout_s=self._connect_timeout_s)
        )
        try:
            transfer.prepare(message, addresses, timeout_s=timeout_s, max_bytes=max_bytes)
            return _answer(message, transfer, *await self._traffic.carry(transfer))
        finally:
            transfer.forget()
            self._idle.append(transfer)

    def _known_addresses(self, message: Message) -> Sequence[str] | None:
        """The addresses of the host as far as nobody must be asked, else None."""
        if message.is_numeric:
            return ()
        name = self._names.get((message.host, message.port))
        return name.addresses if name is not None and name.until > time.monotonic() else None

    async def _ask_for_addresses(self, message: Message) -> Sequence[str]:
        """Ask the name server; who asks meanwhile waits for the same answer. A door that keeps connections
        believes it for a while."""
        if not self._reuse:
            return await self._resolver.resolve(message.host, message.port)
        key = (message.host, message.port)
        name = self._names.get(key)
        if name is None or name.lookup.done():
            name = self._names[key] = _Name(
                asyncio.ensure_future(self._resolver.resolve(message.host, message.port))
            )
        addresses = await asyncio.shield(name.lookup)
        name.addresses, name.until = addresses, time.monotonic() + NAMES_S
        return addresses


class _Name:
    """What a door knows of a host's name."""

    def __init__(self, lookup: "asyncio.Future[Sequence[str]]") -> None:
        self.lookup = lookup
        self.addresses: Sequence[str] = ()
        self.until = -math.inf
        lookup.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # heard, if by nobody else


def _message(
    method: str,
    url: str,
    params: Params | None,
    headers: Mapping[str, str] | None,
    json: Any,
    data: Data | None,
    deadline_s: float,
    max_bytes: int,
    *,
    is_last: bool,
) -> Message:
    """What to send, checked; ``is_last``: the connection is closed afterwards, and the answer not compressed."""
    if method not in METHODS:
        raise ValueError(f"The method must be one of {sorted(METHODS)}, not {method!r}.")
    if math.isnan(deadline_s) or max_bytes < 0:
        raise ValueError("deadline_s must be a number and max_bytes must not be negative.")
    place = _place(url)
    given = tuple(headers.items()) if headers else ()
    content_type, body = _body(json, data)
    sent_headers = _sent_headers(given, content_type, is_last, place.host)
    if deadline_s <= 0:
        raise _too_late(place.host)
    address = place.url
    if params:
        address = f"{address}{'&' if '?' in address else '?'}{_query(params)}"
    return Message(
        method, address, place.host, place.port, place.is_numeric, place.is_https, sent_headers, body
    )


def _query(params: Params) -> str:
    return "&".join([f"{_quoted(str(name))}={_quoted(str(value))}" for name, value in params.items()])


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else quote_plus(text, safe=PLAIN_IN_QUERIES)


@dataclass(frozen=True)
class _Place:
    """An address taken apart."""

    url: str
    host: str
    port: int
    is_numeric: bool
    is_https: bool


@lru_cache(maxsize=256)  # thousands of questions go to one address
def _place(url: str) -> _Place:
    """``url`` taken apart; HttpFailure ``bad_url`` unless it is a plain http(s) address."""
    if NOT_IN_URLS.search(url):
        raise HttpFailure("bad_url", False, "an address has no spaces, control characters or backslashes")
    try:
        parsed = URL(url)
        host, port, authority = parsed.raw_host, parsed.port, urlsplit(url).netloc
    except ValueError:
        raise HttpFailure("bad_url", False, "this is not an address") from None
    if parsed.scheme not in ("http", "https"):
        raise HttpFailure("bad_url", False, "an address starts with http:// or https://")
    if not host or not port:
        raise HttpFailure("bad_url", False, "the address names no host, or port 0")
    if "@" in authority:
        raise HttpFailure("bad_url", False, f"{host}: credentials do not belong into an address")
    is_numeric = _is_numeric(host)
    if not is_numeric and not HOST.fullmatch(host):
        raise HttpFailure("bad_url", False, "this is not the name of a host")
    return _Place(str(parsed.with_fragment(None)), host, port, is_numeric, parsed.scheme == "https")


def _is_numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)  # a round asks everything with the same ones
def _sent_headers(
    given: tuple[tuple[str, str], ...], content_type: str, is_last: bool, host: str
) -> tuple[bytes, ...]:
    """All headers but those of libcurl itself; HttpFailure ``protocol`` for what would break the message or
    its framing."""
    ours = {"User-Agent": "remosa", "Accept": "*/*", "Accept-Encoding": "gzip"}
    if is_last:
        ours |= {"Accept-Encoding": "identity", "Connection": "close"}
    if content_type:
        ours["Content-Type"] = content_type
    sent = {name.lower(): (name, value) for name, value in ours.items()}
    for name, value in given:
        if not TOKEN.fullmatch(name) or NOT_IN_VALUES.search(value):
            message = f"{host}: a header has a line break or another forbidden character"
            raise HttpFailure("protocol", False, message)
        if name.lower() in OUR_HEADERS:
            raise HttpFailure("protocol", False, f"{host}: the header {name} cannot be set")
        sent[name.lower()] = (name, value)
    # "Name;" is how libcurl is told to send a header without a value, "Name:" to leave out one of its own
    lines = [f"{name}: {value}" if value.strip() else f"{name};" for name, value in sent.values()]
    if "content-type" not in sent:
        lines.append("Content-Type:")
    return tuple(line.encode() for line in [*lines, "Expect:"])


def _body(json: Any, data: Data | None) -> tuple[str, bytes | None]:
    """The Content-Type, and the body."""
    if json is not None:
        if data is not None:
            raise ValueError("Give json or data, not both.")
        return "application/json", jsonlib.dumps(json, ensure_ascii=False, allow_nan=False).encode()
    match data:
        case None:
            return "", None
        case bytes():
            return "application/octet-stream", data
        case str():
            return "text/plain; charset=utf-8", data.encode()
        case _:
            return "application/x-www-form-urlencoded", urlencode(data).encode()


def _answer(message: Message, transfer: Transfer, code: int, words: str) -> Response:
    """The answer, or in our words what went wrong; whether something may have left, libcurl's calls say."""
    if transfer.error is not None:
        raise transfer.error
    if code == curl.OK and transfer.answered and transfer.is_whole:
        return Response(transfer.status, Headers(transfer.head), transfer.body)
    if code == curl.TIMEDOUT and (transfer.connected or transfer.has_short_time):
        raise _too_late(message.host, connected=transfer.connected)
    if transfer.connected:
        reason, detail = _why_no_answer(transfer, code, words)
    elif transfer.refused:
        raise EgressRefused(f"{message.host}: {transfer.refused} is not a public address")
    else:
        reason, detail = _why_not_connected(transfer, code, words, https=message.is_https)
    raise HttpFailure(reason, transfer.connected, f"{message.host}: {detail}")


def _why_no_answer(transfer: Transfer, code: int, words: str) -> tuple[str, str]:
    if transfer.fault is not None:
        return transfer.fault
    if code not in curl.BROKEN_OFF or "chunk" in words:
        return "protocol", "the answer is not HTTP"
    if transfer.answered:
        return "truncated", "the answer ends too early"
    return "reset", "the connection was closed before an answer"


def _why_not_connected(transfer: Transfer, code: int, words: str, *, https: bool) -> tuple[Reason, str]:
    if code in curl.BAD_URL:
        return "bad_url", "this is not an address"
    if code == curl.NO_NAME:
        return "dns", "the name has no address"
    if code == curl.TIMEDOUT or transfer.errno == errno.ETIMEDOUT:
        return "connect_timeout", "no connection in time"
    if code in curl.TLS:
        return "tls", words.rpartition("problem: ")[2] or "the TLS handshake failed"
    was_cut = code in curl.BROKEN_OFF and code != curl.NOT_CONNECTED
    if https and (was_cut or transfer.errno in (errno.ECONNRESET, errno.ECONNABORTED)):
        return "tls", "the connection was closed during the TLS handshake"
    return "refused", "nothing accepts connections there"


def _too_late(host: str, *, connected: bool = False) -> HttpFailure:
    step = "to answer" if connected else "to connect"
    return HttpFailure("deadline", connected, f"{host}: no time was left {step}")


def _nameless(host: str) -> HttpFailure:
    return HttpFailure("dns", False, f"{host}: the name has no address")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")
