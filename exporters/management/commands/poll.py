"""``manage.py poll``: the poller process, or one round by hand."""

import asyncio
import resource
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from exporters.models import Exporter
from exporters.polling import Pace, Round, open_loop

FILES = 65_536  # sockets are files: each exporter may have up to 256 open


class Command(BaseCommand):
    help = "Poll every exporter on its interval until SIGTERM or Ctrl-C. --once: whatever is due, then end."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="poll what is due now, and end")
        parser.add_argument(
            "--exporter",
            type=int,
            action="append",
            help="with --once: only this exporter, whether it is due or not (may be repeated)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        allow_many_files()
        pace = Pace(lease_s=settings.POLLER_LEASE_S, rounds_at_once=settings.POLLER_ROUNDS)
        only = options["exporter"]
        if only:
            Exporter.objects.filter(pk__in=only).update(next_poll_at=None)
        with asyncio.Runner(loop_factory=fast_loop) as runner:
            if options["once"] or only:
                for done in runner.run(poll_once(pace, only)):
                    self.stdout.write(describe(done))
            else:
                runner.run(self.poll_until_stopped(pace))

    async def poll_until_stopped(self, pace: Pace) -> None:
        """The process: SIGTERM and Ctrl-C end it in good order."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self.stdout.write("poll: started")
        self.stdout.flush()
        async with open_loop(pace) as loop:
            await loop.run(stop)


async def poll_once(pace: Pace, only: list[int] | None) -> list[Round]:
    """One round of each exporter that is due."""
    async with open_loop(pace) as loop:
        return await loop.run_once(only=only)


def fast_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where there is one: it halves the CPU of a request."""
    try:
        import uvloop  # not on every system
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def allow_many_files() -> None:
    """Raise the soft limit of open files towards the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def describe(done: Round) -> str:
    """One line for people."""
    stored = done.stored
    if stored is None:
        return _("exporter %(id)s: the round was not stored") % {"id": done.work.exporter_id}
    why = stored.suspect_reason or ", ".join(sorted(stored.errors))
    return _(
        "exporter %(id)s: %(up)s; online %(online)d, offline %(offline)d, no data %(unknown)d; %(s).2f s%(why)s"
    ) % {
        "id": done.work.exporter_id,
        "up": _("the CMS answers") if stored.is_up else _("the CMS does not answer"),
        "online": stored.online,
        "offline": stored.offline,
        "unknown": stored.unknown,
        "s": stored.duration_s,
        "why": f" ({why})" if why else "",
    }
