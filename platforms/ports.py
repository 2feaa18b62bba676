"""What the apps above know of a person who leaves: listed before the dismissal, passed on with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Belonging:
    """One kind of thing that a person leaves on a platform.

    ``what`` says what becomes of it, in the reader's language; ``items`` name some, ``more`` counts the rest.
    ``is_warning``: somebody must still do something about it.
    """

    what: str
    items: Sequence[str]
    more: int = 0
    is_warning: bool = False


class Belongings(Protocol):
    """Named in ``settings.BELONGINGS``. Raises nothing."""

    def left_by(self, user: Any, platform: Any) -> list[Belonging]:
        """What ``user`` would leave on ``platform``."""
        ...

    def pass_on(self, user: Any, platform: Any, *, successor: Any, by: Any, now: datetime) -> dict[str, int]:
        """Give it to ``successor`` (None: to nobody); what was done, as counts for the audit."""
        ...
