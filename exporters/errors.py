"""What can go wrong between REMOSA and a CMS, as a closed list of words and one root of exceptions."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a device, or a whole round, could not be answered for. Stored, counted and exported as it is."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    EGRESS = "egress"
    RESET = "reset"
    HTTP_401 = "http_401"
    HTTP_403 = "http_403"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    REDIRECT = "redirect"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    NO_DATA = "no_data"
    UNKNOWN_STATUS = "unknown_status"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    BAD_ID = "bad_id"
    BAD_SETTINGS = "bad_settings"  # no question could be put: the exporter's own settings
    INTERNAL = "internal"  # a defect of ours


# These speak of one device; every other reason speaks of the CMS or of the way to it.
DEVICE_REASONS = frozenset({Reason.NO_DATA, Reason.UNKNOWN_STATUS, Reason.BAD_ID})
UPSTREAM_REASONS = frozenset(Reason) - DEVICE_REASONS


class ExportersError(Exception):
    """Root of everything that this app raises on purpose."""


class PollerError(ExportersError):
    """A poller could not do its work; the only family of errors that leaves a poller."""


class BadSettings(PollerError):
    """The exporter's own settings cannot be used; ``str()`` is a sentence that says what to change."""


class AskError(PollerError):
    """A question to the CMS has no usable answer: it was not put, not answered, or refused."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class ParseError(PollerError):
    """An answer came, and it is not what this kind of CMS says."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class KindIsFixed(ExportersError):
    """An exporter that has targets cannot become another kind: its ids would mean something else."""


class UnknownKind(ExportersError):
    """No exposition is described for this kind of exporter."""
