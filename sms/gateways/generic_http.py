"""Any gateway that takes an SMS by one HTTP request: the request is a template, its answers are rules.

The rules for answers come first (``sms.gateways.answers``); where none fits, the statuses decide. An
acceptance must carry the id when a place for it is named: without it the answer is ambiguous, whatever
its status says. Callbacks are read by configured paths.
"""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remosa.lib.http import Response
from sms.errors import CallbackInvalid, GatewayError
from sms.gateways.answers import check_rules, error_of, meaning
from sms.gateways.base import NOT_QUEUED, TIME_ZONE, Backend
from sms.gateways.exchange import exchange, refuse, words
from sms.gateways.remosa import read_time, with_plus
from sms.gateways.templates import (
    NAMES,
    check_path,
    check_pattern,
    fill,
    fill_flat,
    fill_url,
    find,
    look_up,
    placeholders,
    unknown_placeholders,
)
from sms.ports import Accepted, Capabilities, ConfigField, DeliveryReport, InboundText
from sms.segments import count

FILLED = ("url", "query", "headers", "form", "json")
PATHS = (
    "id_path", "error_path", "report_ref", "report_client_ref", "report_status", "report_to", "report_at",
    "inbound_ref", "inbound_from", "inbound_text", "inbound_at",
)  # fmt: skip
IN_HEADERS = {"secret", "client_ref", "sender", "validity_s"}  # a number or a text does not belong there
REF_LENGTH = 100
PLACES = ", ".join(f"{{{name}}}" for name in NAMES)


class GenericHttpGateway(Backend):
    """Fills the configured request and judges the answer by the configured rules."""

    fields = (
        ConfigField(
            "url",
            gettext_lazy("address"),
            required=True,
            kind="url",
            help=gettext_lazy("Placeholders: %s") % PLACES,
        ),
        ConfigField("method", gettext_lazy("method"), default="POST", choices=("POST", "GET", "PUT")),
        ConfigField("query", gettext_lazy("query"), kind="mapping", default={}),
        ConfigField("headers", gettext_lazy("headers"), kind="mapping", default={}),
        ConfigField("form", gettext_lazy("form body"), kind="mapping", default={}),
        ConfigField("json", gettext_lazy("JSON body"), kind="json", default=None),
        ConfigField(
            "accepted_status", gettext_lazy("statuses of acceptance"), kind="list", default=[200, 201, 202]
        ),
        NOT_QUEUED,
        ConfigField(
            "rules",
            gettext_lazy("rules for answers"),
            kind="json",
            default=[],
            help=gettext_lazy(
                "The first that fits decides, then the statuses. By status, path (JMESPath) with equals, and text:"
                ' [{"path": "error_code", "equals": [6, 8], "means": "refused"},'
                ' {"text": "^busy", "means": "not_queued"}].'
                " means: accepted, refused, wrong_key, not_queued (safe to try again), unknown."
            ),
        ),
        ConfigField(
            "id_path",
            gettext_lazy("path of the id"),
            help=gettext_lazy("In a JSON answer, a JMESPath: for example data[0].id"),
        ),
        ConfigField(
            "id_regex",
            gettext_lazy("pattern of the id"),
            help=gettext_lazy("In a text answer, for example ^OK: (.+)$"),
        ),
        ConfigField(
            "error_path",
            gettext_lazy("path of an error"),
            help=gettext_lazy("In a JSON answer; anything there is a refusal."),
        ),
        ConfigField("report_ref", gettext_lazy("report: path of the id"), default="id"),
        ConfigField("report_client_ref", gettext_lazy("report: path of our id"), default="client_ref"),
        ConfigField("report_status", gettext_lazy("report: path of the status"), default="status"),
        ConfigField("report_to", gettext_lazy("report: path of the number"), default="to"),
        ConfigField("report_at", gettext_lazy("report: path of the time"), default="at"),
        ConfigField(
            "delivered_values", gettext_lazy("report: delivered"), kind="list", default=["delivered"]
        ),
        ConfigField(
            "undelivered_values",
            gettext_lazy("report: not delivered"),
            kind="list",
            default=["undelivered", "failed", "expired", "rejected"],
        ),
        ConfigField("inbound_ref", gettext_lazy("incoming: path of the id"), default="id"),
        ConfigField("inbound_from", gettext_lazy("incoming: path of the sender"), default="from"),
        ConfigField("inbound_text", gettext_lazy("incoming: path of the text"), default="message"),
        ConfigField("inbound_at", gettext_lazy("incoming: path of the time"), default="timestamp"),
        TIME_ZONE,
    )
    secret_label = gettext_lazy("key")
    capabilities = Capabilities(inbound=True, reports=True)

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> dict[str, str]:
        """As the port says; also placeholders that nothing fills, two bodies, and slow patterns."""
        wrong = super().check(config)
        for name in FILLED:
            if unknown := unknown_placeholders(config.get(name)):
                wrong[name] = _("Nothing fills {%(name)s}. Placeholders: %(known)s.") % {
                    "name": unknown[0],
                    "known": PLACES,
                }
        if config.get("form") and config.get("json"):
            wrong["json"] = _("A request has one body: choose the form or JSON.")
        if misplaced := placeholders(config.get("headers")) - IN_HEADERS:
            wrong.setdefault(
                "headers", _("{%(name)s} does not belong into a header.") % {"name": min(misplaced)}
            )
        if "secret" in placeholders(config.get("url")) | placeholders(config.get("query")):
            wrong.setdefault("query", _("Keep the key out of the address: use a header or the body."))
        used = set().union(*(placeholders(config.get(name)) for name in FILLED))
        if not wrong and not ({"to", "to_digits"} & used and "text" in used):
            wrong["url"] = _("The request must carry {to} (or {to_digits}) and {text}.")
        for name in PATHS:
            if config.get(name) and (sentence := check_path(config[name])):
                wrong.setdefault(name, sentence)
        if config.get("rules") and (sentence := check_rules(config["rules"])):
            wrong["rules"] = sentence
        if isinstance(config.get("id_regex"), str) and (sentence := _pattern_fault(config["id_regex"])):
            wrong["id_regex"] = sentence
        return wrong

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """See the port."""
        values = {
            "to": to,
            "to_digits": to.lstrip("+"),
            "text": body,
            "client_ref": client_ref,
            "sender": self.account.sender,
            "validity_s": str(self.account.validity_s),
            "secret": self.account.secret,
        }
        response = exchange(
            self.option("method"),
            fill_url(self.option("url"), values),
            params=fill_flat(self.option("query"), values) or None,
            headers=fill_flat(self.option("headers"), values) or None,
            data=fill_flat(self.option("form"), values) or None,
            json=fill(self.option("json"), values),
            deadline_s=deadline_s,
        )
        hide = (self.account.secret, to, to.lstrip("+"), body)
        self._judge(response, hide=hide)
        return Accepted(ref=self._ref(response, hide=hide), parts=count(body).parts)

    def _judge(self, response: Response, *, hide: tuple[str, ...]) -> None:
        """Raise the GatewayError that the answer means; return when it is an acceptance."""
        told = meaning(self.option("rules"), response)
        if told is None:
            accepted, not_queued = self.option("accepted_status"), self.option("not_queued")
            refuse(response, accepted=accepted, not_queued=not_queued, hide=hide)
        elif told[0] != "accepted":
            raise error_of(*told, detail=words(response, hide=hide))

    def _ref(self, response: Response, *, hide: tuple[str, ...]) -> str:
        """The id in an answer of acceptance; GatewayError when the answer says no, or not clearly yes."""
        id_path, error_path = self.option("id_path"), self.option("error_path")
        content = None
        if id_path or error_path:
            try:
                content = response.json()
            except ValueError:
                raise GatewayError("no_json", outcome="unknown", detail=words(response, hide=hide)) from None
        if error_path and look_up(content, error_path) not in (None, "", False, 0, [], {}):
            raise GatewayError("refused", outcome="rejected", detail=words(response, hide=hide))
        found: Any = None
        if id_path:
            found = look_up(content, id_path)
        elif self.option("id_regex"):
            found = find(self.option("id_regex"), response.text)
        else:
            return ""
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise GatewayError("no_id", outcome="unknown", detail=words(response, hide=hide))
        return str(found)[:REF_LENGTH]

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """See the port. A status that is in neither list settles nothing."""
        ref, client_ref = self._text_at(data, "report_ref"), self._text_at(data, "report_client_ref")
        if not ref and not client_ref:
            raise CallbackInvalid(
                _("The report names no message."), fields={self.option("report_ref"): _("Give the id.")}
            )
        status = self._text_at(data, "report_status")
        if not status:
            raise CallbackInvalid(
                _("The report has no status."), fields={self.option("report_status"): _("Give the status.")}
            )
        return DeliveryReport(
            ref=ref[:REF_LENGTH],
            client_ref=client_ref,
            delivered=self._verdict(status),
            at=read_time(look_up(data, self.option("report_at")), self._zone()),
            to=with_plus(self._text_at(data, "report_to")),
        )

    def _verdict(self, status: str) -> bool | None:
        if status.lower() in (str(value).lower() for value in self.option("delivered_values")):
            return True
        if status.lower() in (str(value).lower() for value in self.option("undelivered_values")):
            return False
        return None

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """See the port."""
        sender, text = self._text_at(data, "inbound_from"), look_up(data, self.option("inbound_text"))
        wrong = {}
        if not sender:
            wrong[self.option("inbound_from")] = _("Give the sender's number.")
        if not isinstance(text, str):
            wrong[self.option("inbound_text")] = _("Give the text of the SMS.")
        if wrong:
            raise CallbackInvalid(_("The SMS is incomplete."), fields=wrong)
        sent_at = read_time(look_up(data, self.option("inbound_at")), self._zone())
        return InboundText(
            self._text_at(data, "inbound_ref")[:REF_LENGTH], with_plus(sender), str(text), sent_at
        )

    def _text_at(self, data: Mapping[str, Any], option: str) -> str:
        value = look_up(data, self.option(option))
        return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.option("time_zone") or self.account.time_zone)


def _pattern_fault(pattern: str) -> str:
    return check_pattern(pattern, groups=1) if pattern else ""
