"""What the backends have in common: reading their own settings, and saying no to what they cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sms.ports import (
    Accepted,
    Account,
    CallbackInvalid,
    Capabilities,
    ConfigField,
    DeliveryReport,
    InboundText,
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

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        raise NotImplementedError

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        self._cannot("inbox")

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        self._cannot("inbox")

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        raise CallbackInvalid(_("This gateway sends no delivery reports."))

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        raise CallbackInvalid(_("This gateway does not push incoming SMS."))

    def _cannot(self, what: str) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no {what}; ask its capabilities first.")


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
    if item.name == TIME_ZONE.name and value not in available_timezones():
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
