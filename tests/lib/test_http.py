"""The door out, against real sockets that fail in every way that a gateway can.

What counts: the class of each failure, the proof behind ``may_have_left``, the deadline, and that
no call ever is two requests.
"""

import asyncio
import gc
import gzip
import ipaddress
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remosa.lib import egress
from remosa.lib.clock import utcnow
from remosa.lib.curl import Traffic
from remosa.lib.http import REASONS, Door, EgressRefused, HttpFailure, Response, request
from tests.lib import faulty_server as faults
from tests.lib.faulty_server import Behaviour, FaultyServer

OK = b"HTTP/1.1 200 OK\r\n"
SLACK_S = 2.0  # what a busy machine may add to a deadline; the faults go on for a minute


@pytest.fixture(autouse=True)
def loopback_is_open(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.0/8", "::1/128"]


def call(face: str, method: str, url: str, **options: Any) -> Response:
    """The same call through either face of the door."""
    if face == "sync":
        return request(method, url, **options)

    async def through_door() -> Response:
        async with Door() as door:
            return await door.request(method, url, **options)

    return asyncio.run(through_door())


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503])
def test_every_status_is_an_answer_and_one_request(face: str, status: int) -> None:
    with FaultyServer(faults.answers(f"{status} X", b"", b"Location: /again", b"Retry-After: 1")) as server:
        answer = call(face, "POST", server.url, json={"text": "#12#0#5#1#"}, deadline_s=5)

    assert answer.status == status
    assert len(server.ledger) == server.connections == 1
    assert server.ledger[0].endswith(b'{"text": "#12#0#5#1#"}')


def test_the_request_carries_what_it_was_given_and_little_else() -> None:
    with FaultyServer(faults.answers()) as server:
        request(
            "GET",
            server.url + "?a=1",
            params={"text": "#12#0#5#1# да+&", "phone": "+79001234567"},
            headers={"Authorization": "Bearer x", "X-Source": "remosa"},
            deadline_s=5,
        )

    head = server.ledger[0].decode().split("\r\n")
    assert head[0] == (
        "GET /send?a=1&text=%2312%230%235%231%23+%D0%B4%D0%B0%2B%26&phone=%2B79001234567 HTTP/1.1"
    )
    names = {line.split(":")[0].lower() for line in head[1:] if line}
    assert names == {
        *("host", "authorization", "x-source", "user-agent", "accept", "accept-encoding", "connection")
    }
    assert "Connection: close" in head
    assert "Accept-Encoding: identity" in head


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"json": {"имя": "Зал"}}, "application/json", '{"имя": "Зал"}'.encode()),
        ({"data": b"cpu value=1"}, "application/octet-stream", b"cpu value=1"),
        ({"data": "текст"}, "text/plain; charset=utf-8", "текст".encode()),
        ({"data": {"to": "+7900", "b": "1"}}, "application/x-www-form-urlencoded", b"to=%2B7900&b=1"),
    ],
)
def test_bodies_are_json_text_bytes_or_forms(body: dict[str, Any], content_type: str, sent: bytes) -> None:
    with FaultyServer(faults.answers()) as server:
        request("POST", server.url, deadline_s=5, **body)

    head, _, content = server.ledger[0].partition(b"\r\n\r\n")
    assert f"content-type: {content_type}" in head.decode().lower()
    assert content == sent


def test_the_answer_has_text_json_and_headers_in_any_case() -> None:
    body = '{"id": "да"}'.encode("cp1251")
    with FaultyServer(
        faults.answers("200 OK", body, b"Content-Type: text/plain; charset=windows-1251")
    ) as server:
        answer = request("GET", server.url, deadline_s=5)

    assert answer.text == '{"id": "да"}'
    assert answer.headers["content-TYPE"] == "text/plain; charset=windows-1251"
    assert (answer.body, repr(answer)) == (body, "Response(status=200)")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b'{"a": NaN}',
        b"[" * 100_000,
        b"1" * 10_000,
        b"\xff\xfe\xfd",
        b'{"a": "\xd0"}',
        b"{}x",
    ],
    ids=repr,
)
def test_json_that_is_none_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Response(200, {}, body[:200_000]).json()


def test_json_that_is_good_is_parsed() -> None:
    assert Response(200, {}, '{"id": "да", "n": [1, 2.5]}'.encode()).json() == {"id": "да", "n": [1, 2.5]}


def test_text_of_an_unknown_charset_is_read_as_utf_8() -> None:
    assert Response(200, {"Content-Type": "text/html; charset=klingon"}, "да".encode()).text == "да"


# --- failures: (what the server does, what we say) -------------------------------------------------

GZIP_HEAD = OK + b"Content-Encoding: gzip\r\n"
AMBIGUOUS: dict[str, tuple[Behaviour, str]] = {
    "RST after the request was read": (faults.resets, "reset"),
    "FIN after the request was read": (faults.says(), "reset"),
    "half a status line": (faults.says(b"HTTP/1.1 20"), "reset"),
    "half a header": (faults.says(b"HTTP/1.1 200 OK\r\nConte"), "reset"),
    "RST in a header": (faults.says_then_resets(b"HTTP/1.1 200 OK\r\nConte"), "reset"),
    "short body": (faults.says(OK + b"Content-Length: 100\r\n\r\n{"), "truncated"),
    "RST in the body": (faults.says_then_resets(OK + b"Content-Length: 100\r\n\r\n{"), "truncated"),
    "chunks without an end": (
        faults.says(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        "truncated",
    ),
    "half a gzip body": (
        faults.says(GZIP_HEAD + b"\r\n" + gzip.compress(os.urandom(1000))[:500]),
        "truncated",
    ),
    "bad gzip": (faults.answers("200 OK", b"not gzip at all", b"Content-Encoding: gzip"), "protocol"),
    "an encoding nobody asked for": (faults.answers("200 OK", b"x", b"Content-Encoding: br"), "protocol"),
    "garbage": (faults.says(b"\x00\xff\x00\xffhello\r\n\r\n"), "protocol"),
    "another protocol": (faults.says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol"),
    "two lengths": (faults.says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "protocol"),
    "a length that is none": (faults.says(OK + b"Content-Length: -5\r\n\r\n"), "protocol"),
    "a bad chunk": (faults.says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"), "protocol"),
    "a long header": (faults.says(OK + b"X: " + b"a" * 100_000 + b"\r\n\r\n"), "protocol"),
    "many headers": (faults.says(OK + b"X: y\r\n" * 5_000 + b"\r\n"), "protocol"),
    "headers without end": (faults.floods(OK, b"X-Pad: yyyyyyyyyyyyyyyy\r\n"), "protocol"),
    "a long declared body": (faults.answers("200 OK", b"x" * 70_000), "too_large"),
    "a body without end": (faults.floods(OK + b"Connection: close\r\n\r\n", b"x" * 65_536), "too_large"),
    "chunks that never end": (
        faults.floods(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
        "too_large",
    ),
    "silence": (faults.keeps_silent, "deadline"),
    "a dripping header": (faults.drips(OK + b"X: " + b"y" * 1_000, every_s=0.2), "deadline"),
    "a dripping body": (
        faults.drips(OK + b"Content-Length: 1000\r\n\r\n" + b"y" * 1_000, every_s=0.02),
        "deadline",
    ),
    "100 Continue for ever": (faults.floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "deadline"),
}


@pytest.mark.parametrize("fault", AMBIGUOUS)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_after_the_connection_every_failure_may_have_left(face: str, method: str, fault: str) -> None:
    behave, reason = AMBIGUOUS[fault]
    body = {"json": {"to": "x"}} if method == "POST" else {}
    deadline_s = 0.4 if reason == "deadline" else 5
    started = time.monotonic()

    with FaultyServer(behave) as server:
        with pytest.raises(HttpFailure) as caught:
            call(face, method, server.url, deadline_s=deadline_s, **body)
        took_s = time.monotonic() - started

    assert (caught.value.reason, caught.value.may_have_left) == (reason, True)
    assert caught.value.reason in REASONS
    assert len(server.ledger) == server.connections == 1
    assert took_s < deadline_s + SLACK_S


def test_a_reset_before_anything_is_read_may_have_left(face: str) -> None:
    with FaultyServer(faults.resets_unread, reads=False) as server, pytest.raises(HttpFailure) as caught:
        call(face, "POST", server.url, json={}, deadline_s=3)

    assert (caught.value.reason, caught.value.may_have_left) == ("reset", True)
    assert server.connections == 1


def test_the_deadline_is_met_to_the_tenth_of_a_second(face: str) -> None:
    with FaultyServer(faults.drips(OK + b"X: " + b"y" * 1_000, every_s=0.2)) as server:
        started = time.monotonic()
        with pytest.raises(HttpFailure, match="deadline"):
            call(face, "GET", server.url, deadline_s=0.9)
        took_s = time.monotonic() - started

    assert 0.85 <= took_s < 0.9 + SLACK_S


# --- failures before the connection: proof that nothing left ----------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def proven(caught: pytest.ExceptionInfo[HttpFailure], reason: str) -> bool:
    return (caught.value.reason, caught.value.may_have_left) == (reason, False)


def test_a_refused_connection_proves_that_nothing_left(face: str) -> None:
    with pytest.raises(HttpFailure) as caught:
        call(face, "POST", f"http://127.0.0.1:{closed_port()}/", json={}, deadline_s=5)

    assert proven(caught, "refused")


def test_an_unknown_name_proves_that_nothing_left(face: str) -> None:
    with pytest.raises(HttpFailure) as caught:
        call(face, "POST", "http://no-such-name.invalid/", json={}, deadline_s=10)

    assert proven(caught, "dns")


@pytest.fixture
def full_port() -> Iterator[int]:
    """A listener that completes no handshake, because its queue is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(8):
        waiting.append(client := socket.socket())
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    yield listener.getsockname()[1]
    for client in waiting:
        client.close()
    listener.close()


def test_a_connection_that_does_not_come_about_proves_that_nothing_left(full_port: int) -> None:
    async def impatient() -> None:
        async with Door(connect_timeout_s=0.4) as door:
            await door.request("POST", f"http://127.0.0.1:{full_port}/", json={}, deadline_s=5)

    started = time.monotonic()
    with pytest.raises(HttpFailure) as caught:
        asyncio.run(impatient())

    assert proven(caught, "connect_timeout")
    assert time.monotonic() - started < 0.4 + SLACK_S


def test_a_deadline_before_the_connection_proves_that_nothing_left(full_port: int) -> None:
    with pytest.raises(HttpFailure) as caught:
        request("POST", f"http://127.0.0.1:{full_port}/", json={}, deadline_s=0.4)

    assert proven(caught, "deadline")


@pytest.mark.parametrize("deadline_s", [0, -1.5])
def test_no_time_left_is_no_request(face: str, deadline_s: float) -> None:
    with FaultyServer(faults.answers()) as server, pytest.raises(HttpFailure) as caught:
        call(face, "POST", server.url, json={}, deadline_s=deadline_s)

    assert proven(caught, "deadline")
    assert server.connections == 0


def test_a_hanging_name_server_does_not_hold_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: Any) -> Any:
        released.wait(20)
        raise OSError

    monkeypatch.setattr(egress, "_system_lookup", hang)
    started = time.monotonic()

    with pytest.raises(HttpFailure) as caught:
        request("POST", "http://cms.example.org/", json={}, deadline_s=0.4)

    took_s = time.monotonic() - started
    released.set()
    assert proven(caught, "deadline")
    assert took_s < 0.4 + SLACK_S


def test_lookups_that_hang_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress.Resolver, "_slots", threading.BoundedSemaphore(1))
    egress.Resolver._slots.acquire()

    with pytest.raises(HttpFailure) as caught:
        request("GET", "http://cms.example.org/", deadline_s=5)

    assert proven(caught, "dns")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Token": "a\r\nX-Evil: 1"},
        {"X-Token": "a\nb"},
        {"X-Token": "a\x00b"},
        {"X Token": "a"},
        {"X-Token:": "a"},
        {"": "a"},
        {"Host": "other.test"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "keep-alive"},
    ],
)
def test_headers_that_would_break_the_message_are_not_sent(face: str, headers: dict[str, str]) -> None:
    with FaultyServer(faults.answers()) as server, pytest.raises(HttpFailure) as caught:
        call(face, "POST", server.url, headers=headers, json={}, deadline_s=5)

    assert proven(caught, "protocol")
    assert server.connections == 0


@pytest.mark.parametrize(
    ("url", "reason"), [("http://10.0.0.1/", "egress"), ("ftp://a/", "bad_url"), ("http://u:p@h/", "bad_url")]
)
def test_a_place_that_may_not_be_asked_proves_that_nothing_left(face: str, url: str, reason: str) -> None:
    with pytest.raises(HttpFailure) as caught:
        call(face, "POST", url, json={}, deadline_s=5)

    assert proven(caught, reason)
    assert isinstance(caught.value, EgressRefused) is (reason == "egress")


# --- sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "fits"), [(0, True), (1000, True), (1001, False)])
@pytest.mark.parametrize("packed", [False, True])
def test_the_size_is_bounded_after_decoding(face: str, size: int, fits: bool, packed: bool) -> None:
    content = os.urandom(size // 2).hex().encode() + b"x" * (size % 2)
    body, extra = (gzip.compress(content), [b"Content-Encoding: gzip"]) if packed else (content, [])

    with FaultyServer(faults.answers("200 OK", body, *extra)) as server:
        if fits:
            assert call(face, "GET", server.url, deadline_s=5, max_bytes=1000).body == content
        else:
            with pytest.raises(HttpFailure, match="too_large"):
                call(face, "GET", server.url, deadline_s=5, max_bytes=1000)


def test_a_bomb_is_not_unpacked(face: str) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    bomb = (
        b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    )  # 300 MB in 300 kB
    with FaultyServer(faults.answers("200 OK", bomb, b"Content-Encoding: gzip")) as server:
        tracemalloc.start()
        with pytest.raises(HttpFailure, match="too_large"):
            call(face, "GET", server.url, deadline_s=10, max_bytes=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 20_000_000


# --- connections ------------------------------------------------------------------------------------


def test_the_asynchronous_face_reuses_connections_and_keeps_no_cookies() -> None:
    async def three(url: str) -> list[int]:
        async with Door() as door:
            return [(await door.request("GET", url, deadline_s=5)).status for _ in range(3)]

    with FaultyServer(faults.answers("200 OK", b"x", b"Set-Cookie: a=b"), keeps=True) as server:
        statuses = asyncio.run(three(server.url))

    assert statuses == [200, 200, 200]
    assert (server.connections, len(server.ledger)) == (1, 3)
    assert not any(b"Cookie" in sent for sent in server.ledger)


def test_a_kept_connection_that_has_died_is_not_tried_twice() -> None:
    """libcurl would repeat the request by itself; whether to repeat is the caller's decision."""
    served = threading.Event()

    def once_then_reset(peer: socket.socket, over: threading.Event) -> None:
        if served.is_set():
            faults.reset(peer)
        else:
            served.set()
            faults.answers("200 OK", b"x")(peer, over)

    async def two(url: str) -> None:
        async with Door() as door:
            await door.request("GET", url, deadline_s=5)
            await door.request("GET", url, deadline_s=5)

    with FaultyServer(once_then_reset, keeps=True) as server, pytest.raises(HttpFailure) as caught:
        asyncio.run(two(server.url))

    assert (caught.value.reason, caught.value.may_have_left) == ("reset", True)
    assert (server.connections, len(server.ledger)) == (1, 2)


def test_an_answer_cut_off_is_not_followed_by_another_request_on_its_connection() -> None:
    async def two(url: str) -> list[str]:
        outcomes = []
        async with Door() as door:
            for limit in (10, 2_000_000):
                try:
                    outcomes.append(
                        str((await door.request("GET", url, deadline_s=5, max_bytes=limit)).status)
                    )
                except HttpFailure as failure:
                    outcomes.append(failure.reason)
        return outcomes

    with FaultyServer(faults.answers("200 OK", b"x" * 1_000_000), keeps=True) as server:
        outcomes = asyncio.run(two(server.url))

    assert outcomes == ["too_large", "200"]
    assert server.connections == 2


def test_a_request_without_a_body_has_not_the_one_of_the_request_before() -> None:
    async def three(url: str) -> None:
        async with Door() as door:
            for method, body in (("POST", {"json": {"a": 1}}), ("PUT", {}), ("DELETE", {}), ("POST", {})):
                await door.request(method, url, deadline_s=5, **body)

    with FaultyServer(faults.answers(), keeps=True) as server:
        asyncio.run(three(server.url))

    assert [sent.partition(b" ")[0] for sent in server.ledger] == [b"POST", b"PUT", b"DELETE", b"POST"]
    assert [sent.partition(b"\r\n\r\n")[2] for sent in server.ledger] == [b'{"a": 1}', b"", b"", b""]
    assert b"content-length: 0" in server.ledger[1].lower()


def test_a_call_that_is_cancelled_leaves_nothing_behind() -> None:
    async def cancelled(silent: str, good: str) -> int:
        async with Door(limit=1) as door:
            call = asyncio.create_task(door.request("POST", silent, json={}, deadline_s=30))
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.wait([call])
            return (await door.request("GET", good, deadline_s=5)).status

    gc.collect()  # what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    with FaultyServer(faults.keeps_silent) as silent, FaultyServer(faults.answers(), keeps=True) as good:
        status = asyncio.run(cancelled(silent.url, good.url))

    assert status == 200
    assert len(silent.ledger) == len(good.ledger) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_door_that_nobody_uses_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Traffic, "idle_s", 0.2)

    async def twice(url: str) -> None:
        async with Door() as door:
            for pause_s in (0, 0.6):
                await asyncio.sleep(pause_s)
                await door.request("GET", url, deadline_s=5)

    with FaultyServer(faults.answers("200 OK", b"x"), keeps=True) as server:
        asyncio.run(twice(server.url))

    assert (server.connections, len(server.ledger)) == (2, 2)


def test_many_requests_at_once_stay_below_the_limit_and_find_their_answers() -> None:
    async def many(url: str) -> list[Response | BaseException]:
        async with Door(limit=4) as door:
            calls = [door.request("GET", url, params={"n": n}, deadline_s=20) for n in range(40)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with FaultyServer(faults.answers("200 OK", b"x"), keeps=True) as server:
        found = asyncio.run(many(server.url))

    assert [answer.status for answer in found if isinstance(answer, Response)] == [200] * 40
    assert server.connections <= 4
    assert len(server.ledger) == 40


def test_one_failure_does_not_touch_the_calls_beside_it() -> None:
    async def both(good: str, bad: str) -> list[Response | BaseException]:
        async with Door() as door:
            calls = [
                door.request("GET", url, deadline_s=5) for url in (good, bad, good, bad, "http://10.0.0.1/")
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

    with FaultyServer(faults.answers()) as good, FaultyServer(faults.resets) as bad:
        found = asyncio.run(both(good.url, bad.url))

    assert [getattr(one, "status", None) or getattr(one, "reason", None) for one in found] == [
        *(200, "reset", 200, "reset", "egress")
    ]


def test_waiting_for_a_free_connection_counts_and_proves_that_nothing_left() -> None:
    async def crowd(url: str) -> list[Response | BaseException]:
        async with Door(limit=1) as door:
            calls = [door.request("POST", url, json={}, deadline_s=s) for s in (0.8, 0.3)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with FaultyServer(faults.keeps_silent) as server:
        first, second = asyncio.run(crowd(server.url))

    assert isinstance(first, HttpFailure)
    assert isinstance(second, HttpFailure)
    assert (first.may_have_left, second.may_have_left) == (True, False)
    assert len(server.ledger) == 1


def test_a_door_from_several_threads_is_several_loops() -> None:
    outcomes: list[int] = []

    def work(url: str) -> None:
        outcomes.extend(request("GET", url, deadline_s=10).status for _ in range(5))

    with FaultyServer(faults.answers()) as server:
        workers = [threading.Thread(target=work, args=(server.url,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=30)

    assert outcomes == [200] * 20
    assert len(server.ledger) == 20


# --- TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utcnow() - timedelta(hours=1))
        .not_valid_after(utcnow() + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "gateway.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(face: str, tls: ssl.SSLContext) -> None:
    with FaultyServer(faults.answers(), tls=tls) as server, pytest.raises(HttpFailure) as caught:
        call(face, "POST", server.url, json={}, deadline_s=5)

    assert proven(caught, "tls")
    assert "self-signed certificate" in str(caught.value)
    assert server.ledger == []


def test_a_certificate_of_a_known_authority_is_accepted(tls: ssl.SSLContext, certificate: Path) -> None:
    """The authorities are read when the process starts, so this one is a process of its own."""
    program = (
        "from django.conf import settings; settings.configure(EGRESS_ALLOW=['127.0.0.0/8']);"
        "import sys; from remosa.lib.http import request;"
        "print(request('GET', sys.argv[1], deadline_s=10).status)"
    )
    with FaultyServer(faults.answers(), tls=tls) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url],
            env={**os.environ, "SSL_CERT_FILE": str(certificate), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (done.stdout.strip(), done.stderr) == ("200", "")


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (faults.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"),
        (faults.resets, "tls"),
        (faults.keeps_silent, "connect_timeout"),
    ],
)
def test_a_handshake_that_fails_proves_that_nothing_left(behave: Behaviour, reason: str) -> None:
    async def impatient(url: str) -> None:
        async with Door(connect_timeout_s=0.5) as door:
            await door.request("POST", url, json={}, deadline_s=5)

    with FaultyServer(behave, reads=False) as server, pytest.raises(HttpFailure) as caught:
        asyncio.run(impatient(server.url.replace("http:", "https:")))

    assert proven(caught, reason)


# --- the callers' side ------------------------------------------------------------------------------


def test_the_synchronous_face_refuses_to_block_a_running_loop() -> None:
    async def wrong() -> None:
        request("GET", "http://127.0.0.1/", deadline_s=1)

    with pytest.raises(RuntimeError, match="Door"):
        asyncio.run(wrong())


def test_a_door_must_be_entered() -> None:
    with pytest.raises(RuntimeError, match="Enter the door"):
        asyncio.run(Door().request("GET", "http://127.0.0.1/", deadline_s=1))


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "get"},
        {"method": "CONNECT"},
        {"method": "GET / HTTP/1.1\r\n"},
        {"json": {}, "data": b""},
        {"deadline_s": float("nan")},
        {"max_bytes": -1},
        {"json": float("inf")},
    ],
)
def test_a_call_that_makes_no_sense_is_a_value_error(arguments: dict[str, Any]) -> None:
    options: dict[str, Any] = {"method": "POST", "url": "http://127.0.0.1/", "deadline_s": 1} | arguments

    with pytest.raises(ValueError, match=r"."):
        request(options.pop("method"), options.pop("url"), **options)


FAILING: list[Callable[[], HttpFailure]] = [
    lambda: HttpFailure("reset", True, "cms.test"),
    lambda: EgressRefused("cms.test"),
]


@pytest.mark.parametrize("make", FAILING)
def test_failures_travel_between_processes(make: Callable[[], HttpFailure]) -> None:
    failure = make()

    copy = pickle.loads(pickle.dumps(failure))  # noqa: S301

    assert type(copy) is type(failure)
    assert (copy.reason, copy.may_have_left, str(copy)) == (
        failure.reason,
        failure.may_have_left,
        str(failure),
    )


def test_no_failure_shows_the_query_the_headers_or_the_body() -> None:
    shown = []
    places = [
        f"http://127.0.0.1:{closed_port()}",
        "http://10.0.0.1",
        "http://no-such-name.invalid",
        "ftp://x",
    ]
    with FaultyServer(faults.resets) as server:
        for place in [*places, server.url]:
            try:
                request(
                    "POST",
                    f"{place}/canary-path",
                    params={"phone": "+79001234567"},
                    headers={"Authorization": "canary-header"},
                    json={"text": "canary-body"},
                    deadline_s=5,
                )
            except HttpFailure as failure:
                shown.append(f"{failure} {failure!r}")

    assert len(shown) == 5
    assert not any(word in text for text in shown for word in ("canary", "1234567"))
