"""Free loopback ports."""

import socket


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    Another program may take it before the caller does; whoever starts a server on it checks that
    the server came up, and tries again with another port.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
