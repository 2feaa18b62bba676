"""Errors of ``automation``."""


class AutomationError(Exception):
    """Root of the errors of this app."""


class PrometheusUnavailable(AutomationError):
    """Prometheus could not be asked, or did not answer the question: nothing is known.

    ``of_query``: Prometheus is well, it is this query that it does not take.
    """

    def __init__(self, sentence: str, *, of_query: bool = False) -> None:
        super().__init__(sentence)
        self.of_query = of_query


class NoPrometheus(PrometheusUnavailable):
    """None is connected."""
