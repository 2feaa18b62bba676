"""Commands as tests of this app and of the apps above need them."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from devices.models import Command, Device
from devices.services import refusal_at_barrier, request_command
from sms.models import SmsMessage
from tests.factories import NOW

CONFIRMED = "OUT1 OFF 1 MIN"  # what a socket answers to a power cycle of one minute
STATUS = "OUT1 ON; T=21C; MAINS OK; GSM 21"


def after(**span: float) -> datetime:
    """A moment after NOW."""
    return NOW + timedelta(**span)


def ask(socket: Device, template: str = "power_cycle", **over: Any) -> Command:
    """A command of a job, by default a power cycle."""
    wanted: dict[str, Any] = {
        "template_key": template, "params": {"minutes": 1} if template == "power_cycle" else {}, "source": "job",
        "idem_key": f"key:{uuid.uuid4()}", "cause_id": uuid.uuid4(), "now": NOW,
    }  # fmt: skip
    return request_command(device=socket, **{**wanted, **over})


def pass_barrier(command: Command, *, at: datetime = NOW) -> None:
    """The outbox asked, nobody objected: from now on the SMS may have left."""
    refusal = refusal_at_barrier(command.pk, now=at)
    assert refusal is None, refusal


def sms_of(command: Command) -> SmsMessage | None:
    return SmsMessage.objects.filter(command=command).first()


def state_of(command: Command) -> str:
    return Command.objects.values_list("state", flat=True).get(pk=command.pk)


def steps_of(command: Command) -> list[tuple[str, str]]:
    return list(command.events.order_by("pk").values_list("from_state", "to_state"))
