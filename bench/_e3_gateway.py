"""The gateway of E3."""

from typing import Any, ClassVar

from bench._outbox import note
from sms.gateways.base import Backend
from sms.ports import Accepted


class NotingGateway(Backend):
    """Notes the moment and accepts."""

    fields: ClassVar[tuple[Any, ...]] = ()

    def send(self, to: str, body: str, *, client_ref: str, deadline_s: float) -> Accepted:
        note(client_ref)
        return Accepted(ref=client_ref, parts=1)
