"""``manage.py sms send|inbox|gateways|modem|decode``: try a gateway from a shell.

What is said goes to standard output, as lines or with ``--json`` as one document. Exit codes: 0 all is
well, 1 it is not (not sent, an inbox not read, a gateway suspended, a modem not ready, no PDU),
2 wrong usage, 3 the outcome of a send is unknown.
"""

import argparse
import contextlib
import json
import sys
import threading
import uuid
from dataclasses import asdict, fields, is_dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from platforms.errors import QuotaExceeded
from platforms.models import Platform
from remosa.lib.clock import utcnow
from remosa.lib.phones import normalise_msisdn
from remosa.lib.redact import mask_msisdn, redact
from remosa.lib.registry import backend
from sms import pdu, services
from sms.errors import SmsError
from sms.models import Gateway, InboundSms, ModemStatus, SmsMessage
from sms.outbox import Pump, owner_name
from sms.queue import MODEM_SILENT
from sms.services.inboxes import look_into
from sms.states import SmsState

EXIT = {SmsState.SENT: 0, SmsState.DELIVERED: 0, SmsState.UNKNOWN: 3}  # anything else: 1, it was not sent
VALID_FOR = timedelta(minutes=2)
ON_ITS_WAY = (SmsState.CLAIMED, SmsState.SENDING)
LOOK_S = 0.25
WORDS = {
    "closed": "working",
    "open": "suspended",
    "disabled": "disabled",
}  # to people a closed breaker says little
READY = ModemStatus.State.READY


class WrongUsage(CommandError):
    """Nothing was tried: what was asked for has to be changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class Command(BaseCommand):
    help = "Try SMS gateways: send one SMS, read the inboxes, list gateways and modems, decode a PDU."

    def add_arguments(self, parser: CommandParser) -> None:
        shared: Any = argparse.ArgumentParser(add_help=False)
        shared.add_argument("--json", action="store_true", help="say it as one JSON document")
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="send|inbox|gateways|modem|decode")
        send = deeds.add_parser(
            "send", parents=[shared], help="send one SMS; exit code 0 sent, 1 not sent, 3 outcome unknown"
        )
        send.add_argument(
            "to", help="number, for example +79001234567; outside DEBUG one of SMS_SHELL_NUMBERS"
        )
        send.add_argument("text")
        send.add_argument(
            "--platform", help="number or name of the platform that pays; may be left out with one"
        )
        send.add_argument("--gateway", type=int, help="number of the gateway to try (see `sms gateways`)")
        send.add_argument("--yes", action="store_true", help="really send it: required outside DEBUG")
        inbox = deeds.add_parser(
            "inbox", parents=[shared], help="read the inboxes now and show what came; 1: one was not read"
        )
        inbox.add_argument("--gateway", type=int, help="only this one")
        deeds.add_parser(
            "gateways", parents=[shared], help="list the gateways; 1: an enabled one is suspended"
        )
        deeds.add_parser("modem", parents=[shared], help="say how the modems feel; 1: one is not ready")
        decode = deeds.add_parser(
            "decode", parents=[shared], help="say what a PDU means, as AT+CMGR and +CMT show it"
        )
        decode.add_argument("pdu", help="hexadecimal, with the service centre's address")

    def handle(self, *args: Any, **options: Any) -> None:
        deeds = {
            "send": self.send,
            "inbox": self.inbox,
            "gateways": self.gateways,
            "modem": self.modem,
            "decode": self.decode,
        }
        if code := deeds[options["deed"]](argparse.Namespace(**options)):
            raise SystemExit(code)

    def _say(self, options: argparse.Namespace, told: Any, lines: list[str]) -> None:
        """``told`` for machines, or ``lines`` for people."""
        said = json.dumps(told, ensure_ascii=False, default=str) if options.json else "\n".join(lines)
        if said:
            self.stdout.write(said)

    def send(self, options: argparse.Namespace) -> int:
        """One SMS through the outbox, to its end."""
        self._check_permitted(options)
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
        except SmsError as exc:
            raise WrongUsage(str(exc)) from exc
        except QuotaExceeded as exc:
            raise CommandError(str(exc)) from exc
        with contextlib.redirect_stdout(sys.stderr):  # a gateway may print; ours is the one document
            Pump(owner_name("shell")).run_one(message.pk)
        self._await_modem(message)
        if message.state == SmsState.QUEUED:  # a test tries once: nobody waits for a second try at a shell
            services.cancel(message, now=utcnow(), reason=message.reason or "cancelled")
        told = {
            "id": message.pk, "to": mask_msisdn(message.to), "state": message.state, "reason": message.reason,
            "gateway": message.gateway_id, "gateway_name": message.gateway.name if message.gateway else "",
            "its_id": message.gateway_ref, "segments": message.segments,
        }  # fmt: skip
        said = [f"{told['to']}: {message.state}"]
        said += [f"reason: {message.reason}"] if message.reason else []
        said += [f"gateway: {message.gateway}"] if message.gateway else []
        said += [f"its id: {message.gateway_ref}"] if message.gateway_ref else []
        self._say(options, told, [", ".join(said)])
        return EXIT.get(SmsState(message.state), 1)

    def _check_permitted(self, options: argparse.Namespace) -> None:
        """A shell has no rights of its own: outside development it reaches the operator's test numbers only."""
        if settings.DEBUG:
            return
        try:
            wanted = normalise_msisdn(options.to)
        except ValueError as exc:
            raise WrongUsage(str(exc)) from exc
        if wanted not in {_number(text) for text in settings.SMS_SHELL_NUMBERS}:
            raise WrongUsage(
                f"{mask_msisdn(wanted)} is not among the numbers that may be tried from a shell. "
                "Name them in SMS_SHELL_NUMBERS, with commas."
            )
        if not options.yes:
            raise WrongUsage("This sends a real SMS and spends the platform's limit. Repeat it with --yes.")

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

    def modem(self, options: argparse.Namespace) -> int:
        """One line per modem, also of one whose process has never said a word or has fallen silent."""
        names = (
            "state_changed_at", "detail", "seen_at", "model_name", "signal_dbm", "registration", "operator",
            "balance_text", "balance_at", "resets",
        )  # fmt: skip
        heard = {row.gateway_id: row for row in ModemStatus.objects.all()}
        told: list[dict[str, Any]] = []
        lines, now = [], utcnow()
        for gateway in Gateway.objects.filter(kind="modem"):
            row = heard.get(gateway.pk) or ModemStatus(gateway=gateway)
            is_silent = row.seen_at is None or now - row.seen_at > MODEM_SILENT
            state = "silent" if is_silent else str(row.state)
            facts = {name: getattr(row, name) for name in names}
            told.append({"gateway": gateway.pk, "name": gateway.name, "state": state, **facts})
            said = [str(gateway.pk), gateway.name, state, row.detail]
            said += [f"{row.signal_dbm} dBm" if row.signal_dbm is not None else "", row.operator]
            said += [row.balance_text, f"seen {row.seen_at:%Y-%m-%d %H:%M:%S}" if row.seen_at else ""]
            said += ["is `manage.py modem` running?" if is_silent else ""]
            lines.append("\t".join(filter(None, said)) + ("" if gateway.is_enabled else "\tdisabled"))
        self._say(options, told, lines)
        enabled = set(Gateway.objects.filter(kind="modem", is_enabled=True).values_list("pk", flat=True))
        return int(any(row["gateway"] in enabled and row["state"] != READY for row in told))

    def decode(self, options: argparse.Namespace) -> int:
        """One line per field of the PDU."""
        try:
            message = pdu.decode(options.pdu)
        except pdu.PduError as exc:
            raise CommandError(f"This is no PDU that can be read: {exc.reason}.") from exc
        found = {field.name: getattr(message, field.name) for field in fields(message)}
        lines = [type(message).__name__, *(f"{name}: {value!r}" for name, value in found.items())]
        told = {"type": type(message).__name__} | {name: _plain(value) for name, value in found.items()}
        if isinstance(message, pdu.StatusReport):
            words = pdu.TP_STATUS.get(message.status, "")
            told |= {"class": pdu.class_of(message.status), "meaning": words}
            lines.append(f"meaning: {told['class']} {words}".rstrip())
        self._say(options, told, lines)
        return 0

    def inbox(self, options: argparse.Namespace) -> int:
        """Read now, then show the newest rows that came with it."""
        started = utcnow()
        rows = (
            [self._gateway(options.gateway)]
            if options.gateway is not None
            else list(Gateway.objects.filter(is_enabled=True).select_related("platform"))
        )
        rows = [row for row in rows if backend("SMS_GATEWAYS", row.kind).capabilities.inbox]
        if not rows:
            raise CommandError("No enabled gateway has an inbox.")
        read, lines = [], []
        for row in rows:
            new, failed = look_into(row)
            error = str(failed or "")
            read.append({"gateway": row.pk, "name": row.name, "new": new, "error": error})
            lines.append(f"{row}: {new} new")
            if error:
                self.stderr.write(f"{row}: {error}")
        came = InboundSms.objects.filter(gateway__in=rows, received_at__gte=started).select_related("device")
        texts = [
            {"id": sms.pk, "gateway": sms.gateway_id, "from": mask_msisdn(sms.sender), "text": redact(sms.body),
             "device": sms.device.name if sms.device else "", "state": sms.state, "reason": sms.reason}
            for sms in came
        ]  # fmt: skip
        lines += [f"{sms['from']} {sms['device'] or '-'} {sms['state']}: {sms['text']!r}" for sms in texts]
        self._say(options, {"read": read, "came": texts}, lines)
        return int(any(row["error"] for row in read))

    def gateways(self, options: argparse.Namespace) -> int:
        """One line per gateway."""
        told, lines = [], []
        for row in Gateway.objects.select_related("platform"):
            state = str(row.breaker) if row.is_enabled else "disabled"
            said = [str(row.pk), row.kind, row.name, str(row.platform or "shared"), WORDS[state]]
            if state == Gateway.Breaker.OPEN and row.breaker_since is not None:
                said[-1] += f" since {row.breaker_since:%Y-%m-%d %H:%M:%S}"
            said += [
                f"last worked {row.last_ok_at:%Y-%m-%d %H:%M:%S}" if row.last_ok_at else "never used yet"
            ]
            lines.append("\t".join([*said, *([row.last_error] if row.last_error else [])]))
            names = (
                "kind", "name", "priority", "price", "currency", "rate_per_minute", "validity_s", "breaker_since",
                "breaker_until", "last_ok_at", "last_error", "last_error_at",
            )  # fmt: skip
            facts = {name: getattr(row, name) for name in names}
            told.append({"id": row.pk, "platform": row.platform_id, "state": state, **facts})
        self._say(options, told, lines)
        return int(any(row["state"] == Gateway.Breaker.OPEN for row in told))

    def _platform(self, wanted: str | None) -> Platform:
        rows = Platform.objects.all()
        if wanted:
            rows = rows.filter(pk=int(wanted)) if wanted.isdecimal() else rows.filter(name=wanted)
        found = list(rows[:2])
        if len(found) != 1:
            raise WrongUsage("Name the platform that pays with --platform, by its number or exact name.")
        return found[0]

    def _gateway(self, number: int) -> Gateway:
        row = Gateway.objects.filter(pk=number).select_related("platform").first()
        if row is None:
            raise WrongUsage(f"No gateway {number}. `sms gateways` lists them.")
        return row


def _number(text: str) -> str:
    try:
        return normalise_msisdn(text)
    except ValueError:
        return ""


def _plain(value: Any) -> Any:
    """A field of a PDU as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
