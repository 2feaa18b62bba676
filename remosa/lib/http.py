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
import json as jsonlib
import math
import re
import socket
import ssl
import zlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NoReturn, Self, get_args
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from remosa.lib.egress import Resolver, is_allowed

CONNECT_TIMEOUT_S = 3.0  # TCP and TLS together; the deadline still rules when it is shorter
MAX_BYTES = 65_536
MAX_HEADER_BYTES = 8_190  # one line; more is a protocol failure
MAX_HEADERS = 64
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OUR_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect"}
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\]")
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


@dataclass
class _Attempt:
    """What is known about one call while it runs."""

    host: str
    sent: int = 0  # how often a request was handed to a connection
    connected: bool = False
    answered: bool = False  # the head of the response is here
    refused: str = ""  # an address that the egress guard turned down

    def failure(self, reason: Reason, detail: str = "") -> HttpFailure:
        message = f"{self.host}: {detail}" if detail else self.host
        return HttpFailure(reason, self.connected, message)


_attempt: ContextVar[_Attempt] = ContextVar("attempt")  # socket factories are not told for whom they work


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

    async def once() -> Response:
        async with Door(limit=1, reuse=False) as door:
            return await door.request(
                method,
                url,
                params=params,
                headers=headers,
                json=json,
                data=data,
                deadline_s=deadline_s,
                max_bytes=max_bytes,
            )

    return asyncio.run(once())


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
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._limit, self._reuse = limit, reuse
        self._connect_timeout_s = connect_timeout_s
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = _Connector(
            limit=self._limit,
            force_close=not self._reuse,
            use_dns_cache=self._reuse,
            resolver=self._resolver or Resolver(),
            socket_factory=_guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,  # we do it, within bounds
            # ours is exact, a total of theirs is rounded up
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            headers={
                "User-Agent": "remosa",
                "Accept": "*/*",
                "Accept-Encoding": "gzip" if self._reuse else "identity",
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        if method not in METHODS:
            raise ValueError(f"The method must be one of {sorted(METHODS)}, not {method!r}.")
        if math.isnan(deadline_s) or max_bytes < 0:
            raise ValueError("deadline_s must be a number and max_bytes must not be negative.")
        target = _checked_url(url, params)
        attempt = _Attempt(target.raw_host or "")
        sent_headers = _checked_headers(headers, attempt)
        body = _body(json, data, sent_headers)
        if deadline_s <= 0:
            raise attempt.failure("deadline", "no time was left to connect")
        _attempt.set(attempt)
        try:
            async with asyncio.timeout(deadline_s) as deadline:
                return await self._exchange(method, target, sent_headers, body, max_bytes, attempt)
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as exc:  # a timeout is an OSError
            _translate(exc, attempt, https=target.scheme == "https", late=deadline.expired())

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: Data | None,
        max_bytes: int,
        attempt: _Attempt,
    ) -> Response:
        """One request, one answer."""
        if self._session is None:
            raise RuntimeError("Enter the door first: `async with Door() as door`.")

        async def only_once(
            outgoing: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            if attempt.sent:  # aiohttp repeats an idempotent request whose kept connection had died
                raise attempt.failure("reset", "the kept connection had been closed")
            attempt.sent += 1
            return await send(outgoing)

        response = await self._session.request(
            method,
            url,
            headers=headers,
            data=body,
            allow_redirects=False,
            middlewares=(only_once,),
        )
        attempt.answered = True
        try:
            content = await _read(response, max_bytes, attempt)
        except BaseException:
            response.close()  # an answer that was not read to its end must not be reused
            raise
        response.release()
        return Response(response.status, response.headers, content)


def _checked_url(url: str, params: Params | None) -> URL:
    """``url`` parsed, with ``params`` added; HttpFailure ``bad_url`` unless it is a plain http(s) address."""
    parsed = _parsed(url)
    return parsed.extend_query(params) if params else parsed


@lru_cache(maxsize=256)  # thousands of questions go to one address
def _parsed(url: str) -> URL:
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
    return parsed


def _checked_headers(headers: Mapping[str, str] | None, attempt: _Attempt) -> CIMultiDict[str]:
    """A copy of ``headers``; HttpFailure ``protocol`` for what would break the message or its framing."""
    checked: CIMultiDict[str] = CIMultiDict()
    for name, value in (headers or {}).items():
        if not TOKEN.fullmatch(name) or NOT_IN_VALUES.search(value):
            raise attempt.failure("protocol", "a header has a line break or another forbidden character")
        if name.lower() in OUR_HEADERS:
            raise attempt.failure("protocol", f"the header {name} cannot be set")
        checked[name] = value
    return checked


def _body(json: Any, data: Data | None, headers: CIMultiDict[str]) -> Data | None:
    if json is None:
        return data
    if data is not None:
        raise ValueError("Give json or data, not both.")
    headers.setdefault("Content-Type", "application/json")
    return jsonlib.dumps(json, ensure_ascii=False, allow_nan=False).encode()


async def _read(response: aiohttp.ClientResponse, max_bytes: int, attempt: _Attempt) -> bytes:
    """The body, decoded while it comes in, so that neither a long nor a bloated one is ever held."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise attempt.failure("protocol", "the answer has an encoding that was not asked for")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    content = bytearray()
    received = 0
    while chunk := await response.content.readany():
        received += len(chunk)
        content += unpacker.decompress(chunk, max_bytes + 1 - len(content)) if unpacker else chunk
        if received > max_bytes or len(content) > max_bytes:
            raise attempt.failure("too_large", f"the answer is longer than {max_bytes} bytes")
    if unpacker and received and not unpacker.eof:
        raise attempt.failure("truncated", "the compressed answer ends too early")
    return bytes(content)


class _Blocked(OSError):
    """Tells the connector to leave this address; the attempt keeps the fact."""


class _Connector(aiohttp.TCPConnector):
    """Tells the attempt when it has a connection, a new one or a kept one: after the TLS handshake, before the
    first byte of ours. (aiohttp's tracing would tell it too, at a fifth of what a whole request costs.)"""

    async def connect(self, *arguments: Any, **named: Any) -> Any:
        """Get a connection from the pool, or make one."""
        connection = await super().connect(*arguments, **named)
        _attempt.get().connected = True
        return connection


def _guarded_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for the address that it will be connected to next, if it may go there.

    A name with several addresses may still be reached through another one: each passes here.
    """
    family, kind, protocol, _, (host, *_rest) = address
    if not is_allowed(host):
        _attempt.get().refused = host
        raise _Blocked(f"{host} is not allowed")
    return socket.socket(family, kind, protocol)


def _translate(exc: Exception, attempt: _Attempt, *, https: bool, late: bool) -> NoReturn:
    """Say in our words what went wrong; whether something may have left, the trace says, not ``exc``."""
    if attempt.refused and not attempt.connected and not late:
        raise EgressRefused(f"{attempt.host}: {attempt.refused} is not a public address") from None
    if late:
        step = "to answer" if attempt.connected else "to connect"
        raise attempt.failure("deadline", f"no time was left {step}") from None
    if not attempt.connected:
        raise attempt.failure(*_why_not_connected(exc, https=https)) from None
    if isinstance(exc, aiohttp.ClientResponseError | ValueError | zlib.error):
        raise attempt.failure("protocol", "the answer is not HTTP") from None
    if attempt.answered or isinstance(exc, aiohttp.ClientPayloadError):
        raise attempt.failure("truncated", "the answer ends too early") from None
    raise attempt.failure("reset", "the connection was closed before an answer") from None


def _why_not_connected(exc: Exception, *, https: bool) -> tuple[Reason, str]:
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(exc, aiohttp.InvalidURL | ValueError) and not isinstance(exc, OSError):
        return "bad_url", "this is not an address"
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return "dns", "the name has no address"
    if isinstance(exc, TimeoutError) or isinstance(cause, TimeoutError):
        return "connect_timeout", "no connection in time"
    if isinstance(exc, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return "tls", getattr(cause, "verify_message", "") or "the TLS handshake failed"
    if https and isinstance(cause, ConnectionResetError | ConnectionAbortedError):
        return "tls", "the connection was closed during the TLS handshake"
    return "refused", "nothing accepts connections there"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")
