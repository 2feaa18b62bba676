"""Debian's Alertmanager."""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from tests.servers.availability import find_program
from tests.servers.web_server import DIRECTLY, WebServer


class Alertmanager(WebServer):
    """One running server."""

    name = "Alertmanager"

    def post(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Tell it of alerts, as Prometheus does."""
        request = urllib.request.Request(  # noqa: S310  the loopback
            f"{self.url}/api/v2/alerts", data=json.dumps(list(alerts)).encode(),
            headers={"Content-Type": "application/json"}, method="POST",
        )  # fmt: skip
        with DIRECTLY.open(request, timeout=10):
            pass


def start_alertmanager(config: str) -> Alertmanager:
    """Start a server with ``config`` (the text of alertmanager.yml) and wait until it is ready."""
    binary = find_program("prometheus-alertmanager", package="prometheus-alertmanager")
    return Alertmanager.start(
        {"alertmanager.yml": config},
        lambda directory, port: [
            binary,
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
    )
