"""A GSM modem on a serial line or behind a terminal server.

The line has one holder, the process ``manage.py modem``: it builds this backend with the open ``line``
and a ``journal`` of the parts that it hands over. Built without them, as everywhere else, it declares
its settings and refuses to send.
"""

import os
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms import at, pdu
from sms.errors import GatewayError
from sms.gateways.base import Backend
from sms.ports import Accepted, Account, Capabilities, ConfigField

NETWORK_PORTS = ("socket", "rfc2217")
BAUDS = ("115200", "57600", "38400", "19200", "9600", "460800", "921600")
BALANCE_CODE = re.compile(r"[*#][*#0-9]{1,20}#")
LEAST_S = 1.0  # with less time left a further part is not begun


class Line(Protocol):
    """The open line of a modem."""

    def submit(self, pdu: str, length: int, *, timeout_s: float) -> at.Outcome:
        """Send one PDU, once; never raises."""


class Journal(Protocol):
    """The memory of what was handed to the network, so that its reports find their message."""

    def begin(self, *, client_ref: str, to: str, part: int, parts: int) -> int:
        """Write down that a part is about to leave; the number of the entry. May raise DatabaseError."""

    def accepted(self, entry: int, *, mr: int) -> None:
        """The network took it over under ``mr``. Never raises."""

    def not_sent(self, entry: int) -> None:
        """It did not leave after all. Never raises."""


class SerialModemGateway(Backend):
    """Cuts a text into PDUs and hands them over one after the other."""

    fields: ClassVar[tuple[ConfigField, ...]] = (
        ConfigField(
            "port",
            gettext_lazy("port"),
            required=True,
            help=gettext_lazy("/dev/ttyUSB0, /dev/serial/by-id/…, socket://host:port or rfc2217://host:port"),
        ),
        ConfigField("baud", gettext_lazy("speed, baud"), default="115200", choices=BAUDS),
        ConfigField(
            "balance_code",
            gettext_lazy("code that asks for the balance"),
            help=gettext_lazy("For example *100#. Empty: the balance is not asked for."),
        ),
        ConfigField(
            "not_sent_codes",
            gettext_lazy("error codes after which nothing was sent"),
            kind="list",
            default=[],
            help=gettext_lazy("+CMS ERROR codes that prove it with this make of modem, for example [331]."),
        ),
    )
    secret_label = gettext_lazy("PIN of the SIM card")
    capabilities: ClassVar[Capabilities] = Capabilities(own_process=True)

    def __init__(self, account: Account, *, line: Line | None = None, journal: Journal | None = None) -> None:
        super().__init__(account)
        self._line, self._journal = line, journal

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> dict[str, str]:
        """As the port says; also ports that nobody may name, and codes that are no codes."""
        wrong = super().check(config)
        port, code, codes = (config.get(name) for name in ("port", "balance_code", "not_sent_codes"))
        if "port" not in wrong and (sentence := check_port(str(port))):
            wrong["port"] = sentence
        if "balance_code" not in wrong and code and not BALANCE_CODE.fullmatch(str(code)):
            wrong["balance_code"] = _("Write a code such as *100#.")
        if "not_sent_codes" not in wrong and not all(
            isinstance(entry, int) and 0 <= entry <= 999 for entry in codes or []
        ):
            wrong["not_sent_codes"] = _("Write a list of numbers: [331].")
        return wrong

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port. With more than one part, a failure after the first is ``unknown``: something left."""
        if self._line is None or self._journal is None:
            raise GatewayError("wrong_process", outcome="not_sent", detail="manage.py modem holds the line")
        sending = _Sending(self._line, self._journal, client_ref, to, time.monotonic() + deadline_s)
        try:
            parts = pdu.encode_text(
                to,
                body,
                ref=zlib.crc32(client_ref.encode()),
                wants_report=True,
                validity_s=self.account.validity_s,
            )
        except pdu.PduError as exc:
            raise GatewayError(exc.reason, outcome="rejected") from None
        refs = [
            str(sending.hand_over(part, number, len(parts))) for number, part in enumerate(parts, start=1)
        ]
        return Accepted(ref=",".join(refs)[:100], parts=len(parts))


@dataclass(frozen=True)
class _Sending:
    """One message on its way, until the monotonic time ``until``."""

    line: Line
    journal: Journal
    client_ref: str
    to: str
    until: float

    def hand_over(self, part: pdu.Encoded, number: int, parts: int) -> int:
        """Send one part and return the network's number of it; GatewayError for the whole message."""
        left_s = self.until - time.monotonic()
        if left_s < LEAST_S:
            raise _error(at.Outcome("not_sent", "deadline"), number, parts)
        try:
            entry = self.journal.begin(client_ref=self.client_ref, to=self.to, part=number, parts=parts)
        except DatabaseError as exc:
            reason = f"journal_{type(exc).__name__}"
            raise _error(at.Outcome("not_sent", reason), number, parts) from None
        outcome = self.line.submit(part.hex, part.length, timeout_s=left_s)
        if outcome.kind == "accepted" and outcome.mr is not None:
            self.journal.accepted(entry, mr=outcome.mr)
            return outcome.mr
        if outcome.kind in ("not_sent", "rejected"):
            self.journal.not_sent(entry)
        raise _error(outcome, number, parts)


def _error(outcome: at.Outcome, number: int, parts: int) -> GatewayError:
    """What the end of one part means for the whole message."""
    kind = outcome.kind if outcome.kind in ("not_sent", "rejected") else "unknown"
    if number == 1:
        return GatewayError(outcome.reason, outcome=kind, detail=outcome.words, breaks=outcome.breaks)
    reason = f"part_{number}_of_{parts}_{outcome.reason}"
    return GatewayError(reason, outcome="unknown", detail=outcome.words)


def check_port(port: str) -> str:
    """What is wrong with the name of a port, or ``""``. Only what the operator allows may be opened."""
    if "://" in port:
        try:
            parts = urlsplit(port)
            is_complete = parts.scheme in NETWORK_PORTS and bool(parts.hostname) and bool(parts.port)
        except ValueError:
            is_complete = False
        if not is_complete or parts.path.strip("/") or parts.query or parts.username:
            return _("Write socket://host:port or rfc2217://host:port.")
        return ""
    if port != os.path.normpath(port) or not any(
        fnmatchcase(port, pattern) for pattern in settings.MODEM_PORTS
    ):
        return _("Such a port may not be opened. Allowed (MODEM_PORTS): %(known)s.") % {
            "known": ", ".join(settings.MODEM_PORTS)
        }
    return ""
