"""Debian's Alertmanager."""

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.servers import process
from tests.servers.availability import find_program
from tests.servers.ports import free_port
from tests.servers.prometheus import DIRECTLY, START_TRIES


class Alertmanager:
    """One running server. ``url`` is its base, without a slash at the end."""

    def __init__(self, *, directory: Path, port: int, child: process.Child) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self.child = child

    def post(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Tell it of alerts, as Prometheus does."""
        request = urllib.request.Request(  # noqa: S310  the loopback
            f"{self.url}/api/v2/alerts", data=json.dumps(list(alerts)).encode(),
            headers={"Content-Type": "application/json"}, method="POST",
        )  # fmt: skip
        with DIRECTLY.open(request, timeout=10):
            pass

    def is_ready(self) -> bool:
        """Whether it takes alerts; RuntimeError when it has ended."""
        if not self.child.is_running:
            raise RuntimeError(f"Alertmanager ended while starting:\n{self.child.output()}")
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


def start_alertmanager(config: str) -> Alertmanager:
    """Start a server with ``config`` (the text of alertmanager.yml) and wait until it is ready."""
    binary = find_program("prometheus-alertmanager", package="prometheus-alertmanager")
    directory = Path(tempfile.mkdtemp(prefix="alertmanager-"))
    (directory / "alertmanager.yml").write_text(config, encoding="utf-8")
    try:
        return _launch(binary, directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _launch(binary: Path, directory: Path) -> Alertmanager:
    for try_number in range(1, START_TRIES + 1):
        port = free_port()
        child = process.start(
            [
                binary,
                f"--config.file={directory / 'alertmanager.yml'}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            log=directory / "log",
            cwd=directory,
        )
        server = Alertmanager(directory=directory, port=port, child=child)
        try:
            process.wait_until(server.is_ready, deadline_s=60, what="Alertmanager")
        except BaseException as exc:
            child.stop()
            if try_number == START_TRIES or not isinstance(exc, RuntimeError):
                raise
        else:
            break
    return server
