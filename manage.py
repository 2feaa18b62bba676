#!/usr/bin/env python
"""Entry point of every REMOSA command."""

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remosa.settings")
    base_dir = Path(__file__).resolve().parent
    (base_dir / "var").mkdir(exist_ok=True)  # the default database, logs and generated keys live there
    if sys.argv[1:2] == ["run"]:
        from remosa.localenv import ensure_local_env  # only `run` makes up its own secrets

        for name, value in ensure_local_env(base_dir).items():
            os.environ.setdefault(name, value)
    from django.core.management import execute_from_command_line  # after the environment is complete

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
