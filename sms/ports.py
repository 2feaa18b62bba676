"""What ``sms`` asks of a gateway backend. The backends are named in ``settings.SMS_GATEWAYS``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from sms.errors import CallbackInvalid, GatewayError

__all__ = [
    "Accepted",
    "Account",
    "CallbackInvalid",
    "Capabilities",
    "ConfigField",
    "DeliveryReport",
    "Gateway",
    "GatewayError",
    "InboundText",
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


@dataclass(frozen=True)
class Account:
    """One configured gateway as its backend sees it. ``secret`` is decrypted and never shown."""

    gateway_id: int
    config: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    sender: str = ""  # our own number, E.164; "" where it is not known
    validity_s: int = 300  # how long the network may try to deliver
    time_zone: str = "UTC"  # of times that come without one


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


class Gateway(Protocol):
    """One way to hand SMS over. Built anew for each use with ``backend(account)``; keeps no state."""

    fields: ClassVar[tuple[ConfigField, ...]]
    secret_label: ClassVar[Any]  # what the gateway's ``secret`` is called; "" where none is needed
    capabilities: ClassVar[Capabilities]

    def __init__(self, account: Account) -> None: ...

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with a configuration, as ``{field: sentence}``; empty when it can be used."""

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        """Hand one message over within ``deadline_s`` seconds, once. ``to`` is E.164.

        Raises GatewayError, nothing else.
        """

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        """Read the inbox; whatever is returned may be gone from it. Raises GatewayError, nothing else."""

    def parse_inbox(self, raw: bytes) -> Sequence[InboundText]:
        """The texts in what ``fetch_inbox`` returned; ValueError when it is no inbox at all."""

    def parse_report(self, data: Mapping[str, Any]) -> DeliveryReport:
        """One delivery report as decoded from its callback. CallbackInvalid, nothing else."""

    def parse_inbound(self, data: Mapping[str, Any]) -> InboundText:
        """One incoming SMS as decoded from its callback. CallbackInvalid, nothing else."""
