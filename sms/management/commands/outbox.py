"""``manage.py outbox``: the process that sends SMS and reads the gateways' inboxes."""

import signal
import threading
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser

from remosa.lib.registry import backend
from sms.outbox import Pump, owner_name
from sms.worker import Worker

KNOWS_GATEWAYS_S = (
    5.0  # a new gateway is used after this time at the latest; what is changed or stopped, at once
)


class Command(BaseCommand):
    help = "Send what is in the outbox and read the gateways' inboxes, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=settings.OUTBOX_THREADS, help="SMS sent at once")
        parser.add_argument(
            "--poll", type=float, default=settings.OUTBOX_POLL_S, help="seconds between two looks"
        )
        parser.add_argument("--once", action="store_true", help="settle, drain, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        # one sender stays free of each platform, whatever its gateway does
        pump = Pump(
            owner_name("outbox"), at_once=max(1, options["threads"] - 1), knows_gateways_s=KNOWS_GATEWAYS_S
        )
        if options["once"]:
            self.stdout.write(str(pump.run_once(threads=options["threads"])))
            return
        for kind in settings.SMS_GATEWAYS:  # what they import must not hold up the first SMS
            with suppress(ImproperlyConfigured):  # said where it is used
                backend("SMS_GATEWAYS", kind)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("outbox: started")
        Worker(pump, threads=max(1, options["threads"]), poll_s=options["poll"], stop=stop).run()
        self.stdout.write("outbox: stopped")
