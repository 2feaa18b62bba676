"""Errors of ``automation``."""


class AutomationError(Exception):
    """Root of the errors of this app."""


class PrometheusUnavailable(AutomationError):
    """Prometheus could not be asked, or did not answer the question: nothing is known."""
