"""What must not be read in logs, audit rows or error pages: secrets and phone numbers.

One function for text, one for mappings, one filter for loggers. It is the second line of defence:
the first is not to log such things. So it errs towards hiding too much.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

MASK = "********"

NAMES = r"passw(?:or)?d|passphrase|pwd|secret|token|(?:api|access|private|signing|encryption)[-_]?key"
SECRET_KEY = re.compile(
    rf"{NAMES}|authorization|cookie|credential|signature|^(?:keys?|pin|otp)$", re.IGNORECASE
)
PHONE_KEY = re.compile(r"msisdn|phone", re.IGNORECASE)

# Every repetition is bounded, or runs to the end of what it consumes: no input makes these slow.
VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|["'][^"'\r\n]*|[^\s&,;"'<>})\]]+)"""
HEADER = re.compile(
    r"""(?P<name>authorization|cookie|x-api-key)(?P<sep>["']?\s{0,4}[:=]\s{0,4}["']?)[^"'\r\n]+""",
    re.IGNORECASE,
)
SCHEME = re.compile(
    r"\b(?P<name>Bearer|Basic|Token|JWT)\s{1,4}(?=[a-z~+/]*[\d_.=-])[\w.~+/=-]{8,}", re.IGNORECASE
)
PAIR = re.compile(
    rf"""(?P<name>(?:{NAMES})s?|\bkey)(?P<sep>["']?\s{{0,4}}[=:]\s{{0,4}}){VALUE}""", re.IGNORECASE
)
OUR_TOKEN = re.compile(r"rms_[A-Za-z0-9_-]{6,}")
USERINFO = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,15}://)[^\s/@:]{0,200}:[^\s/@]{0,200}@", re.IGNORECASE
)
PHONE = re.compile(
    r"""(?:\+|%2B)[1-9]\d{7,14}(?!\d)                       # E.164, also in a URL
      | (?:\+|%2B)[1-9](?:[ ()-]{0,2}\d){7,14}             # and as people group it
      | (?<![\d.])[78][ -]?\(?\d{3}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2}(?!\d|\.\d)  # the Russian plan's eleven
    """,
    re.VERBOSE,
)


def redact(text: object) -> str:
    """``text`` with secrets masked and of every phone number only the ends left. Idempotent."""
    shown = USERINFO.sub(rf"\g<scheme>{MASK}@", str(text))
    shown = HEADER.sub(rf"\g<name>\g<sep>{MASK}", shown)
    shown = SCHEME.sub(rf"\g<name> {MASK}", shown)
    shown = PAIR.sub(rf"\g<name>\g<sep>{MASK}", shown)
    shown = OUR_TOKEN.sub(f"rms_{MASK}", shown)
    return PHONE.sub(lambda found: mask_msisdn(found[0]), shown)


def mask_msisdn(msisdn: str) -> str:
    """``+79001234567`` as ``+7******4567``; a text too short for that is hidden altogether."""
    digits = re.sub(r"\D", "", msisdn.replace("%2B", "+"))
    if len(digits) < 8:
        return "*" * len(digits)
    plus = "+" if msisdn.startswith(("+", "%2B")) else ""
    return f"{plus}{digits[0]}{'*' * (len(digits) - 5)}{digits[-4:]}"


def mask_mapping(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """A copy in which the values of telling keys are hidden, to any depth, and all other text is redacted."""
    return {key: _masked(str(key), value) for key, value in mapping.items()}


def _masked(key: str, value: Any) -> Any:
    if value in (None, "", b"") or isinstance(value, bool):
        return value
    if SECRET_KEY.search(key):
        return MASK
    if PHONE_KEY.search(key) and isinstance(value, str | int):
        return mask_msisdn(str(value))
    if isinstance(value, Mapping):
        return mask_mapping(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(key, item) for item in value]
    if isinstance(value, bytes):
        return redact(value.decode(errors="replace"))
    return redact(value) if isinstance(value, str) else value


class RedactingFilter(logging.Filter):
    """Redacts the finished message and the traceback of every record that passes, and never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit: the handler would print them as they are
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
