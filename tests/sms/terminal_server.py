"""A terminal server (RFC 2217): a modem's terminal, with its line settings, behind a TCP port."""

import contextlib
import socket
import threading
from typing import Self

import serial
from serial.rfc2217 import PortManager


class Terminal(serial.Serial):
    """A pseudo terminal has none of the wires of a serial line."""

    cts = dsr = cd = True
    ri = False
    rts = dtr = True


class TerminalServer:
    """``with TerminalServer(path) as server``: the terminal is at ``server.url`` for one caller."""

    def __init__(self, path: str) -> None:
        self._line = Terminal(path, timeout=0.05)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._server.getsockname()[1]}"
        self._is_over = threading.Event()
        self._writing = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *details: object) -> None:
        self._is_over.set()
        self._server.close()
        for thread in self._threads:
            thread.join(5)
        self._line.close()

    def write(self, octets: bytes) -> None:
        """What the port manager has to say to the caller."""
        with self._writing:
            self._caller.sendall(octets)

    def _serve(self) -> None:
        self._caller, _address = self._server.accept()
        with self._caller:
            self._manager = PortManager(self._line, self)
            back = threading.Thread(target=self._bring_back, daemon=True)
            self._threads.append(back)
            back.start()
            with contextlib.suppress(ConnectionResetError):
                while octets := self._caller.recv(1024):
                    self._line.write(b"".join(self._manager.filter(octets)))
            self._is_over.set()
            back.join(5)

    def _bring_back(self) -> None:
        while not self._is_over.is_set():
            if octets := self._line.read(self._line.in_waiting or 1):
                self.write(b"".join(self._manager.escape(octets)))
