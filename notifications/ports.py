"""What a channel to people must do. Implementations are named in ``settings.NOTIFICATION_CHANNELS``."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Text:
    """A notice in one person's language."""

    subject: str
    body: str


class Channel(Protocol):
    def reaches(self, user: Any) -> bool:
        """Whether this person has an address here."""

    def send(self, user: Any, text: Text) -> None:
        """Hand the notice over. Raises ChannelError, nothing else."""
