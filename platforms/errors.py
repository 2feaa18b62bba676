"""Errors of ``platforms``."""


class PlatformsError(Exception):
    """Root of the errors of this app."""


class QuotaExceeded(PlatformsError):
    """The platform's limit of this kind is reached.

    ``kind`` is the limit's name, ``wanted`` and ``left`` are units of it.
    """

    def __init__(self, *, kind: str, wanted: int, left: int) -> None:
        super().__init__(f"limit of {kind} reached: {wanted} wanted, {left} left")
        self.kind, self.wanted, self.left = kind, wanted, left


class BadPreset(PlatformsError):
    """A preset of the repository says what no preset may say."""


class RoleTooHigh(PlatformsError):
    """Nobody grants or takes a role above their own."""


class LastAdmin(PlatformsError):
    """The last admin of a platform cannot be removed."""


class InvitationClosed(PlatformsError):
    """The invitation was used, withdrawn or renewed, its time is over, or whoever invited may not any more."""
