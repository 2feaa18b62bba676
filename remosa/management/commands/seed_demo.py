"""``manage.py seed_demo``: the demo platform for the simulator."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from remosa.demo import seed


class Command(BaseCommand):
    help = "Make the demo platform of 60 players and 20 sockets, or bring its addresses up to date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--simulator-url", default="http://127.0.0.1:8100", help="where the simulator listens"
        )
        parser.add_argument(
            "--minute", type=float, default=2.0, help="length of the simulator's minute, seconds"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        platform = seed(simulator_url=options["simulator_url"], minute_s=options["minute"])
        self.stdout.write(f"Platform {platform.pk}: {platform.name}")
