"""A gateway at the port that does what it is told, and rows to work with."""

import itertools
import uuid
from datetime import timedelta
from typing import Any, ClassVar

from devices.models import Command
from devices.services import request_command
from platforms.models import Platform
from sms.errors import GatewayError
from sms.gateways.base import Backend
from sms.models import Gateway, SmsMessage
from sms.ports import Accepted, Capabilities, InboundText
from sms.services import enqueue
from tests.factories import NOW, make_gateway, make_socket

_keys = itertools.count(1)


class FakeGateway(Backend):
    """Answers from ``script`` (an error, or anything else for an acceptance), then accepts."""

    capabilities = Capabilities(inbox=True)
    script: ClassVar[list[Any]] = []
    sent: ClassVar[list[tuple[int, str, str]]] = []  # (gateway, to, body)
    texts: ClassVar[list[InboundText]] = []
    on_send: ClassVar[Any] = None  # called with the client_ref while the message is on the wire

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        FakeGateway.sent.append((self.account.gateway_id, to, body))
        if FakeGateway.on_send is not None:
            FakeGateway.on_send(client_ref)
        answer = FakeGateway.script.pop(0) if FakeGateway.script else None
        if isinstance(answer, Exception):
            raise answer
        return Accepted(ref=f"ref-{client_ref}", parts=1)

    def fetch_inbox(self, *, deadline_s: float) -> bytes:
        answer = FakeGateway.script.pop(0) if FakeGateway.script else b"batch"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def parse_inbox(self, raw: bytes) -> list[InboundText]:
        if raw == b"<html>":
            raise ValueError("no inbox")
        return list(FakeGateway.texts)


def use_fake_gateway(settings: Any) -> type[FakeGateway]:
    """Register the fake as the kind ``fake`` and empty its memory."""
    settings.SMS_GATEWAYS = {**settings.SMS_GATEWAYS, "fake": "tests.sms.fakes.FakeGateway"}
    FakeGateway.script, FakeGateway.sent, FakeGateway.texts, FakeGateway.on_send = [], [], [], None
    return FakeGateway


def not_sent(**over: Any) -> GatewayError:
    return GatewayError("refused", outcome="not_sent", **over)


def rejected(**over: Any) -> GatewayError:
    return GatewayError("http_400", outcome="rejected", **over)


def unknown(**over: Any) -> GatewayError:
    return GatewayError("reset", outcome="unknown", **over)


def make_fake(platform: Platform | None = None, **fields: Any) -> Gateway:
    fields.setdefault("rate_per_minute", 6000)
    return make_gateway(platform, kind="fake", price="2.50", **fields)


def make_notice(platform: Platform, **over: Any) -> SmsMessage:
    """An SMS to a person, due at NOW."""
    wanted = {
        "to": "+79161234567",
        "body": "Экран не отвечает",
        "purpose": SmsMessage.Purpose.NOTICE,
        "dedupe_key": f"notice:{next(_keys)}",
        "now": NOW,
        "expires_at": NOW + timedelta(minutes=5),
    }
    return enqueue(platform=platform, **{**wanted, **over})


def make_command(platform: Platform, *, device: Any = None, **over: Any) -> Command:
    """A power cycle asked for by a job, queued with its SMS."""
    wanted = {
        "template_key": "power_cycle",
        "params": {"minutes": 1},
        "source": "job",
        "idem_key": f"key:{next(_keys)}",
        "cause_id": uuid.uuid4(),
        "now": NOW,
        "ttl": timedelta(minutes=5),
    }
    return request_command(device=device or make_socket(platform), **{**wanted, **over})
