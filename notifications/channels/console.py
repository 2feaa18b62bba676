"""The console: the row itself is the notice, so that nothing has to be sent."""

from typing import Any

from notifications.ports import ALL_SEVERITIES, Origin, Text


class ConsoleChannel:
    """Everybody who can sign in is reached."""

    severities = ALL_SEVERITIES
    folds = False

    def reaches(self, user: Any) -> bool:
        return bool(user.is_active)

    def send(self, user: Any, text: Text, *, origin: Origin) -> None:
        """The delivery row is shown in the console until it is read."""
