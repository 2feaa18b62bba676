"""``manage.py sms send|inbox|gateways|modem|decode``: try a gateway from a shell."""

import argparse
import threading
import uuid
from dataclasses import fields
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from platforms.errors import QuotaExceeded
from platforms.models import Platform
from remosa.lib.clock import utcnow
from remosa.lib.redact import mask_msisdn
from remosa.lib.registry import backend
from sms import pdu, services
from sms.errors import SmsError
from sms.models import Gateway, InboundSms, ModemStatus, SmsMessage
from sms.outbox import Pump, owner_name
from sms.states import SmsState

EXIT = {SmsState.SENT: 0, SmsState.DELIVERED: 0, SmsState.UNKNOWN: 3}  # anything else: 1, it was not sent
VALID_FOR = timedelta(minutes=2)
ON_ITS_WAY = (SmsState.CLAIMED, SmsState.SENDING)
LOOK_S = 0.25


class Command(BaseCommand):
    help = "Try SMS gateways: send one SMS, read the inboxes, list the gateways."

    def add_arguments(self, parser: CommandParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True)
        send = deeds.add_parser("send", help="send one SMS; exit code 0 sent, 1 not sent, 3 outcome unknown")
        send.add_argument("to", help="number, for example +79001234567")
        send.add_argument("text")
        send.add_argument(
            "--platform", help="number or name of the platform that pays; may be left out with one"
        )
        send.add_argument("--gateway", type=int, help="number of the gateway to try (see `sms gateways`)")
        send.add_argument("--yes", action="store_true", help="really send it: required outside DEBUG")
        inbox = deeds.add_parser("inbox", help="read the inboxes now and show what came")
        inbox.add_argument("--gateway", type=int, help="only this one")
        deeds.add_parser("gateways", help="list the gateways")
        deeds.add_parser("modem", help="say how the modems feel")
        decode = deeds.add_parser("decode", help="say what a PDU means, as AT+CMGR and +CMT show it")
        decode.add_argument("pdu", help="hexadecimal, with the service centre's address")

    def handle(self, *args: Any, **options: Any) -> None:
        deeds = {
            "send": self.send,
            "inbox": self.inbox,
            "gateways": self.gateways,
            "modem": self.modem,
            "decode": self.decode,
        }
        deeds[options["deed"]](argparse.Namespace(**options))

    def send(self, options: argparse.Namespace) -> None:
        """One SMS through the outbox, to its end."""
        if not (options.yes or settings.DEBUG):
            raise CommandError("This sends a real SMS and spends the platform's limit. Repeat it with --yes.")
        now = utcnow()
        try:
            message = services.enqueue(
                platform=self._platform(options.platform),
                to=options.to,
                body=options.text,
                purpose=SmsMessage.Purpose.TEST,
                dedupe_key=f"test:{uuid.uuid4()}",
                now=now,
                expires_at=now + VALID_FOR,
                for_people=True,
                gateway=self._gateway(options.gateway) if options.gateway is not None else None,
            )
        except (SmsError, QuotaExceeded) as exc:
            raise CommandError(str(exc)) from exc
        Pump(owner_name("shell")).run_one(message.pk)
        self._await_modem(message)
        if message.state == SmsState.QUEUED:  # a test tries once: nobody waits for a second try at a shell
            services.cancel(message, now=utcnow(), reason=message.reason or "cancelled")
        self._say(message)
        if code := EXIT.get(SmsState(message.state), 1):
            raise SystemExit(code)

    def _await_modem(self, message: SmsMessage) -> None:
        """Wait until the process of a modem has sent what was handed to it, or did not take it up in time."""
        message.refresh_from_db()
        while message.state in ON_ITS_WAY or (
            message.state == SmsState.QUEUED
            and message.handed_until is not None
            and message.handed_until > utcnow()
        ):
            threading.Event().wait(LOOK_S)
            message.refresh_from_db()

    def modem(self, options: argparse.Namespace) -> None:
        """One line per modem."""
        for row in ModemStatus.objects.select_related("gateway"):
            said = [str(row.gateway_id), row.gateway.name, row.state, row.detail]
            said += [f"{row.signal_dbm} dBm" if row.signal_dbm is not None else "", row.operator]
            said += [row.balance_text, f"seen {row.seen_at:%Y-%m-%d %H:%M:%S}" if row.seen_at else ""]
            self.stdout.write("\t".join(filter(None, said)))

    def decode(self, options: argparse.Namespace) -> None:
        """One line per field of the PDU."""
        try:
            message = pdu.decode(options.pdu)
        except pdu.PduError as exc:
            raise CommandError(f"This is no PDU that can be read: {exc.reason}.") from exc
        self.stdout.write(type(message).__name__)
        for field in fields(message):
            self.stdout.write(f"{field.name}: {getattr(message, field.name)!r}")
        if isinstance(message, pdu.StatusReport):
            said = pdu.TP_STATUS.get(message.status, "")
            self.stdout.write(f"meaning: {pdu.class_of(message.status)} {said}".rstrip())

    def _say(self, message: SmsMessage) -> None:
        parts = [f"{mask_msisdn(message.to)}: {message.state}"]
        parts += [f"reason: {message.reason}"] if message.reason else []
        parts += [f"gateway: {message.gateway}"] if message.gateway else []
        parts += [f"its id: {message.gateway_ref}"] if message.gateway_ref else []
        self.stdout.write(", ".join(parts))

    def inbox(self, options: argparse.Namespace) -> None:
        """Read now, then show the newest rows that came with it."""
        started = utcnow()
        rows = (
            [self._gateway(options.gateway)]
            if options.gateway
            else list(Gateway.objects.filter(is_enabled=True))
        )
        rows = [row for row in rows if backend("SMS_GATEWAYS", row.kind).capabilities.inbox]
        if not rows:
            raise CommandError("No enabled gateway has an inbox.")
        for row in rows:
            self.stdout.write(f"{row}: {services.read_inbox(row)} new")
            row.refresh_from_db()
            if row.last_error_at is not None and row.last_error_at >= started:
                self.stderr.write(f"{row}: {row.last_error}")
        for sms in InboundSms.objects.filter(gateway__in=rows, received_at__gte=started).select_related(
            "device"
        ):
            self.stdout.write(f"{mask_msisdn(sms.sender)} {sms.device or '-'} {sms.state}: {sms.body!r}")

    def gateways(self, options: argparse.Namespace) -> None:
        """One line per gateway."""
        for row in Gateway.objects.select_related("platform"):
            state = row.breaker if row.is_enabled else "disabled"
            line = f"{row.pk}\t{row.kind}\t{row.name}\t{row.platform or 'shared'}\t{state}"
            self.stdout.write(line + (f"\t{row.last_error}" if row.last_error else ""))

    def _platform(self, wanted: str | None) -> Platform:
        rows = Platform.objects.all()
        if wanted:
            rows = rows.filter(pk=int(wanted)) if wanted.isdecimal() else rows.filter(name=wanted)
        found = list(rows[:2])
        if len(found) != 1:
            raise CommandError("Name the platform that pays with --platform, by its number or exact name.")
        return found[0]

    def _gateway(self, number: int) -> Gateway:
        row = Gateway.objects.filter(pk=number).select_related("platform").first()
        if row is None:
            raise CommandError(f"No gateway {number}. `sms gateways` lists them.")
        return row
