"""The existing REMOSA gateway.

    POST {base}/send?number=%2B7…&text=…    header ``Authorization: <key>``, bare; 200 means accepted
    GET  {base}/sms                         {"status": …, "sms_messages": [{from, message, timestamp?}]}

It returns no id, so its bare 200 is the acceptance; a 500 may come after the modem took the SMS.
Reading the inbox empties it. Numbers come with or without ``+``, times without a zone.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _

from sms.errors import GatewayError
from sms.gateways.base import NOT_QUEUED, TIME_ZONE, Backend
from sms.gateways.exchange import exchange, refuse
from sms.ports import Accepted, Capabilities, ConfigField, InboundText
from sms.segments import count

INBOX_MAX_BYTES = 4 * 1024 * 1024  # what does not fit is lost: the read has emptied the inbox


class RemosaGateway(Backend):
    """Sends by POST with the phone and the text in the query, as its contract wants; polled for replies."""

    fields = (
        ConfigField("base_url", _("address"), required=True, kind="url"),
        NOT_QUEUED,
        TIME_ZONE,
    )
    secret_label = _("key")
    capabilities = Capabilities(inbox=True)

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port. ``client_ref`` has no place in this protocol."""
        response = exchange(
            "POST",
            self._url("send"),
            params={"number": to, "text": body},
            headers=self._headers(),
            deadline_s=deadline_s,
        )
        hide = (self.account.secret, to, body)
        refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
        return Accepted(ref="", parts=count(body).parts)

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        """See the port. This read is destructive: the caller keeps the bytes before anything else."""
        response = exchange(
            "GET",
            self._url("sms"),
            headers=self._headers(),
            deadline_s=deadline_s,
            max_bytes=INBOX_MAX_BYTES,
        )
        try:
            refuse(response, accepted=(200,), not_queued=(), hide=(self.account.secret,))
        except GatewayError as exc:
            raise GatewayError(exc.reason, outcome="not_sent", detail=exc.detail, breaks=exc.breaks) from None
        return response.body

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        """See the port. What is no message is kept as one without a sender: nothing is dropped."""
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError):
            raise ValueError("the inbox is no JSON") from None
        if not isinstance(content, Mapping) or not isinstance(content.get("sms_messages"), list):
            raise ValueError("the inbox has no list sms_messages")
        return [self._text(item) for item in content["sms_messages"]]

    def _text(self, item: Any) -> InboundText:
        if not isinstance(item, Mapping) or not isinstance(item.get("message"), str):
            return InboundText(ref="", sender="", body=json.dumps(item, ensure_ascii=False))
        sender = str(item.get("from") or "")
        zone = ZoneInfo(self.option("time_zone") or self.account.time_zone)
        return InboundText("", with_plus(sender), item["message"], read_time(item.get("timestamp"), zone))

    def _url(self, path: str) -> str:
        return f"{self.option('base_url').rstrip('/')}/{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self.account.secret} if self.account.secret else {}


def with_plus(sender: str) -> str:
    """A number in full digits as E.164; short codes and names stay what they are."""
    digits = sender.strip()
    return f"+{digits}" if digits.isascii() and digits.isdigit() and len(digits) >= 11 else digits


def read_time(value: Any, zone: ZoneInfo) -> datetime | None:
    """``2025-07-07 12:34:56`` or ISO-8601 as UTC; None for anything else: the text matters more."""
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
