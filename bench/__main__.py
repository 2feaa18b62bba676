"""``python -m bench``: run the benchmarks, one process each, print a line each, keep the history.

``python -m bench S2 P1`` or ``ONLY=S2,P1`` chooses. The line is ``U1 0.90 goal <=1.5 met``, ``... missed`` or
``U1 not run: reason``; a row with the commit and the figures behind the ratio is appended to ``bench/history.jsonl``.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import run_in_child

HERE = Path(__file__).parent
HISTORY = HERE / "history.jsonl"
NO_BENCHMARKS = {"__init__", "__main__", "harness"}
LONGEST_S = 600


def names() -> list[str]:
    """Ids of all benchmarks, in upper case."""
    return sorted(
        p.stem.upper() for p in HERE.glob("*.py") if p.stem not in NO_BENCHMARKS and p.stem[0] != "_"
    )


def run_one(name: str) -> dict[str, Any]:
    """The row of one benchmark; whatever went wrong in its process is a reason, not the end of the others."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=run_in_child, args=(name, sender))
    child.start()
    sender.close()
    try:
        if not receiver.poll(LONGEST_S):
            child.terminate()
            return {"not_run": f"not done within {LONGEST_S} s"}
        row: dict[str, Any] = receiver.recv()
    except EOFError:
        row = {"not_run": "it ended with an error, see above"}
    finally:
        child.join(30)
    return row


def line_of(name: str, row: dict[str, Any]) -> str:
    if "not_run" in row:
        return f"{name} not run: {row['not_run']}"
    verdict = "met" if row["met"] else "missed"
    broken = f" ({row['broken']})" if row["broken"] else ""
    return f"{name} {row['ratio']:.2f} goal {row['goal']} {verdict}{broken}"


def commit() -> str:
    """The commit that is measured, with ``+`` where files were changed since."""

    def git(*arguments: str) -> str:
        answer = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/bench/history.jsonl")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Run the benchmarks, all or those named."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    chosen = parser.parse_args().names or os.environ.get("ONLY", "").split(",")
    wanted = [name.strip().upper() for name in chosen if name.strip()]
    if unknown := set(wanted) - set(names()):
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(names())}.", file=sys.stderr)
        return 2
    missed = 0
    for name in wanted or names():
        row = run_one(name)
        print(line_of(name, row), flush=True)
        for key, value in row.get("details", {}).items():
            print(
                f"    {key}: {value:.4g}" if isinstance(value, float) else f"    {key}: {value}", flush=True
            )
        missed += not row.get("met", False)
        kept = {
            "id": name, "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), **row,
            "python": platform.python_version(), "cores": os.cpu_count(),
        }  # fmt: skip
        with HISTORY.open("a", encoding="utf-8") as history:
            history.write(json.dumps(kept, ensure_ascii=False) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
