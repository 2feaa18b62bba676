"""A supervised run for the tests, as a program: ``supervised.py <directory> <patience JSON> <name=kind>…``.

Kinds: ``stubborn`` ignores SIGTERM and has a stubborn child in the same group and a stubborn
grandchild in a session of its own; ``polite`` ends on SIGTERM; ``brief`` fails at once; ``orphan``
fails once, leaving a child behind, and stays up the second time. Each process writes its pid into
``<directory>/pids``. The run is ready when every kind that stays up has written its own.
"""

import json
import sys
from pathlib import Path

from remosa.supervisor import Patience, Program, Supervisor

HERE, PATIENCE, KINDS = Path(sys.argv[1]), json.loads(sys.argv[2]), [word.split("=") for word in sys.argv[3:]]

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note(kind): open(f"{sys.argv[1]}/pids", "a").write(f"{kind} {os.getpid()}\\n")
if os.fork() == 0:
    note("child")
    while True: time.sleep(60)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note("grandchild")
        while True: time.sleep(60)
    os._exit(0)
note("stubborn")
while True: time.sleep(60)
"""
POLITE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open(f"{sys.argv[1]}/pids", "a").write("goodbye 0\\n"), os._exit(0)))
open(f"{sys.argv[1]}/pids", "a").write(f"polite {os.getpid()}\\n")
while True: time.sleep(60)
"""
BRIEF = "import sys; print('the disk is on fire'); sys.exit(3)"
ORPHAN = """
import os, sys, time
again = os.path.exists(f"{sys.argv[1]}/once")
open(f"{sys.argv[1]}/once", "w").close()
if not again:
    if os.fork() == 0:
        os.setsid()
        open(f"{sys.argv[1]}/pids", "a").write(f"orphan {os.getpid()}\\n")
        open(f"{sys.argv[1]}/ready", "w").close()
        while True: time.sleep(60)
    while not os.path.exists(f"{sys.argv[1]}/ready"): time.sleep(0.01)
    os._exit(1)
open(f"{sys.argv[1]}/pids", "a").write(f"second {os.getpid()}\\n")
while True: time.sleep(60)
"""
CODE = {"stubborn": STUBBORN, "polite": POLITE, "brief": BRIEF, "orphan": ORPHAN}
EXPECTED = {"stubborn": {"stubborn", "child", "grandchild"}, "polite": {"polite"}, "orphan": {"second"}}


def is_ready() -> bool:
    path = HERE / "pids"
    noted = {line.split()[0] for line in path.read_text().splitlines()} if path.exists() else set()
    return all(EXPECTED.get(kind, {"never"}) <= noted for _, kind in KINDS)


if __name__ == "__main__":
    supervisor = Supervisor(
        [Program(name, [sys.executable, "-c", CODE[kind], str(HERE)]) for name, kind in KINDS],
        log_dir=HERE / "log",
        mark=HERE.name,
        patience=Patience(**PATIENCE),
    )
    sys.exit(supervisor.run(is_ready=is_ready, on_ready=lambda: print("READY", flush=True)))
