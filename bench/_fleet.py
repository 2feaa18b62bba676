"""What the benchmarks of exporters share: a fleet in the database, a CMS of 50 ms, the product's web server."""

import asyncio
import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.harness import NotRun

ROOT = Path(__file__).resolve().parent.parent
ANSWER = b'[{"status":"online","name":"Player 1","ip":"10.0.0.1","outIp":"198.51.100.7"}]'


def need(program: str, package: str) -> str:
    """The path of a Debian program; installed where that is possible."""
    for name in (program, f"/usr/sbin/{program}"):
        if found := shutil.which(name):
            return found
    subprocess.run([ROOT / "scripts/apt-install", package], stdout=sys.stderr, check=False)
    if found := shutil.which(program) or shutil.which(f"/usr/sbin/{program}"):
        return found
    raise NotRun(f"{program} is not installed (Debian: {package})")


def macs(count: int) -> list[str]:
    return [f"02:00:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}" for n in range(count)]


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def make_fleet(count: int, **fields: Any) -> Any:
    """An exporter with ``count`` targets, straight into the tables."""
    from devices.models import Device
    from exporters.models import Exporter, ExporterTarget
    from platforms.services import create_platform

    platform = create_platform(name=f"bench {secrets.token_hex(4)}", by=None)
    exporter = Exporter.objects.create(
        platform=platform,
        name="bench",
        kind="cubic",
        **{"base_url": "http://127.0.0.1:9", "interval_s": 3600, **fields},
    )
    for some in batched(macs(count), 500):  # or the memory of all of them would be taken for the poller's
        rows = Device.objects.bulk_create(
            [Device(platform=platform, name=f"Player {mac}", mac=mac) for mac in some]
        )
        ExporterTarget.objects.bulk_create(
            [ExporterTarget(exporter=exporter, device=row, external_id=row.mac) for row in rows]
        )
    return exporter


def store(exporter: Any, count: int, *, offline: int = 0) -> None:
    """A round in which everybody is online but the first ``offline``."""
    from exporters.ports import Observation, RoundResult, Status
    from exporters.services import store_round
    from remosa.lib.clock import utcnow

    seen = tuple(
        Observation(
            mac, Status.OFFLINE if number < offline else Status.ONLINE,
            {"name": f"Player {number}", "ip": f"10.0.{number >> 8 & 255}.{number & 255}", "outip": "198.51.100.7"},
        )
        for number, mac in enumerate(macs(count))
    )  # fmt: skip
    now = utcnow()
    result = RoundResult(seen, (), Counter(), True, "", True, 0.1)
    store_round(exporter_id=exporter.pk, result=result, started_at=now, finished_at=now)


def scrape_token(exporter: Any) -> str:
    from platforms import tokens

    return tokens.issue(name="bench", scopes=["scrape"], by=None, platform=exporter.platform)[1]


# --- servers ---------------------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], url: str, **environment: str) -> Iterator[None]:
    """A server until the block ends; it is there when ``url`` answers anything."""
    child = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sys.stderr, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise NotRun(f"{command[0]} did not start")
        yield
    finally:
        child.terminate()
        child.wait(20)


@contextmanager
def web_server() -> Iterator[str]:
    """The product on granian, as `make run` and the image start it; its address."""

    from tests.servers.ports import free_port

    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--blocking-threads", "2", "--no-ws", "--log-level", "warning", "remosa.wsgi:application",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    without_limit = {"RATES": "scrape=100000000/min"}  # wrk is no Prometheus
    with running(command, f"{url}/healthz", **without_limit):
        yield url


def requests_per_s(url: str, *, connections: int = 8, seconds: int = 3, **headers: str) -> float:
    """What wrk reaches; NotRun when something else than 200 came back."""
    command = [need("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", url]
    for name, value in headers.items():
        command += ["-H", f"{name.replace('_', '-')}: {value}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise NotRun(f"{url} answered with an error")
    return float(next(line for line in said.splitlines() if line.startswith("Requests/sec:")).split()[1])


class _Cms(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one answer for everything, after a while."""

    delay_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            _request, _end, self.waiting = self.waiting.partition(b"\r\n\r\n")
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
            )
            self.transport.write(head.encode() + ANSWER)


def serve_cms(port: int, delay_s: float) -> None:
    import uvloop

    async def whole() -> None:
        _Cms.delay_s = delay_s
        server = await asyncio.get_running_loop().create_server(_Cms, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(whole())


@contextmanager
def cms(delay_s: float) -> Iterator[str]:
    """A Cubic that answers after ``delay_s``, in a process of its own."""
    from tests.servers.ports import free_port

    port = free_port()
    code = f"from bench._fleet import serve_cms; serve_cms({port}, {delay_s})"
    with running([sys.executable, "-c", code], f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}"


# --- polling ---------------------------------------------------------------------------------------------


def poll_once(base_url: str, ids: list[str], *, concurrency: int = 64) -> Any:
    """One round of the Cubic poller, on the loop that the product uses."""
    from exporters.management.commands.poll import fast_loop
    from exporters.pollers.cubic import CubicPoller
    from exporters.ports import PollSettings, Target
    from remosa.lib.http import Door

    async def whole() -> Any:
        async with Door(limit=0) as door:
            settings = PollSettings(base_url, concurrency=concurrency, timeout_s=30, round_timeout_s=600)
            return await CubicPoller().poll(door, settings, [Target(one) for one in ids])

    with asyncio.Runner(loop_factory=fast_loop) as runner:
        return runner.run(whole())


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
