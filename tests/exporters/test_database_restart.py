"""The database restarts in the middle of a round: no round is doubled, no target lost, and polling goes on."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from aiohttp import web
from django.conf import settings as project

from tests.exporters.pollers_at_work import cms_at_work, wait_for
from tests.servers import process
from tests.servers.availability import ServerMissing, skip_or_fail
from tests.servers.postgres import PostgresServer, throwaway_postgres

pytestmark = pytest.mark.timeout(600)
TARGETS = 20
ROUNDS = "SELECT started_at, finished_at, online FROM exporters_pollround ORDER BY started_at"
SEED = """
from devices.models import Device
from exporters.models import Exporter, ExporterTarget
from platforms.models import Platform
platform = Platform.objects.create(name="north")
exporter = Exporter.objects.create(platform=platform, name="cms", kind="cubic", base_url={url!r}, interval_s=1)
for number in range({count}):
    mac = f"02:00:00:00:00:{{number:02x}}"
    device = Device.objects.create(platform=platform, name=mac, mac=mac)
    ExporterTarget.objects.create(exporter=exporter, device=device, external_id=mac)
"""


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A cluster that this test may stop."""
    try:
        with throwaway_postgres() as server:
            yield server
    except ServerMissing as exc:
        skip_or_fail(exc)


def environment(server: PostgresServer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "DEBUG": "1", "DATABASE_URL": server.url, "EGRESS_ALLOW": "127.0.0.0/8",
        "POLLER_LEASE_S": "20", "DJANGO_SETTINGS_MODULE": "tests.exporters.tables_at_once",
    }  # fmt: skip


def manage(server: PostgresServer, *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(
        command, env=environment(server), cwd=project.BASE_DIR, check=True, capture_output=True, timeout=300
    )


def ask(server: PostgresServer, query: str) -> list[Any]:
    with psycopg.connect(server.url, connect_timeout=5) as connection:
        return connection.execute(query).fetchall()


def test_a_round_survives_a_restart_of_the_database(
    own_postgres: PostgresServer, start_child: Callable[..., process.Child]
):
    asked: list[str] = []
    let_go = threading.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["mac"])
        while not let_go.is_set():
            await asyncio.sleep(0.01)
        return web.json_response([{"status": "online"}])

    with cms_at_work(answer) as cms:
        manage(own_postgres, "migrate", "--run-syncdb", "--verbosity", "0")
        manage(own_postgres, "shell", "-c", SEED.format(url=cms.base_url, count=TARGETS))
        command = [sys.executable, "manage.py", "poll"]
        poller = start_child(command, env=environment(own_postgres), cwd=project.BASE_DIR)
        wait_for(lambda: asked, poller, what="the first question", deadline_s=120)
        own_postgres.interrupt()
        let_go.set()
        wait_for(lambda: len(asked) >= TARGETS, poller, what="the end of the asking")
        first = list(asked)
        own_postgres.resume()

        count = "SELECT count(*) FROM exporters_pollround"
        wait_for(lambda: ask(own_postgres, count)[0][0] >= 2, poller, what="two rounds", deadline_s=120)
        rounds = ask(own_postgres, ROUNDS)
        code = poller.stop()

    assert sorted(first) == sorted(set(first))  # nobody was asked twice in the round that was hit
    assert [online for _start, _end, online in rounds] == [TARGETS] * len(rounds)
    ends = [end for _start, end, _online in rounds]
    assert all(
        begin >= end for (begin, _e, _o), end in zip(rounds[1:], ends, strict=False)
    )  # one after another
    assert code == 0
