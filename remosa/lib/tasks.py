"""Wake-ups through django-q2. A task carries ids and is only ever a hint: rows are the truth.

Whatever a task would do, a scheduled sweep does as well, later. So a wake-up may be lost, late or
doubled without harm, and a broker that is down must not undo or fail the work that is committed.
"""

import logging
from uuid import UUID

from django.db import transaction
from django_q.tasks import async_task

logger = logging.getLogger(__name__)


def later(func_path: str, *ids: int | str | UUID) -> None:
    """Ask the queue to run ``func_path(*ids)`` once the current transaction, if any, is committed."""
    transaction.on_commit(lambda: _wake(func_path, *ids))


def _wake(func_path: str, *ids: int | str | UUID) -> None:
    try:
        async_task(func_path, *ids)
    except Exception:  # whatever a broker raises; the sweep will find the row
        logger.exception("wake-up lost task=%s ids=%s", func_path, ids)
