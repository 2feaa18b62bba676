"""Debian's Prometheus and promtool."""

import json
import subprocess
import urllib.parse
from collections.abc import Mapping

from tests.servers import process
from tests.servers.availability import find_program
from tests.servers.web_server import DIRECTLY, WebServer


class Prometheus(WebServer):
    """One running server."""

    name = "Prometheus"

    def get(self, path: str, **params: str) -> object:
        """The ``data`` of an answer of the HTTP API, ``path`` relative to ``/api/v1/``."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(params)}"
        with DIRECTLY.open(url, timeout=60) as answer:
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


def start_prometheus(config: Mapping) -> Prometheus:
    """Start a server with ``config`` (prometheus.yml as a mapping) and wait until it is ready."""
    binary = find_program("prometheus", package="prometheus")
    return Prometheus.start(
        {"prometheus.yml": json.dumps(config)},  # JSON is YAML
        lambda directory, port: [
            binary,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
    )


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
