"""``manage.py modem``: the process that holds the GSM modems."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sms.models import Gateway
from sms.modem_keeper import KIND, Supervisor


class Command(BaseCommand):
    help = "Send and receive SMS through the serial GSM modems, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--gateway", type=int, help="number of one gateway of kind modem; without it, all of them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["gateway"]
        if wanted is not None and not Gateway.objects.filter(pk=wanted, kind=KIND).exists():
            raise CommandError(f"Gateway {wanted} is no modem. `sms gateways` lists the gateways.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("modem: started")
        Supervisor(stop, gateway_id=wanted).run()
        self.stdout.write("modem: stopped")
