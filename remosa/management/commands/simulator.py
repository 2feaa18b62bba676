"""``manage.py simulator``: the simulated CMS, SMS gateway, sockets and players on one local port."""

import asyncio
import re
import signal
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from remosa.lib.phones import normalise_msisdn
from remosa.simulator.commands import catalogue_reader
from remosa.simulator.faults import DEMO_FAULTS, NO_FAULTS
from remosa.simulator.fleet import GATEWAY_MSISDN
from remosa.simulator.servers import SimulatorServer
from remosa.simulator.world import HABITS, QUIET, World

UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


def duration_s(text: str) -> float:
    """Seconds of ``2s``, ``500ms``, ``1m`` or a bare number. Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text.strip())
    if match is None or float(match[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is not a duration. Write 2s, 500ms or 1m.")
    return float(match[1]) * UNITS_S[match[2]]


class Command(BaseCommand):
    help = "Run the simulated CMS, SMS gateway, sockets and players (needs no database)."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--minute", type=duration_s, default=60.0, help="length of a minute: 2s, 500ms, 1m"
        )
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8100, help="port to listen on, 0 takes a free one")
        parser.add_argument("--seed", type=int, default=1, help="the same seed tells the same story")
        parser.add_argument("--sender", default=GATEWAY_MSISDN, help="the number that the sockets obey")
        parser.add_argument("--no-hangs", action="store_true", help="players hang only when told to")
        parser.add_argument("--no-losses", action="store_true", help="lose no SMS and answer in time")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sender = normalise_msisdn(options["sender"])
        except ValueError as exc:
            raise CommandError(f"--sender: {exc}") from exc
        world = World(
            understand=catalogue_reader(),
            minute_s=options["minute"],
            seed=options["seed"],
            habits=QUIET if options["no_hangs"] else HABITS,
            faults=NO_FAULTS if options["no_losses"] else DEMO_FAULTS,
            gateway_msisdn=sender,
        )
        asyncio.run(self._serve(world, host=options["host"], port=options["port"]))

    async def _serve(self, world: World, *, host: str, port: int) -> None:
        """Listen until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = SimulatorServer(world, host=host, port=port)
        try:
            await server.start()
        except OSError as exc:
            raise CommandError(
                f"Cannot listen on {host}:{port}: {exc.strerror}. Choose another --port."
            ) from exc
        self.stdout.write(
            f"Simulator {server.base_url} Cubic {server.cubic_url} Addreality {server.addreality_url} "
            f"SMS gateway {server.sms_url} control {server.base_url}/control/state"
        )
        self.stdout.flush()
        await stop.wait()
        await server.stop()
