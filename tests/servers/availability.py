"""What happens where a server of the tests is not installed: one rule for all of them.

On somebody's own machine the tests that need it are skipped and say what to install. Where
``CI=true`` they fail: a green run there means that everything ran.
"""

import glob
import os
import shutil
from pathlib import Path

import pytest


class ServerMissing(Exception):
    """A program that a test needs is not installed; the text says what to install."""


def find_program(name: str, *patterns: str, package: str) -> Path:
    """The path of ``name`` from PATH or the newest match of the glob ``patterns``; else ServerMissing."""
    candidates = [shutil.which(name), *sorted((m for p in patterns for m in glob.glob(p)), reverse=True)]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise ServerMissing(f"{name} is not installed. As root: apt-get install {package}")


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def skip_or_fail(missing: ServerMissing) -> None:
    """End the running test: failed in CI, skipped with the reason elsewhere."""
    if in_ci():
        pytest.fail(f"{missing} (CI=true does not allow to skip it)", pytrace=False)
    pytest.skip(str(missing))
