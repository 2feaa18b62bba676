"""Debian's Prometheus and promtool."""

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.servers import process
from tests.servers.availability import find_program
from tests.servers.ports import free_port

START_TRIES = 3  # another program may take the port before the server does
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy


class Prometheus:
    """One running server. ``url`` is its base, without a slash at the end."""

    def __init__(self, *, directory: Path, port: int, child: process.Child) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self.child = child

    def get(self, path: str, **params: str) -> object:
        """The ``data`` of an answer of the HTTP API, ``path`` relative to ``/api/v1/``."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(params)}"
        with DIRECTLY.open(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, promql: str) -> list[dict]:
        """The result of an instant query: ``[{"metric": {…}, "value": [time, "text"]}]``."""
        return self.get("query", query=promql)["result"]

    def targets(self) -> list[dict]:
        """The active targets with ``health``, ``labels``, ``lastError``."""
        return self.get("targets", state="active")["activeTargets"]

    def wait_for(self, promql: str, *, deadline_s: float) -> list[dict]:
        """Query until the result is not empty; TimeoutError shows the targets and the log."""
        try:
            return process.wait_until(
                lambda: self.query(promql), deadline_s=deadline_s, what=f"a result of {promql}"
            )
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}\ntargets: {self.targets()}\n{self.child.output()}") from exc

    def is_ready(self) -> bool:
        """Whether it answers queries; RuntimeError when it has ended."""
        if not self.child.is_running:
            raise RuntimeError(f"Prometheus ended while starting:\n{self.child.output()}")
        try:
            with DIRECTLY.open(f"{self.url}/-/ready", timeout=5):
                return True
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
            return False
        except OSError:
            return False

    def stop(self) -> None:
        self.child.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def start_prometheus(config: Mapping) -> Prometheus:
    """Start a server with ``config`` (prometheus.yml as a mapping) and wait until it is ready."""
    binary = find_program("prometheus", package="prometheus")
    directory = Path(tempfile.mkdtemp(prefix="prometheus-"))
    (directory / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    try:
        return _launch(binary, directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _launch(binary: Path, directory: Path) -> Prometheus:
    for try_number in range(1, START_TRIES + 1):
        port = free_port()
        child = process.start(
            [
                binary,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            log=directory / "log",
            cwd=directory,
        )
        server = Prometheus(directory=directory, port=port, child=child)
        try:
            process.wait_until(server.is_ready, deadline_s=60, what="Prometheus")
        except BaseException as exc:
            child.stop()
            if try_number == START_TRIES or not isinstance(exc, RuntimeError):
                raise
        else:
            break
    return server


class PromtoolComplaint(Exception):
    """promtool found something; the text is what it printed."""


def promtool(*args: str, stdin: str = "") -> str:
    """Run promtool and return what it printed; PromtoolComplaint when it objects.

    ``promtool("check", "metrics", stdin=exposition)`` also lists lint findings on stderr; any output
    there counts as an objection.
    """
    done = subprocess.run(
        [find_program("promtool", package="prometheus"), *args],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    if done.returncode or done.stderr.strip():
        raise PromtoolComplaint(f"{done.stdout}{done.stderr}".strip())
    return done.stdout
