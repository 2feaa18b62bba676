"""Large blocks go back to the system, so that a process that handles many rows again and again does not grow."""

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from remosa.lib.memory import LARGE, return_large_blocks

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "returns":
    return_large_blocks()
del_me = bytearray(24 << 20)
del del_me                      # glibc now keeps blocks of up to 24 MiB
before = resident_bytes()
blocks = [bytes(8 << 20) + b"x" for _ in range(6)]
last = bytearray(b"y" * (4 << 20))   # holds the heap below it in place
del blocks
print(resident_bytes() - before)
"""


def grown_by(mode: str) -> int:
    """Bytes that a process keeps after it has freed its large blocks."""
    child = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    return int(child.stdout)


def test_freed_blocks_do_not_stay_with_the_process():
    assert grown_by("returns") < 8 << 20 < grown_by("keeps")
