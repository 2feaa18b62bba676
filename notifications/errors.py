"""Errors of ``notifications``."""


class ChannelError(Exception):
    """The notice did not reach the channel; ``permanent`` means that another try would not help."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent
