"""No spelling, name, answer or redirect leads a call to an address that is not public."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from remosa.lib.egress import is_allowed
from remosa.lib.http import Door, EgressRefused, HttpFailure, request

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "2606:4700:4700::1111",
    "2a02:6b8::2:242",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
LOCAL = [
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:0:7f00:1::80ff:fffe",
    "2001:db8::1",
    "2001:10::1",
    "2001:0:808:808::f7f7:f7f7",
    "2002:808:808::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str, settings: Any) -> None:
    settings.EGRESS_ALLOW = []

    assert is_allowed(address)


@pytest.mark.parametrize("address", LOCAL)
def test_addresses_that_are_not_public_are_refused(address: str, settings: Any) -> None:
    settings.EGRESS_ALLOW = []

    assert not is_allowed(address)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.20.3.4", True),
        ("::ffff:10.20.3.4", True),
        ("10.21.0.1", False),
        ("fd00:1::5", True),
        ("fd00:2::5", False),
        ("127.0.0.1", False),
    ],
)
def test_the_operator_may_open_a_network(address: str, allowed: bool, settings: Any) -> None:
    settings.EGRESS_ALLOW = ["10.20.0.0/16", "fd00:1::/32"]

    assert is_allowed(address) is allowed


def test_a_network_that_is_none_says_so(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["10.20.0.1/16"]

    with pytest.raises(ImproperlyConfigured, match=r"EGRESS_ALLOW: .*host bits"):
        is_allowed("8.8.8.8")


class Canary:
    """Listens on all of this machine's loopback addresses, IPv4 and IPv6, and counts who comes."""

    def __init__(self) -> None:
        self.reached = 0
        v4 = socket.create_server(("0.0.0.0", 0))  # noqa: S104  127.0.0.0/8 is wider than one address
        self.port = v4.getsockname()[1]
        self.sockets = [v4]
        if socket.has_ipv6:
            v6 = socket.socket(socket.AF_INET6)
            v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                v6.bind(("::", self.port))
                v6.listen()
                self.sockets.append(v6)
            except OSError:  # a machine without IPv6
                v6.close()
        for listener in self.sockets:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            self.reached += 1
            with peer:
                peer.settimeout(2)
                try:
                    peer.recv(65_536)
                    peer.sendall(
                        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n"
                        b"Location: http://127.0.0.1:%d/hop\r\n\r\n" % self.port
                    )
                except OSError:
                    continue

    def close(self) -> None:
        for listener in self.sockets:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    bird = Canary()
    yield bird
    bird.close()


HOSTS = [
    # IPv4, as written and as libc reads it
    *(
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.127.127.127",
        "127.0.0.1.",
        "127.1.",
        "0",
        "0.",
        "0.0.0.0",  # noqa: S104
        "0.0",
    ),
    *(
        "2130706433",
        "2130706433.",
        "02130706433",
        "017700000001",
        "0x7f000001",
        "0x7F000001",
        "0x7f.1",
        "0x7f.0.1",
    ),
    *("0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.1", "0177.0.0.01", "00177.0.0.1", "127.0.0.01", "127.0.0.0x1"),
    *(
        "127.000.000.001",
        "127.0x0.1",
        "127.00000001",
        "127.16777215",
        "4294967295",
        "4294967296",
        "256.0.0.1",
    ),
    *("127.0.0.1%00", "127.0.0.1%20", "127.0.0.1%2f", "%31%32%37.0.0.1", "%3127.1", "0X7F.1", "127。0。0。1"),
    *("127．0．0．1", "１２７.0.0.1", "①②⑦.0.0.1", "127.0.0.①", "٠.0.0.0", "0x7f.0.0.1", "127.0.0.1:80"),
    # IPv6 and what hides in it
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::]", "[0:0:0:0:0:0:0:0]"),
    *(
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:7F00:0001]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
    ),
    *(
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:7f00:1::1]",
    ),
    *(
        "[::1%lo]",
        "[::1%25lo]",
        "[::1%1]",
        "[fe80::1%lo]",
        "[fe80::1%25lo]",
        "[::1",
        "::1]",
        "::1",
        "[127.0.0.1]",
    ),
    *(
        "[::ffff:0.0.0.0]",
        "[::ffff:127.1]",
        "[fec0::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[ff01::1]",
        "[::ffff:169.254.1.1]",
    ),
    # names
    *(
        "localhost",
        "localhost.",
        "LOCALHOST",
        "LocalHost",
        "localhost..",
        "localhost.localdomain",
        "ip6-localhost",
    ),
    *(
        "ip6-loopback",
        "foo.localhost",
        "ｌｏｃａｌｈｏｓｔ",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "loc%61lhost",
        "local\u00adhost",
        "localhost%00",
    ),
    *(
        "localhost%2e",
        "localhost。",
        "LOCALHOſT",
        "xn--localhost-",
        "localhost\t",
        " localhost",
        "localhost ",
    ),
]
URLS = [
    *(f"http://{host}:PORT/" for host in HOSTS),
    # who is the host?
    *("http://8.8.8.8@127.0.0.1:PORT/", "http://8.8.8.8:80@127.0.0.1:PORT/", "http://@127.0.0.1:PORT/"),
    *("http://:@127.0.0.1:PORT/", "http://127.0.0.1:PORT@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@8.8.8.8/"),
    *(
        "http://127.0.0.1:PORT?@8.8.8.8/",
        "http://127.0.0.1:PORT\\@8.8.8.8/",
        "http://8.8.8.8%40127.0.0.1:PORT/",
    ),
    *("http://127.0.0.1:PORT%2f@8.8.8.8/", "http://8.8.8.8 @127.0.0.1:PORT/", "http:127.0.0.1:PORT/"),
    *("http:/127.0.0.1:PORT/", "http:///127.0.0.1:PORT/", "http:////127.0.0.1:PORT/", "//127.0.0.1:PORT/"),
    *(
        "http:\\\\127.0.0.1:PORT\\",
        "http://\\127.0.0.1:PORT/",
        "127.0.0.1:PORT",
        "/127.0.0.1:PORT/",
        "?127.0.0.1",
    ),
    *(
        "http://127.0.0.1:PORT/\r\nHost: 8.8.8.8",
        "http://127.0.0.1:PORT/ HTTP/1.1\r\n\r\n",
        "\thttp://127.0.0.1:PORT/",
    ),
    *(
        "http://127.0.0.1:0PORT/",
        "http://127.0.0.1:+PORT/",
        "http://127.0.0.1:PORT:80/",
        "http://127.0.0.1: PORT/",
    ),
    *(
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:PORT\x00/",
        "",
    ),
    *(
        "HTTP://127.0.0.1:PORT/",
        "hTtP://127.0.0.1:PORT/",
        "https://127.0.0.1:PORT/",
        "https://localhost:PORT/",
    ),
    # other schemes
    *("ftp://127.0.0.1:PORT/", "file:///etc/passwd", "file://127.0.0.1:PORT/etc/passwd", "data:text/plain,x"),
    *(
        "gopher://127.0.0.1:PORT/_GET",
        "dict://127.0.0.1:PORT/info",
        "ldap://127.0.0.1:PORT/",
        "ws://127.0.0.1:PORT/",
    ),
    *("wss://127.0.0.1:PORT/", "tcp://127.0.0.1:PORT/", "unix:///run/docker.sock", "http+unix://%2Frun%2Fx/"),
    *(
        "jar:http://127.0.0.1:PORT/!x",
        "javascript:alert(1)",
        "netdoc:///etc/passwd",
        "view-source:http://127.0.0.1:PORT/",
    ),
    *(
        "url:http://127.0.0.1:PORT/",
        "http\t://127.0.0.1:PORT/",
        "httpx://127.0.0.1:PORT/",
        "://127.0.0.1:PORT/",
    ),
]


class Scripted:
    """A name server that says what the test wants, the next answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def failure_of(url: str) -> HttpFailure | None:
    try:
        request("GET", url, deadline_s=5)
    except HttpFailure as failure:
        return failure
    return None


def test_no_spelling_of_a_local_address_reaches_the_canary(
    canary: Canary, settings: Any, figure: Callable[[str, str], None]
) -> None:
    settings.EGRESS_ALLOW = []
    urls = [url.replace("PORT", str(canary.port)) for url in dict.fromkeys(URLS)]

    failures = {url: failure_of(url) for url in urls}

    assert len(urls) >= 120
    assert [url for url, failure in failures.items() if failure is None] == []
    assert {failure.may_have_left for failure in failures.values() if failure} == {False}
    assert {failure.reason for failure in failures.values() if failure} <= {
        "egress",
        "bad_url",
        "dns",
        "protocol",
    }
    assert canary.reached == 0
    figure("egress", f"{len(urls)} spellings, {canary.reached} reached")


def test_without_the_guard_many_spellings_would_reach_the_canary(canary: Canary, settings: Any) -> None:
    """The control: the canary does sing, and it is the guard that keeps it silent."""
    settings.EGRESS_ALLOW = ["127.0.0.0/8", "::1/128"]

    for url in dict.fromkeys(URLS):
        failure_of(url.replace("PORT", str(canary.port)))

    assert canary.reached >= 20


def test_a_redirect_to_a_local_address_is_not_followed(canary: Canary, settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.1/32"]

    answer = request("GET", f"http://127.0.0.1:{canary.port}/", deadline_s=5)

    assert answer.headers["location"] == f"http://127.0.0.1:{canary.port}/hop"
    assert canary.reached == 1  # the first call, and no hop


@pytest.mark.parametrize(
    "answers",
    [
        [["127.0.0.1"]],
        [["::1"]],
        [["::ffff:127.0.0.1"]],
        [["127.0.0.1", "127.0.0.2", "::1"]],
        [["169.254.169.254"]],
        [["64:ff9b::7f00:1", "10.0.0.1"]],
    ],
)
def test_a_name_that_leads_home_is_refused(canary: Canary, settings: Any, answers: list[list[str]]) -> None:
    settings.EGRESS_ALLOW = []

    async def call() -> None:
        async with Door(resolver=Scripted(*answers)) as door:
            await door.request("GET", f"http://cms.test:{canary.port}/", deadline_s=5)

    with pytest.raises(EgressRefused) as caught:
        asyncio.run(call())

    assert (caught.value.reason, caught.value.may_have_left) == ("egress", False)
    assert canary.reached == 0


def test_a_name_that_is_rebound_between_calls_is_refused_then(canary: Canary, settings: Any) -> None:
    """The first answer is harmless (a network that drops us, allowed by name), the next ones are not."""
    settings.EGRESS_ALLOW = ["127.0.0.9/32"]

    async def calls() -> list[str]:
        outcomes = []
        for _ in range(3):
            try:
                answer = await door_request()
                outcomes.append(str(answer))
            except HttpFailure as failure:
                outcomes.append(failure.reason)
        return outcomes

    rebinding = Scripted(["127.0.0.9"], ["127.0.0.1"])

    async def door_request() -> int:
        async with Door(resolver=rebinding, reuse=False) as door:
            return (await door.request("GET", f"http://cms.test:{canary.port}/", deadline_s=5)).status

    outcomes = asyncio.run(calls())

    assert outcomes == ["302", "egress", "egress"]
    assert canary.reached == 1


def test_of_several_addresses_only_an_allowed_one_is_connected_to(canary: Canary, settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.9/32"]

    async def call() -> int:
        async with Door(resolver=Scripted(["127.0.0.1", "127.0.0.9"]), reuse=False) as door:
            return (await door.request("GET", f"http://cms.test:{canary.port}/", deadline_s=5)).status

    assert asyncio.run(call()) == 302
    assert canary.reached == 1


def test_proxies_of_the_environment_are_not_used(
    canary: Canary, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EGRESS_ALLOW = []
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]:
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")

    failure = failure_of("http://name-that-does-not-exist.invalid/")

    assert failure is not None
    assert failure.reason == "dns"
    assert canary.reached == 0
