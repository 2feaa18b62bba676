"""What ``sms`` asks of a gateway backend. The backends are named in ``settings.SMS_GATEWAYS``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from sms.errors import CallbackInvalid, GatewayError

__all__ = [
    "Accepted",
    "Account",
    "Acknowledgement",
    "Callback",
    "CallbackInvalid",
    "Capabilities",
    "ConfigField",
    "DeliveryReport",
    "Gateway",
    "GatewayError",
    "InboundText",
    "Sent",
]


@dataclass(frozen=True)
class ConfigField:
    """One setting of a backend, kept under ``name`` in the gateway's ``config``.

    ``kind`` is the shape of its JSON value: ``mapping`` is an object, ``list`` an array.
    """

    name: str
    label: Any  # str or a lazy translation
    required: bool = False
    help: Any = ""
    kind: Literal["text", "url", "mapping", "list", "json"] = "text"
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do besides sending; what it cannot is never asked of it."""

    inbox: bool = False  # it has an inbox to be read
    inbound: bool = False  # it pushes incoming SMS to our callback
    reports: bool = False  # it pushes delivery reports to our callback
    own_process: bool = False  # a process of its own sends; the outbox only hands messages over to it
    status: bool = False  # it can be asked what became of a message, by its own id
    status_by_client_ref: bool = False  # also by our id: then also of one whose answer was lost


@dataclass(frozen=True)
class Account:
    """One configured gateway as its backend sees it. ``secret`` is decrypted and never shown."""

    gateway_id: int
    config: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    sender: str = ""  # our own number, E.164; "" where it is not known
    validity_s: int = 300  # how long the network may try to deliver
    time_zone: str = "UTC"  # of times that come without one
    hook_secret: str = field(default="", repr=False)  # what its callbacks show, or are signed with
    hook_url: str = ""  # where it calls back, without the kind: https://remosa.example/hooks/sms/<number>


@dataclass(frozen=True)
class Accepted:
    """The gateway has taken the message over."""

    ref: str  # the gateway's id, echoed by its delivery reports; "" where it gives none
    parts: int  # SMS parts billed, >= 1


@dataclass(frozen=True)
class InboundText:
    """One SMS as a gateway hands it over; ``ref`` and ``sent_at`` where the gateway gives them."""

    ref: str
    sender: str
    body: str
    sent_at: datetime | None = None  # aware


@dataclass(frozen=True)
class DeliveryReport:
    """What the network says. ``delivered`` None is a step in between: nothing is settled by it."""

    ref: str
    client_ref: str
    delivered: bool | None
    at: datetime | None = None  # aware
    to: str = ""
    of_part: bool = False  # it speaks of one part only; a longer message is not settled by it


@dataclass(frozen=True)
class Sent:
    """A message that was handed over, as it is asked for; ``ref`` is ``""`` where no id came back."""

    ref: str
    client_ref: str
    to: str  # E.164


@dataclass(frozen=True)
class Callback:
    """One call of a gateway as it came over the wire."""

    kind: Literal["report", "inbound"]
    method: str
    query: str  # as sent, without the question mark
    headers: Mapping[str, str]  # names ignore case
    body: bytes = field(repr=False)
    at: datetime  # when it came

    def header(self, name: str) -> str:
        """The value of a header, or ``""``."""
        return self.headers.get(name, "")


@dataclass(frozen=True)
class Acknowledgement:
    """What a gateway wants to read when its callback was taken."""

    body: str
    content_type: str = "text/plain; charset=utf-8"


class Gateway(Protocol):
    """One way to hand SMS over. Built anew for each use with ``backend(account)``; keeps no state."""

    fields: ClassVar[tuple[ConfigField, ...]]
    secret_label: ClassVar[Any]  # what the gateway's ``secret`` is called; "" where none is needed
    capabilities: ClassVar[Capabilities]
    callback_methods: ClassVar[tuple[str, ...]]  # POST, for some GET
    acknowledgement: ClassVar[Acknowledgement | None]  # None: our own JSON

    def __init__(self, account: Account) -> None: ...

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with a configuration, as ``{field: sentence}``; empty when it can be used."""

    @classmethod
    def is_polled(cls, config: Mapping[str, Any]) -> bool:
        """Whether a gateway with this configuration has its inbox read by us."""

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """Hand one message over within ``deadline_s`` seconds, once. ``to`` is E.164.

        Raises GatewayError, nothing else.
        """

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        """Read the inbox; whatever is returned may be gone from it. Raises GatewayError, nothing else."""

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        """The texts in what ``fetch_inbox`` returned; ValueError when it is no inbox at all."""

    def query_status(self, sent: Sequence[Sent], *, deadline_s: float) -> Sequence[DeliveryReport]:
        """What became of these messages; those it knows nothing of are left out.

        Asked only of a backend with the capability. Raises GatewayError, nothing else.
        """

    def callback_address(self, kind: str) -> str:
        """What a person enters at the provider so that it calls us back with ``kind``; "" when nothing."""

    def is_genuine(self, call: Callback) -> bool:
        """Whether a callback shows the secret or carries the signature; compared in constant time."""

    def unpack(self, call: Callback) -> Sequence[Mapping[str, Any]] | None:
        """The reports or texts in a genuine callback; None leaves its JSON or form to the caller.

        CallbackInvalid, nothing else.
        """

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """One delivery report as decoded from its callback. CallbackInvalid, nothing else."""

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """One incoming SMS as decoded from its callback. CallbackInvalid, nothing else."""
