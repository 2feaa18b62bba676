"""What the apps above know of a person who leaves, and what they make for a new client."""

from collections.abc import Mapping, Sequence
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


class PresetPart(Protocol):
    """Named in ``settings.PRESET_PARTS`` under the key that its rows have in a preset."""

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """ValueError for rows that this part could not make. Asks no database."""
        ...

    def brings(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """A sentence for each row, in the reader's language, before anything is made."""
        ...

    def apply(self, platform: Any, rows: Sequence[Mapping[str, Any]], *, by: Any) -> int:
        """Make the rows on the new platform, each with its line in the audit; how many were made."""
        ...
