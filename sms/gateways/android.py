"""SMS Gateway for Android: a phone that sends, behind its cloud, a private server, or on its own.

    POST {base}/3rdparty/v1/messages         Basic; {id, textMessage, phoneNumbers, ttl, withDeliveryReport}
        202 {"id", "state"}                  on the phone itself the path is /messages
    GET  {base}/3rdparty/v1/messages/<id>    {"state": "Pending" … "Delivered" | "Failed"}
    webhooks: X-Signature = hex HMAC-SHA256(body + X-Timestamp), ours to check within five minutes

Our id is the message's id, so that one whose answer was lost can still be asked for. ``sms:delivered``
comes once per part: it settles a message of one part only, longer ones are asked for. An incoming SMS has
an id made from its content, the same for two equal replies: it counts together with its time.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.base import NOT_QUEUED, Backend, same, sign
from sms.gateways.exchange import basic, exchange, read_json, ref_in, refuse, words
from sms.gateways.remosa import with_plus
from sms.ports import Accepted, Callback, Capabilities, ConfigField, DeliveryReport, InboundText, Sent
from sms.segments import count

WINDOW = timedelta(minutes=5)  # a callback signed longer ago, or in the future, is a replay
PRIORITY = 100  # goes out at once, past the phone's own limits
AT_ONCE = 10  # statuses asked for in one turn, a request each
SHORTEST_S = 1.0
EVENTS = {"sms:delivered": True, "sms:failed": False}
MOMENTS = ("deliveredAt", "failedAt", "sentAt")


class AndroidGateway(Backend):
    """Sends through a phone; its webhooks bring reports and replies."""

    fields = (
        ConfigField("base_url", gettext_lazy("address"), kind="url", default="https://api.sms-gate.app"),
        ConfigField(
            "path",
            gettext_lazy("path"),
            default="/3rdparty/v1/messages",
            choices=("/3rdparty/v1/messages", "/messages", "/message"),
            help=gettext_lazy("/messages when the phone itself is the server."),
        ),
        ConfigField("username", gettext_lazy("user"), required=True),
        ConfigField(
            "sim", gettext_lazy("SIM"), choices=("1", "2", "3"), help=gettext_lazy("Empty: its own.")
        ),
        NOT_QUEUED,
    )
    secret_label = gettext_lazy("password")
    capabilities = Capabilities(inbound=True, reports=True, status=True, status_by_client_ref=True)

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port."""
        wanted: dict[str, Any] = {
            "id": client_ref,
            "textMessage": {"text": body},
            "phoneNumbers": [to],
            "ttl": max(1, self.account.validity_s),
            "priority": PRIORITY,
            "withDeliveryReport": True,
        }
        if self.option("sim"):
            wanted["simNumber"] = int(self.option("sim"))
        response = exchange("POST", self._url(), json=wanted, headers=self._headers(), deadline_s=deadline_s)
        hide = (self.account.secret, to, to.lstrip("+"), body)
        if response.status == 409:  # it has this id already: an earlier try may have arrived after all
            raise GatewayError("http_409", outcome="unknown", detail=words(response, hide=hide))
        refuse(response, accepted=(200, 201, 202), not_queued=self.option("not_queued"), hide=hide)
        answer = read_json(response, hide=hide)
        ref = ref_in(answer, "id", response=response, hide=hide)
        codes.load("android").raise_unless_accepted(answer.get("state"), detail=words(response, hide=hide))
        return Accepted(ref=ref, parts=count(body).parts)

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        """See the port; one request each. It takes all parts of a message together."""
        reports = []
        for message in sent[:AT_ONCE]:
            response = exchange(
                "GET", f"{self._url()}/{quote(message.ref or message.client_ref, safe='')}",
                headers=self._headers(), deadline_s=max(SHORTEST_S, deadline_s / AT_ONCE),
            )  # fmt: skip
            if response.status == 404:
                continue
            hide = (self.account.secret, message.to, message.to.lstrip("+"))
            refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
            answer = read_json(response, hide=hide)
            state = answer.get("state") if isinstance(answer, Mapping) else None
            reports.append(DeliveryReport("", message.client_ref, codes.load("android").delivered(state)))
        return reports

    def _url(self) -> str:
        return f"{self.option('base_url').rstrip('/')}{self.option('path')}"

    def _headers(self) -> dict[str, str]:
        return basic(self.option("username"), self.account.secret)

    def is_genuine(self, call: Callback) -> bool:
        """By the signature over body and time, made within the last minutes."""
        signed_at = call.header("X-Timestamp")
        if not self.account.hook_secret or not (signed_at.isascii() and signed_at.isdigit()):
            return False
        if len(signed_at) > 12 or abs(call.at.timestamp() - int(signed_at)) > WINDOW.total_seconds():
            return False
        signed = call.body + signed_at.encode()
        return same(call.header("X-Signature").lower(), sign(self.account.hook_secret, signed))

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port: ``sms:delivered`` and ``sms:failed``; other events settle nothing."""
        told = payload(data)
        ref = str(told.get("messageId") or "")
        if data.get("event") in EVENTS and not ref:
            raise CallbackInvalid(
                _("The report names no message."), fields={"payload.messageId": _("Give the id.")}
            )
        at = next((moment for name in MOMENTS if (moment := _time(told.get(name)))), None)
        to = with_plus(str(told.get("recipient") or told.get("phoneNumber") or ""))
        return DeliveryReport(ref[:100], "", EVENTS.get(str(data.get("event"))), at=at, to=to, of_part=True)

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """See the port: ``sms:received``."""
        told = payload(data)
        sender, text = str(told.get("sender") or told.get("phoneNumber") or ""), told.get("message")
        if data.get("event") != "sms:received" or not sender or not isinstance(text, str):
            wrong = {"event": _("Register this address for sms:received only.")}
            raise CallbackInvalid(_("This is no incoming SMS."), fields=wrong)
        moment = str(told.get("receivedAt") or "")
        ref = (
            f"{str(told.get('messageId') or '')[:60]}@{moment[:39]}" if moment else str(data.get("id") or "")
        )
        return InboundText(ref[:100], with_plus(sender), text, _time(moment))


def payload(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a webhook that speaks of the SMS."""
    told = data.get("payload")
    if not isinstance(told, Mapping):
        raise CallbackInvalid(_("The webhook has no payload."), fields={"payload": _("Give an object.")})
    return told


def _time(value: Any) -> datetime | None:
    """ISO-8601 with its offset."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
