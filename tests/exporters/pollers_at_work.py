"""Pollers as processes of their own, and a CMS of our own beside them, for the tests of the poller."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from tests.exporters.cms import Answer, Cms, running_cms
from tests.servers import process


@contextmanager
def cms_at_work(answer: Answer) -> Iterator[Cms]:
    """``running_cms`` in a thread, for tests that are not asynchronous."""
    ready, done = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        stop = asyncio.Event()
        async with running_cms(answer) as cms:
            done.extend([cms, stop])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    cms, stop = done
    try:
        yield cms
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def start_poller(
    start_child: Callable[..., process.Child], *arguments: str, lease_s: float = 30.0
) -> process.Child:
    """``manage.py poll`` on the database of this test, which therefore must commit (``transaction=True``)."""
    env = {
        "PATH": os.environ["PATH"],
        "DEBUG": "1",
        "DATABASE_URL": database_url(),
        "EGRESS_ALLOW": "127.0.0.0/8",
        "POLLER_LEASE_S": str(lease_s),
        "PYTHONWARNINGS": "error::ResourceWarning",
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        "AUDIT_KEYS": ",".join(settings.AUDIT_KEYS),
    }
    return start_child([sys.executable, "manage.py", "poll", *arguments], env=env, cwd=settings.BASE_DIR)


def wait_for(
    is_true: Callable[[], object], *pollers: process.Child, what: str, deadline_s: float = 60.0
) -> None:
    """Wait until it is true; RuntimeError with its last words when one of the pollers ends before."""

    def checked() -> object:
        for poller in pollers:
            if not poller.is_running:
                raise RuntimeError(f"a poller ended: {poller.output()}")
        return is_true()

    process.wait_until(checked, deadline_s=deadline_s, what=what)


def database_url() -> str:
    """The URL of the database that this test uses."""
    used = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{used['NAME']}"
    return f"postgres://{used['USER']}:{used['PASSWORD']}@{used['HOST']}:{used['PORT']}/{used['NAME']}"
