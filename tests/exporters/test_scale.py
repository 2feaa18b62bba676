"""Prometheus scrapes a large platform round after round while everything changes: no gap, no lie, no target down."""

import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings as project
from django.db import connection

from devices.models import Device
from exporters.models import ExporterTarget
from exporters.ports import Observation, RoundResult, Status
from exporters.services import remove_targets, store_round
from platforms import tokens
from remosa.lib.clock import utcnow
from tests.factories import make_exporter
from tests.servers import process
from tests.servers.ports import free_port
from tests.servers.web_server import DIRECTLY

STATUS = "remosa_exporter_cubic_device_status"
DURATION = "remosa_exporter_poll_duration_seconds"
INFO = "remosa_exporter_cubic_device_info"
MOST_MB = 300  # of the process that Prometheus scrapes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(3600)]


class Fleet:
    """What the CMS would say of each device: the truth that Prometheus is compared with."""

    def __init__(self, platform, count):
        self.chance, self.rounds = random.Random(count), 0
        self.exporter = make_exporter(platform, interval_s=3600)
        self.devices = {
            f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}": {
                "name": f"Плеер {number}", "ip": "10.0.0.1", "status": Status.ONLINE,
            }
            for number in range(count)
        }  # fmt: skip
        rows = Device.objects.bulk_create(
            [Device(platform=platform, name=mac, mac=mac) for mac in self.devices], batch_size=500
        )
        ExporterTarget.objects.bulk_create(
            [ExporterTarget(exporter=self.exporter, device=row, external_id=row.mac) for row in rows],
            batch_size=500,
        )

    def live_a_while(self):
        """Renames, other addresses, players that come and go, some that nobody can ask about, some removed."""
        macs = list(self.devices)
        some = max(1, len(macs) // 100)
        for mac in self.chance.sample(macs, some):
            self.devices[mac]["name"] = f'Зал "{self.chance.random()}" \\ №1'
        for mac in self.chance.sample(macs, some):
            self.devices[mac]["ip"] = f"10.1.{self.chance.randrange(256)}.{self.chance.randrange(256)}"
        for mac in self.chance.sample(macs, 3 * some):
            self.devices[mac]["status"] = self.chance.choice([Status.ONLINE, Status.OFFLINE, Status.UNKNOWN])
        gone = self.chance.sample(macs, max(1, some // 5))
        remove_targets(exporter=self.exporter, external_ids=gone)
        for mac in gone:
            del self.devices[mac]

    def poll(self, *, outage=False):
        """One round, stored as a poller stores it."""
        now = utcnow()
        self.rounds += 1  # told as its duration: by that a scrape shows which round it saw
        seen = tuple(
            Observation(mac, Status.UNKNOWN, {}, "timeout")
            if outage or one["status"] is Status.UNKNOWN
            else Observation(mac, one["status"], {"name": one["name"], "ip": one["ip"]})
            for mac, one in self.devices.items()
        )
        errors = Counter(str(one.reason) for one in seen if one.reason)
        result = RoundResult(
            seen, (), errors, not outage, "timeout" if outage else "", not outage, self.rounds
        )
        store_round(exporter_id=self.exporter.pk, result=result, started_at=now, finished_at=utcnow())

    def truth(self):
        """{mac: value} of the status series that there must be: no more and no fewer."""
        words = {Status.ONLINE: "1", Status.OFFLINE: "0"}
        return {mac: words[one["status"]] for mac, one in self.devices.items() if one["status"] in words}


@dataclass
class Web:
    """The product on its own server: host and port, and the process."""

    address: str
    process: process.Child

    def peak_mb(self) -> int:
        """The most memory that one of its processes ever held."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self.process.family()]
        return max(int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) for text in status) >> 10


@pytest.fixture
def web(start_child: Callable[..., process.Child]) -> Web:
    """In a process of its own, on the database of the test."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        Path(sys.executable).with_name("granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port",
        address.partition(":")[2], "--workers", "1", "--blocking-threads", "2", "--no-ws", "remosa.wsgi:application",
    ]  # fmt: skip
    env = {
        "PATH": os.environ["PATH"], "DEBUG": "true", "LOG_LEVEL": "ERROR",
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
    }  # fmt: skip
    server = start_child(command, env=env, cwd=project.BASE_DIR)

    def answers() -> bool:
        assert server.is_running, server.output()
        try:
            with DIRECTLY.open(f"http://{address}/healthz", timeout=5):
                return True
        except OSError:
            return False

    process.wait_until(answers, deadline_s=120, what="the web server")
    return Web(address, server)


@pytest.mark.parametrize(
    ("count", "rounds"),
    [
        (10_000, 3),  # before, in and after an outage
        pytest.param(10_000, 10, marks=pytest.mark.soak),
        pytest.param(100_000, 10, marks=pytest.mark.soak),
    ],
)
def test_rounds_under_churn_leave_no_gap_and_no_lie(count, rounds, north, web, run_prometheus, figure):
    _row, token = tokens.issue(name="prometheus", scopes=["scrape"], by=None, platform=north)
    fleet = Fleet(north, count)
    fleet.poll()
    wait_s = 120 + count // 200
    job = {
        "job_name": "remosa", "authorization": {"credentials": token}, "scrape_interval": "4s", "scrape_timeout": "4s",
        "metrics_path": f"/exporters/{fleet.exporter.pk}/metrics",
        "static_configs": [{"targets": [web.address]}],
    }  # fmt: skip
    if count > 10_000:
        job |= {"scrape_interval": "15s", "scrape_timeout": "15s"}
    prometheus = run_prometheus({"scrape_configs": [job]})
    wrong = 0

    for number in range(rounds):
        if number:
            fleet.live_a_while()
        outage = number == rounds // 2
        fleet.poll(outage=outage)
        # a scrape that began after the round was stored
        prometheus.wait_for(f"{DURATION} == {fleet.rounds}", deadline_s=wait_s)
        told = {s["metric"]["mac"]: s["value"][1] for s in prometheus.query(STATUS)}
        names = Counter(s["metric"]["mac"] for s in prometheus.query(INFO))
        wrong += told != ({} if outage else fleet.truth())
        wrong += names != Counter(dict.fromkeys(fleet.devices, 1))  # one name each: the old one is gone

    assert wrong == 0
    downs = prometheus.query("min_over_time(up[1h])")
    assert [sample["value"][1] for sample in downs] == ["1"]
    doubles = prometheus.query(
        "max_over_time(scrape_samples_scraped[1h]) - max_over_time(scrape_samples_post_metric_relabeling[1h])"
    )
    assert [sample["value"][1] for sample in doubles] == ["0"]
    scrapes, seen = (
        prometheus.query(f"count_over_time({name}[1h])") for name in ("up", "remosa_exporter_up")
    )
    assert scrapes[0]["value"][1] == seen[0]["value"][1]  # each scrape brought the exporter's own series
    memory = web.peak_mb()
    assert memory <= MOST_MB
    figure(
        "prometheus under churn",
        f"{count:,} devices, {rounds} rounds, {wrong} gaps or lies, 0 targets down, server within {memory} MB",
    )
