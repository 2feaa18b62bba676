"""sms.ru: JSON by POST.

    POST {base}/sms/send      api_id, to, msg, from, ttl, json=1
        {"status_code": 100, "sms": {"79…": {"status_code": 100, "sms_id": "000000-1"}}}
        the outer code can be 100 and the inner one a refusal: the inner one counts
    POST {base}/sms/status    api_id, sms_id (up to 100, with commas), json=1
    callback: a form, data[0]="sms_status\\n<id>\\n<code>\\n<seconds>", … up to 100, hash; answered with 100

The callback's hash is SHA-256 over our key and all records: nobody else can write one. Records of other
kinds are skipped. It has no incoming SMS.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remosa.lib.http import Response
from sms.errors import CallbackInvalid
from sms.gateways import codes
from sms.gateways.base import NOT_QUEUED, Backend, same
from sms.gateways.exchange import exchange, read_json, ref_in, refuse, words
from sms.gateways.smsc_ru import seconds
from sms.ports import (
    Accepted,
    Acknowledgement,
    Callback,
    Capabilities,
    ConfigField,
    DeliveryReport,
    Sent,
)
from sms.segments import count

OK = 100
AT_ONCE = 100  # ids in one question, records in one callback


class SmsRuGateway(Backend):
    """Sends, asks for statuses, and takes signed reports."""

    fields = (
        ConfigField("base_url", gettext_lazy("address"), kind="url", default="https://sms.ru"),
        ConfigField("sender", gettext_lazy("sender name"), help=gettext_lazy("As approved; empty: theirs.")),
        NOT_QUEUED,
    )
    secret_label = gettext_lazy("api_id")
    capabilities = Capabilities(reports=True, status=True)
    acknowledgement = Acknowledgement("100")

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port. ``client_ref`` has no place in this protocol."""
        minutes = min(max(1, self.account.validity_s // 60), 24 * 60)
        form = {"to": to.lstrip("+"), "msg": body, "ttl": str(minutes)}
        if self.option("sender"):
            form["from"] = self.option("sender")
        hide = (self.account.secret, to, to.lstrip("+"), body)
        response = self._ask("send", form, deadline_s=deadline_s)
        answer = self._answer(response, hide=hide)
        told = one_of(answer, to.lstrip("+"))
        code = told.get("status_code") if told else None
        codes.load("sms_ru").raise_unless_accepted(code, detail=words(response, hide=hide))
        return Accepted(ref_in(told, "sms_id", response=response, hide=hide), parts=count(body).parts)

    def _ask(self, verb: str, form: Mapping[str, str], *, deadline_s: float) -> Response:
        url = f"{self.option('base_url').rstrip('/')}/sms/{verb}"
        data = {"api_id": self.account.secret, "json": "1", **form}
        return exchange("POST", url, data=data, deadline_s=deadline_s)

    def _answer(self, response: Response, *, hide: tuple[str, ...]) -> Mapping[str, Any]:
        """The JSON of an answer whose outer code is good; anything else becomes what the table says."""
        refuse(response, accepted=(200,), not_queued=self.option("not_queued"), hide=hide)
        answer = read_json(response, hide=hide)
        code = answer.get("status_code") if isinstance(answer, Mapping) else None
        codes.load("sms_ru").raise_unless_accepted(code, detail=words(response, hide=hide))
        return dict(answer)

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        """See the port; all in one request."""
        refs = {message.ref: message for message in sent[:AT_ONCE] if message.ref}
        if not refs:
            return []
        response = self._ask("status", {"sms_id": ",".join(refs)}, deadline_s=deadline_s)
        told = self._answer(response, hide=(self.account.secret,)).get("sms")
        rows = told.items() if isinstance(told, Mapping) else ()
        table = codes.load("sms_ru")
        return [
            DeliveryReport(ref, refs[ref].client_ref, table.delivered(row.get("status_code")))
            for ref, row in rows
            if ref in refs and isinstance(row, Mapping)
        ]

    def is_genuine(self, call: Callback) -> bool:
        """By the hash over the key and the records."""
        form = records(call)
        expected = hashlib.sha256((self.account.secret + "".join(form["data"])).encode()).hexdigest()
        return bool(self.account.secret) and same(form["hash"].lower(), expected)

    def unpack(self, call: Callback) -> Sequence[Mapping[str, Any]]:
        """One mapping per record about an SMS."""
        lines = [record.split("\n") for record in records(call)["data"]]
        return [
            {"id": line[1], "code": line[2], "at": line[3] if len(line) > 3 else ""}
            for line in lines
            if line[0] == "sms_status" and len(line) >= 3
        ]

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port."""
        if not data.get("id"):
            raise CallbackInvalid(_("The report names no message."), fields={"id": _("Give the id.")})
        delivered = codes.load("sms_ru").delivered(data.get("code"))
        return DeliveryReport(str(data["id"])[:100], "", delivered, at=seconds(data.get("at")))


def one_of(answer: Mapping[str, Any], digits: str) -> Mapping[str, Any] | None:
    """What the answer says about our one number, however it writes it."""
    told = answer.get("sms")
    if not isinstance(told, Mapping):
        return None
    found = told.get(digits) or (next(iter(told.values())) if len(told) == 1 else None)
    return found if isinstance(found, Mapping) else None


def records(call: Callback) -> dict[str, Any]:
    """``{"data": the records in their order, "hash": text}`` of a callback; ``data[]`` or ``data[0]``."""
    try:
        pairs = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=AT_ONCE + 10)
    except ValueError:
        return {"data": [], "hash": ""}
    found = [value for name, value in pairs if name == "data" or name.startswith("data[")]
    return {"data": found[:AT_ONCE], "hash": dict(pairs).get("hash", "")}
