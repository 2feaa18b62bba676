"""SMSC.ru (and its sister sites): JSON by POST, so that neither key nor number stands in an address.

    POST {base}/sys/send.php      login, psw, phones, mes, id, valid, fmt=3, charset=utf-8
        {"id", "cnt"} or {"error", "error_code"}, both with 200
    POST {base}/sys/status.php    login, psw, phone, id, fmt=3: {"status", "last_timestamp"}
    POST {base}/sys/get.php       login, psw, get_answers=1, hour, fmt=3: [{id, phone, message, sent}]

Our id goes along as its number, so that a message whose answer was lost can still be asked for. Error 9
means that the same text went to that number within the last minute: this one was not taken. It calls back
at an address and can show no secret: our token stands in that address.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remosa.lib.http import Response
from sms.errors import CallbackInvalid, GatewayError
from sms.gateways import codes
from sms.gateways.base import NOT_QUEUED, TIME_ZONE, Backend
from sms.gateways.exchange import exchange, read_json, ref_in, refuse, words
from sms.gateways.remosa import with_plus
from sms.ports import Accepted, Capabilities, ConfigField, DeliveryReport, InboundText, Sent
from sms.segments import count

NOTHING_NEW = 3  # of get.php: there are no answers
NO_MESSAGE = 3  # of status.php: it knows no such message
INBOX_MAX_BYTES = 1024 * 1024
AT_ONCE = 10  # statuses asked for in one turn, a request each
SHORTEST_S = 1.0


class SmscRuGateway(Backend):
    """Sends, asks for statuses, and reads answers to rented numbers by push or poll."""

    fields = (
        ConfigField("base_url", gettext_lazy("address"), kind="url", default="https://smsc.ru"),
        ConfigField("login", gettext_lazy("login"), required=True),
        ConfigField("sender", gettext_lazy("sender name"), help=gettext_lazy("As approved; empty: theirs.")),
        ConfigField(
            "inbound",
            gettext_lazy("incoming SMS"),
            default="push",
            choices=("push", "poll"),
            help=gettext_lazy("push: it calls our address. poll: we ask for the last hour."),
        ),
        NOT_QUEUED,
        TIME_ZONE,
    )
    secret_label = gettext_lazy("password")
    capabilities = Capabilities(
        inbox=True, inbound=True, reports=True, status=True, status_by_client_ref=True
    )
    token_in_address = True

    @classmethod
    def is_polled(cls, config: Mapping[str, Any]) -> bool:
        """See the port."""
        return config.get("inbound") == "poll"

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port."""
        minutes = min(max(1, self.account.validity_s // 60), 24 * 60)
        wanted = {
            "phones": to,
            "mes": body,
            "id": number_of(client_ref),
            "valid": f"{minutes // 60:02d}:{minutes % 60:02d}",
            "sender": self.option("sender") or "",
        }
        hide = (self.account.secret, to, to.lstrip("+"), body)
        response = self._ask("send.php", wanted, deadline_s=deadline_s)
        answer = self._answer(response, hide=hide)
        ref = ref_in(answer, "id", response=response, hide=hide)
        return Accepted(ref=ref, parts=count(body).parts)

    def _ask(self, page: str, wanted: Mapping[str, str], *, deadline_s: float, **more: Any) -> Response:
        common = {"login": self.option("login"), "psw": self.account.secret, "fmt": "3", "charset": "utf-8"}
        form = common | {name: value for name, value in wanted.items() if value}
        url = f"{self.option('base_url').rstrip('/')}/sys/{page}"
        return exchange("POST", url, data=form, deadline_s=deadline_s, **more)

    def _answer(self, response: Response, *, hide: tuple[str, ...]) -> Any:
        """The JSON of an answer without an error; an error becomes what the table says."""
        refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
        answer = read_json(response, hide=hide)
        if isinstance(answer, Mapping) and ("error_code" in answer or "error" in answer):
            code = answer.get("error_code")
            codes.load("smsc_ru").raise_unless_accepted(code, detail=words(response, hide=hide))
        return answer

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        """See the port; by the number that we gave, one request each."""
        reports = []
        for message in sent[:AT_ONCE]:
            wanted = {"phone": message.to, "id": message.ref or number_of(message.client_ref)}
            response = self._ask("status.php", wanted, deadline_s=max(SHORTEST_S, deadline_s / AT_ONCE))
            answer = self._told(response, nothing=NO_MESSAGE)
            if isinstance(answer, Mapping) and "status" in answer:
                reports.append(_report(answer, "status", "last_timestamp", client_ref=message.client_ref))
        return reports

    def _told(self, response: Response, *, nothing: int) -> Any:
        """The JSON of an answer to a question; these pages have their own codes, ``nothing`` is no fault."""
        hide = (self.account.secret,)
        refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
        answer = read_json(response, hide=hide)
        code = answer.get("error_code") if isinstance(answer, Mapping) else None
        if code not in (None, nothing):
            raise GatewayError(
                f"code_{str(code)[:20]}", outcome="not_sent", detail=words(response, hide=hide)
            )
        return answer

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        """See the port. The last hour, each time: what was read before is known by its id."""
        wanted = {"get_answers": "1", "hour": "1"}
        response = self._ask("get.php", wanted, deadline_s=deadline_s, max_bytes=INBOX_MAX_BYTES)
        self._told(response, nothing=NOTHING_NEW)
        return response.body

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        """See the port."""
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError):
            raise ValueError("the inbox is no JSON") from None
        if isinstance(content, Mapping) and content.get("error_code") == NOTHING_NEW:
            return []
        if not isinstance(content, list):
            raise ValueError("the inbox is no list")
        return [self._text(item) for item in content]

    def _text(self, item: Any) -> InboundText:
        if not isinstance(item, Mapping) or not isinstance(item.get("message"), str):
            return InboundText(ref="", sender="", body=json.dumps(item, ensure_ascii=False))
        ref, sent_at = str(item.get("id") or "")[:100], self._time(item.get("sent"))
        return InboundText(ref, with_plus(str(item.get("phone") or "")), item["message"], sent_at)

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port: ``id``, ``phone``, ``status``, ``ts``."""
        if not data.get("id") or str(data.get("status", "")) == "":
            wrong = {"id": _("Give the id."), "status": _("Give the status.")}
            raise CallbackInvalid(_("The report is incomplete."), fields=wrong)
        to = with_plus(str(data.get("phone") or ""))
        return _report(data, "status", "ts", ref=str(data["id"])[:100], to=to)

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """See the port: ``phone``, ``mes``, ``sms_id``, ``sent``."""
        sender, text = str(data.get("phone") or ""), data.get("mes")
        if not sender or not isinstance(text, str):
            wrong = {"phone": _("Give the sender's number."), "mes": _("Give the text of the SMS.")}
            raise CallbackInvalid(_("The SMS is incomplete."), fields=wrong)
        ref = str(data.get("sms_id") or "")[:100]
        return InboundText(ref, with_plus(sender), text, self._time(data.get("sent") or data.get("time")))

    def _time(self, value: Any) -> datetime | None:
        """``07.07.2025 12:35:04`` in the zone of the account."""
        zone = ZoneInfo(self.option("time_zone") or self.account.time_zone)
        try:
            moment = datetime.strptime(str(value), "%d.%m.%Y %H:%M:%S")  # noqa: DTZ007  the zone follows
            return moment.replace(tzinfo=zone).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def number_of(client_ref: str) -> str:
    """Our id as one of theirs: a number from 1 to 2147483647, used together with the phone."""
    digest = hashlib.sha256(client_ref.encode()).digest()
    return str(int.from_bytes(digest[:8]) % 2147483647 + 1)


def _report(
    told: Mapping[str, Any], status: str, moment: str, *, ref: str = "", client_ref: str = "", to: str = ""
) -> DeliveryReport:
    delivered = codes.load("smsc_ru").delivered(told[status])
    return DeliveryReport(ref, client_ref, delivered, at=seconds(told.get(moment)), to=to)


def seconds(value: Any) -> datetime | None:
    """Unix seconds as a moment; None for anything else."""
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
