"""What a channel to people must do. Implementations are named in ``settings.NOTIFICATION_CHANNELS``."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from notifications.models import Notice

ALL_SEVERITIES = frozenset(Notice.Severity.values)


@dataclass(frozen=True)
class Text:
    """A notice in one person's language. ``line`` says it in one line, without link or advice."""

    subject: str
    body: str
    line: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a text comes from: the platform that it concerns (and that pays), and its one delivery."""

    platform_id: int
    delivery_id: int
    created_at: datetime


class Channel(Protocol):
    severities: ClassVar[Collection[str]]  # what is worth this channel
    folds: ClassVar[bool]  # whether many notices become one message

    def reaches(self, user: Any) -> bool:
        """Whether this person has an address here, and wants it used."""

    def send(self, user: Any, text: Text, *, origin: Origin) -> None:
        """Hand the notice over; the same ``origin`` again must not reach the person twice where that costs.

        Raises ChannelError, nothing else.
        """
