"""The leash: ends all processes of a run when their supervisor is gone, however it went.

``python -m remosa.leash <mark> <grace seconds>`` reads ``+pid`` and ``-pid`` (a process that leads
a group) and at last ``done`` from its standard input. The end of input without ``done`` means that
the supervisor was killed: the leash then does the stopping in its place.
"""

import signal
import sys
from collections.abc import Iterable

from remosa.processes import stop_family


def hold(lines: Iterable[str], *, mark: str, grace_s: float) -> bool:
    """Follow ``lines`` to their end; True when the supervisor let go properly."""
    leaders: set[int] = set()
    for line in lines:
        word = line.strip()
        if word == "done":
            return True
        pid = int(word[1:])
        if word[0] == "+":
            leaders.add(pid)
        else:
            leaders.discard(pid)
    stop_family(leaders, mark=mark, grace_s=grace_s)
    return False


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it must outlive whoever it watches
    hold(sys.stdin, mark=sys.argv[1], grace_s=float(sys.argv[2]))


if __name__ == "__main__":
    main()
