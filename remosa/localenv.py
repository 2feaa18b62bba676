"""The environment of a one-machine start: made-up secrets, kept in an ignored file.

Runs before Django loads, so it imports nothing of the product. What a person has set (as a
variable, as ``<NAME>_FILE`` or in ``.env``) is never replaced; what is missing is generated once
into ``var/secrets.env`` (readable by its owner only) and stays the same from then on: losing the
field keys would make every stored secret unreadable.
"""

import base64
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

SECRETS_FILE = Path("var") / "secrets.env"
ADMIN_PASSWORD = "REMOSA_ADMIN_PASSWORD"  # noqa: S105  a name, not a password
DEFAULT_PORT = 8000
LOOPBACK = "127.0.0.0/8,::1/128"
DEMO_MINUTE_S = 2.0  # the simulator's minute: what depends on a device's own minutes is as short
DEMO_TIMES = {
    "DEVICE_MINUTE_S": f"{DEMO_MINUTE_S:g}",
    "COMMAND_REPLY_WAIT_S": f"{5 * DEMO_MINUTE_S:g}",
    "OUTBOX_POLL_S": "0.5",
}

_LINE = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*)")


class PortError(ValueError):
    """``PORT`` is not a port number."""


def field_key() -> str:
    """A fresh key for encrypted fields: 32 random bytes, URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


GENERATED: Mapping[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "FIELD_ENCRYPTION_KEYS": field_key,
    "AUDIT_KEYS": lambda: secrets.token_urlsafe(48),
    ADMIN_PASSWORD: lambda: secrets.token_urlsafe(12),
}


def ensure_local_env(base_dir: Path) -> dict[str, str]:
    """Variables for ``run`` that nobody has set yet; generates and stores the secrets that are missing.

    The admin's password is not among them: read it with ``admin_password``.
    """
    stored = _ensure_secrets(base_dir)
    port = os.environ.get("PORT", "") or str(DEFAULT_PORT)
    wanted = {
        "SECRET_KEY": stored["SECRET_KEY"],
        "FIELD_ENCRYPTION_KEYS": stored["FIELD_ENCRYPTION_KEYS"],
        "AUDIT_KEYS": stored["AUDIT_KEYS"],
        "DATABASE_URL": f"sqlite:///{(base_dir / 'var' / 'remosa.sqlite3').resolve()}",
        "EGRESS_ALLOW": LOOPBACK,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DEBUG": "false",
        **(DEMO_TIMES if demo_is_on() else {}),
    }
    chosen = set(_read(base_dir / ".env"))
    return {
        name: value
        for name, value in wanted.items()
        if name not in os.environ and f"{name}_FILE" not in os.environ and not {name, f"{name}_FILE"} & chosen
    }


def admin_password(base_dir: Path) -> str:
    """The generated password of the first administrator; the same on every call."""
    return _ensure_secrets(base_dir)[ADMIN_PASSWORD]


def demo_is_on() -> bool:
    """``DEMO``, on unless it is set to 0, false, no or off."""
    return os.environ.get("DEMO", "1").strip().lower() not in ("0", "false", "no", "off")


def port_from_env() -> int:
    """The port of the console. Raises PortError with a sentence that says what to change."""
    text = os.environ.get("PORT", "") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise PortError(f"PORT={text!r} is not a port. Set it to a number from 1 to 65535.")
    return int(text)


def _ensure_secrets(base_dir: Path) -> dict[str, str]:
    path = base_dir / SECRETS_FILE
    stored = _read(path)
    missing = {name: make() for name, make in GENERATED.items() if not stored.get(name)}
    if missing:
        stored |= missing
        _write(path, stored)
    return stored


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    matches = (_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1]: match[2].strip("'\"") for match in matches if match}


def _write(path: Path, values: Mapping[str, str]) -> None:
    """Replace the file in one step, so that a kill half-way never leaves a part of the keys."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "# Made by `manage.py run`. Keep it: without these keys stored secrets cannot be read.\n"
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".secrets-")  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)
