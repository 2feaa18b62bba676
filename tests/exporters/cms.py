"""A CMS on loopback for the tests of the pollers: a real server that answers, or misbehaves, as told."""

import asyncio
import gzip
import json
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from exporters.ports import Observation, Poller, PollSettings, RoundResult, Target
from remosa.lib.egress import Lookup
from remosa.lib.http import Door

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Cms:
    """A running server and what it was asked, as (method, path with query, headers, body)."""

    base_url: str
    asked: list[tuple[str, str, dict, bytes]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


@asynccontextmanager
async def running_cms(answer: Answer):
    """Serve ``answer`` for every path on a free port of loopback."""
    cms = Cms("")

    async def handle(request: web.Request) -> web.StreamResponse:
        cms.at_once += 1
        cms.most_at_once = max(cms.most_at_once, cms.at_once)
        try:
            cms.asked.append((request.method, request.path_qs, dict(request.headers), await request.read()))
            return await answer(request)
        finally:
            cms.at_once -= 1

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    cms.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield cms
    finally:
        await runner.cleanup()


async def poll_once(
    poller: Poller, base_url: str, targets: list[Target], resolver: Lookup | None = None, **settings
) -> RoundResult:
    """One round through a door of its own."""
    async with Door(limit=64, resolver=resolver) as door:
        return await poller.poll(door, PollSettings(base_url, **settings), targets)


def poll_against(
    answer: Answer, poller: Poller, targets: list[Target], under: str = "", **settings
) -> tuple[RoundResult, Cms]:
    """One round of ``poller`` against a CMS that answers like ``answer``, ``under`` a path of its own."""

    async def whole() -> tuple[RoundResult, Cms]:
        async with running_cms(answer) as cms:
            return await poll_once(poller, cms.base_url + under, targets, **settings), cms

    return asyncio.run(whole())


def by_id(result: RoundResult) -> dict[str, Observation]:
    """The observations of a round; fails when one id has two."""
    assert len({one.external_id for one in result.observations}) == len(result.observations)
    return {one.external_id: one for one in result.observations}


# --- faults: the way a right answer goes wrong -------------------------------------------------------


def with_status(status: int, text: str = "no", **headers: str) -> Answer:
    async def answer(request):
        return web.Response(status=status, text=text, headers=headers)

    return answer


def with_body(body: bytes, **headers: str) -> Answer:
    async def answer(request):
        return web.Response(body=body, headers={"Content-Type": "application/json", **headers})

    return answer


async def never(request):
    """Holds the request until the client goes away."""
    await asyncio.Event().wait()


async def one_byte_at_a_time(request):
    """An answer that has begun and does not end: spaces, which JSON would allow."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def reset(request):
    request.transport.abort()
    return web.Response()


async def cut_short(request):
    """Promises more than it sends."""
    request.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{"status": "offline"')
    request.transport.close()
    return web.Response()


async def cut_chunks(request):
    request.transport.write(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n[{"status": "offline"'
    )
    request.transport.close()
    return web.Response()


async def not_http(request):
    request.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    request.transport.close()
    return web.Response()


HTML = b"<!DOCTYPE html><html><body>offline. Please log in</body></html>"
OFFLINE_ANYWHERE = json.dumps([{"status": "offline"}]).encode()

# name -> (answer, the reason that every device gets); none of them says of any device that it is offline
FAULTS: dict[str, tuple[Answer, str]] = {
    "http 400": (with_status(400), "http_4xx"),
    "http 401": (with_status(401, '{"error": "unauthorized"}'), "http_401"),
    "http 403": (with_status(403), "http_403"),
    "http 404": (with_status(404), "http_404"),
    "http 410 with an answer": (with_status(410, '[{"status": "offline"}]'), "http_4xx"),
    "http 429": (with_status(429, **{"Retry-After": "60"}), "http_429"),
    "http 500": (with_status(500, "Internal Server Error"), "http_5xx"),
    "http 500 with an answer": (with_status(500, '[{"status": "offline"}]'), "http_5xx"),
    "http 502": (with_status(502, HTML.decode()), "http_5xx"),
    "http 503": (with_status(503, **{"Retry-After": "1"}), "http_5xx"),
    "redirect to a login": (with_status(302, Location="/login"), "redirect"),
    "redirect for ever": (with_status(308, Location="http://169.254.169.254/"), "redirect"),
    "no answer": (never, "timeout"),
    "endless answer": (one_byte_at_a_time, "timeout"),
    "reset": (reset, "reset"),
    "cut body": (cut_short, "truncated"),
    "cut chunks": (cut_chunks, "truncated"),
    "not http": (not_http, "wrong_shape"),
    "html with 200": (with_body(HTML, **{"Content-Type": "text/html"}), "not_json"),
    "html called json": (with_body(HTML), "not_json"),
    "empty body": (with_body(b""), "not_json"),
    "no content": (with_status(204, ""), "not_json"),
    "cut json": (with_body(b'[{"status": "offline", "na'), "not_json"),
    "cyrillic of windows": (with_body('[{"status": "оффлайн"}]'.encode("cp1251")), "not_json"),
    "not a number": (with_body(b"[NaN]"), "not_json"),
    "number of 10,000 digits": (with_body(b"[" + b"9" * 10_000 + b"]"), "not_json"),
    "two answers": (with_body(OFFLINE_ANYWHERE * 2), "not_json"),
    "json null": (with_body(b"null"), "wrong_shape"),
    "json string": (with_body(b'"offline"'), "wrong_shape"),
    "json number": (with_body(b"0"), "wrong_shape"),
    "json false": (with_body(b"false"), "wrong_shape"),
    "nested 30,000 deep": (with_body(b"[" * 30_000 + b"]" * 30_000), "wrong_shape"),
    "endless body": (with_body(b" " * (9 * 2**20)), "too_large"),
    "gzip bomb": (
        with_body(gzip.compress(b" " * (64 * 2**20)), **{"Content-Encoding": "gzip"}),
        "too_large",
    ),
    "broken gzip": (with_body(b"\x1f\x8b\x08\x00garbage", **{"Content-Encoding": "gzip"}), "truncated"),
    "cut gzip": (
        with_body(gzip.compress(OFFLINE_ANYWHERE * 50)[:-9], **{"Content-Encoding": "gzip"}),
        "truncated",
    ),
    "unknown encoding": (with_body(b"\x00\x01", **{"Content-Encoding": "br"}), "wrong_shape"),
}


class NoNames:
    """A name server that knows nobody."""

    async def resolve(self, host, port):
        raise OSError(None, "no such name")


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ways_that_fail(base_url: str) -> dict[str, tuple[str, Lookup | None, str]]:
    """name -> (base address, resolver, reason): CMSs that are not reached at all."""
    port = re.search(r":(\d+)$", base_url)[1]
    return {
        "nobody listens": (f"http://127.0.0.1:{free_port()}", None, "refused"),
        "no such name": ("http://cms.example", NoNames(), "dns"),
        "no tls": (f"https://127.0.0.1:{port}", None, "tls"),
        "private address": ("http://10.255.255.1", None, "egress"),
        "metadata of a cloud": ("http://169.254.169.254", None, "egress"),
    }
