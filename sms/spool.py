"""What a destructive read has returned, kept on disk until every SMS of it is in the database.

One file per read, written and synced before anything is made of it. A file that is still there was
not finished: it is taken up again. What cannot be read at all is put aside as ``.bad``, for a person.
"""

import os
import uuid
from pathlib import Path

from django.conf import settings


def folder() -> Path:
    """Where the spool lies: ``SMS_SPOOL_DIR``."""
    return Path(settings.SMS_SPOOL_DIR)


def keep(gateway_id: int, raw: bytes) -> Path:
    """Write one read and return its file; it is on the disk when this returns."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    final = place / f"{gateway_id}-{uuid.uuid4().hex}.inbox"
    handle = os.open(final.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as sink:
        sink.write(raw)
        sink.flush()
        os.fsync(sink.fileno())
    final.with_suffix(".tmp").rename(final)
    _sync(place)
    return final


def unfinished(gateway_id: int) -> list[Path]:
    """The reads of a gateway that were not finished, oldest first."""
    place = folder()
    if not place.is_dir():
        return []
    return sorted(place.glob(f"{gateway_id}-*.inbox"), key=lambda path: path.stat().st_mtime)


def drop(path: Path) -> None:
    """Everything of this read is in the database."""
    path.unlink(missing_ok=True)


def put_aside(path: Path) -> None:
    """Nobody can read this; keep it for a person."""
    path.rename(path.with_suffix(".bad"))


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
