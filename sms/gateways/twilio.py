"""Twilio: Programmable Messaging.

    POST {base}/2010-04-01/Accounts/<sid>/Messages.json    Basic sid:token; To, From, Body, StatusCallback
        201 {"sid", "status"} or {"code", "message", "status"}
    GET  …/Messages/<sid>.json, GET …/Messages.json?To=…   status of one, incoming ones
    callbacks: a form; X-Twilio-Signature = base64 HMAC-SHA1(token, address + sorted names and values)

Statuses come late and in any order; only the final ones settle a message, and the first of these stays.
The signature covers the address as Twilio called it, which is the one we give: it starts with PUBLIC_URL.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.base import NOT_QUEUED, Backend, same
from sms.gateways.exchange import basic, exchange, read_json, ref_in, refuse, retry_after_s
from sms.ports import (
    Accepted,
    Acknowledgement,
    Callback,
    Capabilities,
    ConfigField,
    DeliveryReport,
    InboundText,
    Sent,
)
from sms.segments import count

LONGEST_VALIDITY_S = 14400
AT_ONCE = 10  # statuses asked for in one turn, a request each
SHORTEST_S = 1.0
PAGE = "20"  # incoming ones per look
INBOX_MAX_BYTES = 1024 * 1024
MAX_FIELDS = 100


class TwilioGateway(Backend):
    """Sends, asks for statuses, and takes signed reports and incoming SMS."""

    fields = (
        ConfigField("base_url", gettext_lazy("address"), kind="url", default="https://api.twilio.com"),
        ConfigField("account_sid", gettext_lazy("Account SID"), required=True),
        ConfigField(
            "messaging_service_sid",
            gettext_lazy("Messaging Service SID"),
            help=gettext_lazy("Instead of a sender number."),
        ),
        ConfigField(
            "inbound",
            gettext_lazy("incoming SMS"),
            default="push",
            choices=("push", "poll"),
            help=gettext_lazy("push: it calls our address. poll: we ask for the latest."),
        ),
        NOT_QUEUED,
    )
    secret_label = gettext_lazy("Auth Token")
    capabilities = Capabilities(inbox=True, inbound=True, reports=True, status=True)
    acknowledgement = Acknowledgement("<Response/>", "text/xml")  # no answer to the phone

    @classmethod
    def is_polled(cls, config: Mapping[str, Any]) -> bool:
        """See the port."""
        return config.get("inbound") == "poll"

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port. ``client_ref`` comes back in the address of the reports."""
        form = {
            "To": to,
            "Body": body,
            "ValidityPeriod": str(min(self.account.validity_s, LONGEST_VALIDITY_S)),
        }
        if self.option("messaging_service_sid"):
            form["MessagingServiceSid"] = self.option("messaging_service_sid")
        elif self.account.sender:
            form["From"] = self.account.sender
        else:
            raise GatewayError("no_sender", outcome="rejected", detail="no sender number", breaks=True)
        if self.account.hook_url:
            form["StatusCallback"] = (
                f"{self.account.hook_url}/report/?client_ref={quote(client_ref, safe='')}"
            )
        response = exchange(
            "POST", self._url("Messages.json"), data=form, headers=self._headers(), deadline_s=deadline_s
        )
        hide = (self.account.secret, to, to.lstrip("+"), body)
        if 400 <= response.status < 500:
            self._refuse_by_code(response, hide=hide)
        refuse(response, accepted=(200, 201), not_queued=self.option("not_queued"), hide=hide)
        answer = read_json(response, hide=hide)
        return Accepted(ref_in(answer, "sid", response=response, hide=hide), parts=count(body).parts)

    def callback_address(self, kind: str) -> str:
        """See the port. The address of a report goes along with each message."""
        return "" if kind == "report" else super().callback_address(kind)

    def _refuse_by_code(self, response: Any, *, hide: tuple[str, ...]) -> None:
        """Raise what the table says about the code of a refusal; return when it has none that we know."""
        try:
            answer = response.json()
        except ValueError:
            return
        code = str(answer.get("code")) if isinstance(answer, Mapping) else ""
        table = codes.load("twilio")
        if code in table.send:
            table.raise_unless_accepted(code, retry_after_s=retry_after_s(response.headers))

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        """See the port; one request each."""
        reports = []
        for message in [message for message in sent if message.ref][:AT_ONCE]:
            told = self._get(
                f"Messages/{quote(message.ref, safe='')}.json",
                deadline_s=max(SHORTEST_S, deadline_s / AT_ONCE),
            )
            if isinstance(told, Mapping) and "status" in told:
                delivered = codes.load("twilio").delivered(told["status"])
                at = _time(told.get("date_updated"))
                reports.append(DeliveryReport(message.ref, message.client_ref, delivered, at=at))
        return reports

    def _get(self, page: str, *, deadline_s: float) -> Any:
        response = exchange("GET", self._url(page), headers=self._headers(), deadline_s=deadline_s)
        if response.status == 404:
            return None
        hide = (self.account.secret,)
        refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
        return read_json(response, hide=hide)

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        """See the port. The latest, each time: what was read before is known by its id."""
        response = exchange(
            "GET", self._url("Messages.json"), params={"To": self.account.sender, "PageSize": PAGE},
            headers=self._headers(), deadline_s=deadline_s, max_bytes=INBOX_MAX_BYTES,
        )  # fmt: skip
        refuse(response, accepted=(200,), not_queued=(), hide=(self.account.secret,))
        return response.body

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        """See the port."""
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError):
            raise ValueError("the inbox is no JSON") from None
        if not isinstance(content, Mapping) or not isinstance(content.get("messages"), list):
            raise ValueError("the inbox has no list messages")
        rows = [row for row in content["messages"] if isinstance(row, Mapping)]
        return [
            InboundText(str(row.get("sid") or "")[:100], str(row.get("from") or ""), str(row.get("body") or ""),
                        _time(row.get("date_sent")))
            for row in rows if row.get("direction") == "inbound"
        ]  # fmt: skip

    def _url(self, page: str) -> str:
        account = quote(self.option("account_sid"), safe="")
        return f"{self.option('base_url').rstrip('/')}/2010-04-01/Accounts/{account}/{page}"

    def _headers(self) -> dict[str, str]:
        return basic(self.option("account_sid"), self.account.secret)

    def is_genuine(self, call: Callback) -> bool:
        """By Twilio's signature over the address that we gave it and the form."""
        if not self.account.secret:
            return False
        address = f"{self.account.hook_url}/{call.kind}/" + (f"?{call.query}" if call.query else "")
        signed = address + "".join(f"{name}{value}" for name, value in sorted(form_of(call).items()))
        digest = hmac.new(self.account.secret.encode(), signed.encode(), hashlib.sha1).digest()
        return same(call.header("X-Twilio-Signature"), base64.b64encode(digest).decode())

    def unpack(self, call: Callback) -> Sequence[Mapping[str, Any]]:
        """The form, with our id from the address."""
        ours = {name: value for name, value in parse_qsl(call.query) if name == "client_ref"}
        return [{**form_of(call), **ours}]

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port."""
        ref, status = str(data.get("MessageSid") or ""), str(data.get("MessageStatus") or "")
        if not ref or not status:
            wrong = {"MessageSid": _("Give the id."), "MessageStatus": _("Give the status.")}
            raise CallbackInvalid(_("The report is incomplete."), fields=wrong)
        delivered = codes.load("twilio").delivered(status)
        return DeliveryReport(
            ref[:100], str(data.get("client_ref") or ""), delivered, to=str(data.get("To") or "")
        )

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """See the port."""
        sender, text = str(data.get("From") or ""), data.get("Body")
        if not sender or not isinstance(text, str):
            wrong = {"From": _("Give the sender's number."), "Body": _("Give the text of the SMS.")}
            raise CallbackInvalid(_("The SMS is incomplete."), fields=wrong)
        return InboundText(str(data.get("MessageSid") or "")[:100], sender, text)


def form_of(call: Callback) -> dict[str, str]:
    """The parameters of the form; {} for what is none."""
    try:
        return dict(parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _time(value: Any) -> datetime | None:
    """RFC 2822, as in ``Mon, 07 Jul 2025 09:34:56 +0000``."""
    try:
        moment = parsedate_to_datetime(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, TypeError, OverflowError):
        return None
