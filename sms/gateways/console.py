"""Prints each SMS instead of sending it: for development, for demonstrations, and as the shortest example."""

import sys

from remosa.lib.redact import mask_msisdn
from sms.gateways.base import Backend
from sms.ports import Accepted
from sms.segments import count


class ConsoleGateway(Backend):
    """Accepts everything and writes one line per SMS to standard output, the number masked."""

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port."""
        parts = count(body).parts
        print(f"SMS to {mask_msisdn(to)} ({parts} part): {body!r}", file=sys.stdout, flush=True)
        return Accepted(ref=f"console-{client_ref}", parts=parts)
