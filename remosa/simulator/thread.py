"""A simulator inside the calling process, on a thread of its own: for tests and the demo shell."""

import asyncio
import threading
from typing import Any, Self

from remosa.simulator.commands import catalogue_reader
from remosa.simulator.servers import SimulatorServer
from remosa.simulator.world import QUIET, World

START_TIMEOUT_S = 10.0


class SimulatorThread:
    """``with SimulatorThread(minute_s=0.05) as simulator:`` gives URLs and the living ``world``.

    Without a ``world`` one is made from the keyword arguments of ``World``; its players do not
    hang by themselves unless ``habits`` says so.
    """

    def __init__(self, world: World | None = None, *, port: int = 0, **world_options: Any) -> None:
        if world is None:
            world_options.setdefault("habits", QUIET)
            world = World(understand=catalogue_reader(), **world_options)
        self.world = world
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)
        self._server: SimulatorServer | None = None

    def start(self) -> Self:
        """Listen, and return when the port answers. Raises OSError when the port is taken."""
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise TimeoutError("The simulator did not start.")
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def server(self) -> SimulatorServer:
        """The running server, for its URLs and credentials."""
        if self._server is None:
            raise RuntimeError("The simulator is not running.")
        return self._server

    @property
    def base_url(self) -> str:
        return self.server.base_url

    @property
    def cubic_url(self) -> str:
        return self.server.cubic_url

    @property
    def addreality_url(self) -> str:
        return self.server.addreality_url

    @property
    def sms_url(self) -> str:
        return self.server.sms_url

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = SimulatorServer(self.world, port=self._port)
        try:
            self._loop.run_until_complete(server.start())
        except OSError as exc:
            self._failure = exc
        else:
            self._server = server
        self._started.set()
        try:
            if self._failure is None:
                self._loop.run_forever()
                self._loop.run_until_complete(server.stop())
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
