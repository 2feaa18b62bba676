"""A clock that stands still until a test moves it."""


class ManualClock:
    """Monotonic seconds; ``clock.now += 5`` is five seconds later."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
