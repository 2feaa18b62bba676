"""What the backends have in common: reading their own settings, and saying no to what they cannot do."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qs, urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from remosa.lib.clock import time_zones
from sms.ports import (
    Accepted,
    Account,
    Acknowledgement,
    Callback,
    CallbackInvalid,
    Capabilities,
    ConfigField,
    DeliveryReport,
    InboundText,
    Sent,
)

TIME_ZONE = ConfigField(
    "time_zone",
    gettext_lazy("time zone of its times"),
    help=gettext_lazy("For times that come without one, for example Europe/Moscow. Empty: the platform's."),
)
NOT_QUEUED = ConfigField(
    "not_queued",
    gettext_lazy("answers that mean “not taken, try later”"),
    kind="list",
    default=[429],
    help=gettext_lazy("HTTP statuses after which the gateway is known not to have queued the SMS."),
)
SHAPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "url": (str,),
    "mapping": (dict,),
    "list": (list,),
    "json": (dict, list),
}


class Backend:
    """A gateway with its account. Subclasses declare ``fields`` and ``capabilities`` and override what they can."""

    fields: ClassVar[tuple[ConfigField, ...]] = ()
    secret_label: ClassVar[Any] = ""
    capabilities: ClassVar[Capabilities] = Capabilities()
    callback_methods: ClassVar[tuple[str, ...]] = ("POST",)
    acknowledgement: ClassVar[Acknowledgement | None] = None
    token_in_address: ClassVar[bool] = False  # it can be given an address only: our proof stands in it

    def __init__(self, account: Account) -> None:
        self.account = account
        self._defaults = {item.name: item.default for item in self.fields}

    def option(self, name: str) -> Any:
        """The configured value of a declared field, or its default when it is absent or empty."""
        value = self.account.config.get(name)
        return self._defaults[name] if value in (None, "") else value

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with ``config``, as ``{field: sentence}``."""
        known = {item.name for item in cls.fields}
        wrong = {name: _("This kind of gateway has no such setting.") for name in config if name not in known}
        for item in cls.fields:
            if sentence := check_field(item, config.get(item.name)):
                wrong[item.name] = sentence
        return wrong

    @classmethod
    def is_polled(cls, config: Mapping[str, Any]) -> bool:
        """See the port."""
        return cls.capabilities.inbox

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        raise NotImplementedError

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        self._cannot("inbox")

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        self._cannot("inbox")

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        self._cannot("status")

    def callback_address(self, kind: str) -> str:
        """What a person enters at the provider so that it calls us back; it may hold a token."""
        address = f"{self.account.hook_url}/{kind}/"
        return f"{address}?token={self._token(kind)}" if self.token_in_address else address

    def is_genuine(self, call: Callback) -> bool:
        """By the callback secret in a header, or by the token of the address that we gave out."""
        if not self.account.hook_secret:
            return False
        if same(shown_secret(call), self.account.hook_secret):
            return True
        return self.token_in_address and same(first(call.query, "token"), self._token(call.kind))

    def _token(self, kind: str) -> str:
        """Good for one kind of callback of this gateway; the secret cannot be found from it."""
        return sign(self.account.hook_secret, f"callback:{kind}")

    def unpack(self, call: Callback) -> Sequence[Mapping[str, Any]] | None:
        return None

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        raise CallbackInvalid(_("This gateway sends no delivery reports."))

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        raise CallbackInvalid(_("This gateway does not push incoming SMS."))

    def _cannot(self, what: str) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no {what}; ask its capabilities first.")


def same(shown: str, expected: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(shown.encode("utf-8", "replace"), expected.encode())


def sign(secret: str, text: str | bytes) -> str:
    """HMAC-SHA256 in hex."""
    raw = text.encode() if isinstance(text, str) else text
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def shown_secret(call: Callback) -> str:
    """The secret that a callback shows: ``Bearer``, the password of ``Basic``, or ``X-API-Key``."""
    scheme, _space, token = call.header("Authorization").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return call.header("X-API-Key")


def first(query: str, name: str) -> str:
    """The first value of a parameter of a query, or ``""``."""
    try:
        return parse_qs(query, max_num_fields=100).get(name, [""])[0]
    except ValueError:
        return ""


def check_field(item: ConfigField, value: Any) -> str:
    """What is wrong with the value of one setting, or ``""``."""
    if value in (None, "", [], {}):
        return _("This setting is required.") if item.required else ""
    if not _has_shape(item.kind, value):
        return {
            "mapping": _('Write an object: {"name": "value"}.'),
            "list": _("Write a list: [1, 2]."),
            "json": _("Write an object or a list."),
        }.get(item.kind, _("Write a text."))
    if item.choices and value not in item.choices:
        return _("Choose one of: %(known)s.") % {"known": ", ".join(item.choices)}
    if item.kind == "url":
        return check_url(value)
    if item.name == TIME_ZONE.name and value not in time_zones():
        return _("Use a name such as Europe/Moscow.")
    if item.name.endswith(("_status", "not_queued")) and not all(_is_status(entry) for entry in value):
        return _("Write HTTP statuses: [429, 503].")
    return ""


def check_url(value: str) -> str:
    """What is wrong with the address of a gateway, or ``""``. Where it may lead is the egress guard's business."""
    try:
        parts = urlsplit(value)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_complete = False
    if not is_complete:
        return _("Write a full address: https://gateway.example/api.")
    if parts.username or parts.password:
        return _("Keep the key out of the address: it has a field of its own.")
    return ""


def _has_shape(kind: str, value: Any) -> bool:
    return isinstance(value, SHAPES[kind])


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
