"""How log lines look: UTC, one line each."""

import logging
import time


class UtcFormatter(logging.Formatter):
    """ISO-like UTC times; line breaks inside a message are escaped, so that nobody forges a line."""

    converter = staticmethod(time.gmtime)  # type: ignore[assignment]  # the stub knows only localtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.exc_info or record.stack_info:
            return line
        return line.replace("\r", "\\r").replace("\n", "\\n")
