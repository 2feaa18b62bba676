"""A real web process of the product on a free port, and keep-alive clients that post to it."""

import http.client
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import process
from tests.servers.ports import free_port

ROOT = Path(__file__).parent.parent


@contextmanager
def child(argv: Sequence[str | Path], log: Path, **environment: str) -> Iterator[process.Child]:
    """A program of the project, ended with the block."""
    started = process.start(list(argv), log=log, cwd=ROOT, env={**os.environ, **environment})
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def web(log: Path, **environment: str) -> Iterator[str]:
    """The address of one web process with one worker."""
    port = free_port()
    argv = [
        Path(sys.executable).with_name("granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--blocking-threads", "4", "--no-ws", "remosa.wsgi:application",
    ]  # fmt: skip
    with child(argv, log, **environment) as server:
        process.wait_until(lambda: _answers(port), deadline_s=60, what=f"the web process: {server.output()}")
        yield f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def post_all(url: str, bodies: Sequence[bytes], headers: Mapping[str, str], *, clients: int = 4) -> float:
    """Seconds to post every body over ``clients`` kept connections; RuntimeError for an answer that is not 2xx."""
    target, wrong = urlsplit(url), []

    def run(number: int) -> None:
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=30)
        for body in bodies[number::clients]:
            connection.request("POST", target.path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read()
            if not 200 <= answer.status < 300:
                wrong.append((answer.status, text[:200]))
                return
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{url}: {wrong[0]}")
    return time.perf_counter() - started
