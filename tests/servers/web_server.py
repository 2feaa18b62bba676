"""A server of Debian's that answers ``/-/ready``: how Prometheus and Alertmanager are started and ended."""

import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

from tests.servers import process
from tests.servers.ports import free_port

START_TRIES = 3  # another program may take the port before the server does
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy


class WebServer:
    """One running server. ``url`` is its base, without a slash at the end."""

    name: ClassVar[str]

    def __init__(self, *, directory: Path, port: int, child: process.Child) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self.child = child

    @classmethod
    def start(cls, files: dict[str, str], argv: Callable[[Path, int], list[str | Path]]) -> Self:
        """Run ``argv(directory, port)`` in a new directory with ``files`` and wait until it is ready."""
        directory = Path(tempfile.mkdtemp(prefix=f"{cls.name.lower()}-"))
        try:
            for name, text in files.items():
                (directory / name).write_text(text, encoding="utf-8")
            return cls._launch(directory, argv)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    @classmethod
    def _launch(cls, directory: Path, argv: Callable[[Path, int], list[str | Path]]) -> Self:
        for try_number in range(1, START_TRIES + 1):
            port = free_port()
            child = process.start(argv(directory, port), log=directory / "log", cwd=directory)
            server = cls(directory=directory, port=port, child=child)
            try:
                process.wait_until(server.is_ready, deadline_s=60, what=cls.name)
            except BaseException as exc:
                child.stop()
                if try_number == START_TRIES or not isinstance(exc, RuntimeError):
                    raise
            else:
                break
        return server

    def is_ready(self) -> bool:
        """Whether it answers; RuntimeError when it has ended."""
        if not self.child.is_running:
            raise RuntimeError(f"{self.name} ended while starting:\n{self.child.output()}")
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
