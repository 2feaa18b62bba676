"""Commands by SMS: the implementation of ``devices``' CommandTransport."""

from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from devices.errors import TransportRefused
from devices.models import Command, Device
from devices.ports import Quote
from platforms.errors import QuotaExceeded
from remosa.lib.clock import utcnow
from sms.errors import SmsInvalid
from sms.models import Gateway, SmsMessage
from sms.segments import count
from sms.services import messages
from sms.services.gateways import choose_gateway
from sms.states import SmsState

MOST_COUNTED = 1000  # no limit of automation is higher


class SmsCommandTransport:
    """Turns a command into one row of the outbox."""

    def send(self, command: Command, *, now: datetime) -> None:
        """See the port. Refuses with ``no_number``, ``too_long``, ``bad_text`` or ``quota``.

        A command is one SMS in the GSM alphabet or nothing: half of a command must never arrive.
        """
        if not command.device.msisdn:
            raise TransportRefused("no_number")
        try:
            segments = messages.measure(command.body)
            if segments.parts > 1 or segments.encoding != "gsm7":
                raise TransportRefused("too_long")
            messages.enqueue(
                platform=command.platform,
                to=command.device.msisdn,
                body=command.body,
                purpose=SmsMessage.Purpose.COMMAND,
                dedupe_key=f"command:{command.pk}",
                now=now,
                expires_at=command.expires_at,
                for_people=command.actor_id is not None or command.source == Command.Source.RESTORE,
                beyond_limit=command.is_owed,
                command=command,
                gateway=_gateway_to_avoid(command),
            )
        except QuotaExceeded as exc:
            raise TransportRefused("quota") from exc
        except SmsInvalid as exc:
            raise TransportRefused("bad_number" if "to" in exc.fields else "bad_text") from exc

    def cancel(self, command: Command, *, now: datetime) -> bool:
        """See the port: an SMS that is being sent cannot be called back."""
        message = SmsMessage.objects.filter(command=command).select_related("platform", "command").first()
        return message is None or messages.cancel(message, now=now, reason="command_cancelled")

    def quote(self, command: Command) -> Quote:
        """See the port. Without a gateway the price is zero, and unknown."""
        segments = count(command.body).parts
        gateway = choose_gateway(command.platform_id, now=utcnow(), labels=command.device.labels)
        price, currency = (gateway.price, gateway.currency) if gateway else (Decimal(0), "")
        return Quote(segments, price * segments, currency, lane=f"device:{command.device_id}")

    def lately(self, device: Device, *, since: datetime) -> list[datetime]:
        """See the port: what went through the gateway, and what waits on the platform for any."""
        gateway = choose_gateway(device.platform_id, now=utcnow(), labels=device.labels)
        mine = Q(gateway=None, state=SmsState.QUEUED, platform=device.platform_id)
        if gateway is not None:
            mine |= Q(gateway=gateway)
        rows = SmsMessage.objects.filter(mine, created_at__gt=since, command__source=Command.Source.JOB)
        return list(rows.order_by("created_at").values_list("created_at", flat=True)[:MOST_COUNTED])


def _gateway_to_avoid(command: Command) -> Gateway | None:
    """The gateway of the last try of the same command in one story of restoring power: another one goes first."""
    if command.restoration_id is None:
        return None
    tries = SmsMessage.objects.filter(
        command__restoration=command.restoration_id, command__template=command.template_id
    )
    last = tries.exclude(gateway=None).order_by("-created_at").select_related("gateway").first()
    return last.gateway if last else None
