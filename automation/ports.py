"""What an action other than a command must do. Implementations are named in ``settings.AUTOMATION_ACTIONS``.

A step of a case's ladder asks for one through ``automation.services.actions.request_action``, inside the
transaction that decided it; it is carried out after the commit, never while a row is locked. How it ended
stands in the ``ActionCall``, and the case is advanced again.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Order:
    """One deed for one case. ``key`` is the deed's own: the same key twice is the same deed."""

    key: str
    platform_id: int
    case_id: uuid.UUID
    config: Mapping[str, Any]  # of the ladder's step, e.g. {"webhook": 3}
    facts: Mapping[str, Any]  # what is told of the case
    created_at: datetime


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    ``done``      carried out
    ``not_done``  nothing happened, and another try is safe
    ``refused``   it will not be done, however often it is tried
    ``unknown``   it may have been done: never tried again by itself
    """

    state: Literal["done", "not_done", "refused", "unknown"]
    reason: str = ""


class Action(Protocol):
    def execute(self, order: Order, *, deadline_s: float) -> Outcome:
        """Try once, within so many seconds. Raises nothing for what a receiver may answer."""
