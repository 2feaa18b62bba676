"""Kannel: sendsms of its smsbox, delivery reports by dlr-url, incoming SMS by a get-url.

    GET {base}/cgi-bin/sendsms?username&password&from&to&text&charset=UTF-8&coding&dlr-mask&dlr-url
        202 ``0: Accepted for delivery`` or ``3: Queued for later delivery``; a refusal says why in words
    GET dlr-url                 with our id and signature in it; Kannel fills in %d and %T
    GET get-url                 what the administrator of Kannel wrote down: see ``parse_inbound``

Its contract wants the password, the number and the text in the query; our logs never hold a query.
A report carries no number: the signature over our id is what it is believed by, and Kannel returns the
whole address unchanged. With bearerbox stopped smsbox does not answer: the outcome is unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms.errors import CallbackInvalid
from sms.gateways import codes
from sms.gateways.base import NOT_QUEUED, Backend, first, same, sign
from sms.gateways.exchange import exchange, refuse, words
from sms.gateways.remosa import with_plus
from sms.ports import (
    Accepted,
    Acknowledgement,
    Callback,
    Capabilities,
    ConfigField,
    DeliveryReport,
    InboundText,
)
from sms.segments import count

DLR_MASK = 1 | 2 | 16  # final ones only: delivered, not delivered, refused by the SMSC
MAX_FIELDS = 40


class KannelGateway(Backend):
    """Sends through smsbox; Kannel keeps what its SMSC cannot take now, for as long as it is valid."""

    fields = (
        ConfigField(
            "base_url",
            gettext_lazy("address of smsbox"),
            required=True,
            kind="url",
            help=gettext_lazy("For example http://kannel.example:13013"),
        ),
        ConfigField("username", gettext_lazy("user of sendsms"), required=True),
        ConfigField("smsc", gettext_lazy("SMSC"), help=gettext_lazy("Empty: Kannel chooses.")),
        NOT_QUEUED,
    )
    secret_label = gettext_lazy("password of sendsms")
    capabilities = Capabilities(inbound=True, reports=True)
    callback_methods = ("GET", "POST")
    acknowledgement = Acknowledgement("")  # any text would be sent to the phone as an answer
    token_in_address = True

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port."""
        segments = count(body)
        query = {
            "username": self.option("username"),
            "password": self.account.secret,
            "from": self.account.sender,
            "to": to,
            "text": body,
            "charset": "UTF-8",
            "coding": "0" if segments.encoding == "gsm7" else "2",
            "validity": str(max(1, self.account.validity_s // 60)),  # minutes
            "smsc": self.option("smsc") or "",
        }
        if self.account.hook_secret and self.account.hook_url:
            query |= {"dlr-mask": str(DLR_MASK), "dlr-url": self._report_address(client_ref)}
        response = exchange(
            "GET",
            f"{self.option('base_url').rstrip('/')}/cgi-bin/sendsms",
            params={name: value for name, value in query.items() if value},
            deadline_s=deadline_s,
        )
        hide = (self.account.secret, to, to.lstrip("+"), body)
        detail, told = words(response, hide=hide), f"{response.status} {response.text}"
        table = codes.load("kannel")
        known = next((code for code in table.send if told.startswith(code)), None)
        if known is None:
            refuse(response, accepted=(202,), not_queued=self.option("not_queued"), hide=hide)
        table.raise_unless_accepted(known or "202", detail=detail)
        return Accepted(ref="", parts=segments.parts)

    def callback_address(self, kind: str) -> str:
        """See the port; the get-url whole. The address of a report goes along with each message."""
        if kind == "report":
            return ""
        return f"{super().callback_address(kind)}&from=%p&to=%P&text=%b&charset=%C&coding=%c&ts=%T&id=%I"

    def _report_address(self, client_ref: str) -> str:
        fixed = urlencode({"id": client_ref, "sig": self._signature(client_ref)})
        return f"{self.account.hook_url}/report/?{fixed}&type=%d&at=%T"

    def _signature(self, client_ref: str) -> str:
        return sign(self.account.hook_secret, f"report:{client_ref}")

    def is_genuine(self, call: Callback) -> bool:
        """A report by the signature of its address; an SMS by the secret (``user:secret@``) or the token."""
        if call.kind == "report" and self.account.hook_secret:
            return same(first(call.query, "sig"), self._signature(first(call.query, "id")))
        return super().is_genuine(call)

    def unpack(self, call: Callback) -> Sequence[Mapping[str, Any]]:
        """The parameters; the text, which comes in the character set that ``charset`` names, decoded."""
        query = call.query if call.method == "GET" else call.body.decode("latin-1")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise CallbackInvalid(_("The parameters cannot be read.")) from None
        raw = {name: value.encode("latin-1", "replace") for name, value in pairs}
        charset = raw.pop("charset", b"").decode("ascii", "replace")
        text = raw.pop("text", None)
        told: dict[str, Any] = {name: value.decode("utf-8", "replace") for name, value in raw.items()}
        return [told | ({} if text is None else {"text": decoded(text, charset, told.get("coding", ""))})]

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port; the parameters are those of the dlr-url that we gave."""
        if not data.get("id") or not data.get("type"):
            raise CallbackInvalid(
                _("The report is incomplete."), fields={"type": _("Leave the dlr-url unchanged.")}
            )
        delivered = codes.load("kannel").delivered(data["type"])
        return DeliveryReport(
            ref="", client_ref=str(data["id"]), delivered=delivered, at=_time(data.get("at"))
        )

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """See the port. The get-url: ``…?from=%p&text=%b&charset=%C&coding=%c&ts=%T&id=%I``."""
        sender, text = str(data.get("from") or ""), data.get("text")
        if not sender or not isinstance(text, str):
            wrong = {"from": _("Add from=%p to the get-url."), "text": _("Add text=%b to the get-url.")}
            raise CallbackInvalid(_("The SMS is incomplete."), fields=wrong)
        return InboundText(str(data.get("id") or "")[:100], with_plus(sender), text, _time(data.get("ts")))


def decoded(raw: bytes, charset: str, coding: str) -> str:
    """The text of an SMS; Kannel hands UCS-2 over as UTF-16BE unless told otherwise."""
    name = charset or ("UTF-16BE" if coding == "2" else "UTF-8")
    try:
        return raw.decode(name)
    except (LookupError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")


def _time(value: Any) -> datetime | None:
    """``%T`` (seconds) or ``%t`` (``2026-11-20 17:52:17``, UTC)."""
    text = str(value or "")
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
