"""TCP ports of the loopback for a one-machine start: is it free, and which one did we keep."""

import socket
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, to ignore TIME_WAIT
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def any_free(*, avoid: int = 0) -> int:
    """A free port of the system's choice, other than ``avoid``."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port != avoid:
            return port


def kept_port(path: Path, *, preferred: int, avoid: int = 0) -> int:
    """The port noted in ``path`` while it is free, else ``preferred``, else any; the choice is noted.

    Addresses stored in the database stay valid from start to start this way.
    """
    candidates = [preferred]
    with suppress(FileNotFoundError, ValueError):
        candidates.insert(0, int(path.read_text(encoding="ascii")))
    usable = [port for port in candidates if 0 < port < 65536 and port != avoid and is_free(port)]
    port = usable[0] if usable else any_free(avoid=avoid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{port}\n", encoding="ascii")
    return port
