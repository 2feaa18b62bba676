"""E3: a webhook arrives -> first byte of the SMS that it leads to, p50, idle, on PostgreSQL.

The way is the product's own: the alert is proved, stored and judged, its case is opened, the guards are
asked, the command is rendered, and the outbox passes its barrier. The peer is a bare django-q2 task with the
ORM broker (poll 0.2 s) on the same database, from its enqueue to its start. In turns. Intake, case and outbox
must not wait for the queue: goal <= 1/3.
"""

import json
import random
import statistics
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import _outbox as lab
from bench.harness import Goal, NotRun, Outcome, log, postgres, project_on

GOAL = Goal(bound=1 / 3, at_most=True)
SAMPLES, WARM_UP = 25, 3
SECRET = "bench-secret-of-sixteen"


def run() -> Outcome:
    with (
        postgres() as url,
        project_on(url, Q_WORKERS="2", DJANGO_SETTINGS_MODULE="bench._e3_settings"),
        tempfile.TemporaryDirectory() as folder,
    ):
        return _measure(Path(folder))


def _measure(folder: Path) -> Outcome:
    from bench._web import web

    ear, dice = lab.Ear(), random.Random(1)
    platform = lab.prepare()
    source, players = _fleet(platform)
    waits: dict[str, list[float]] = {"webhook": [], "django_q2": []}
    with (
        lab.started("manage.py", "outbox", says="outbox: started"),
        lab.queue(),
        web(folder / "web", ALLOWED_HOSTS="*") as base,
    ):
        lab.ask_queue()
        ear.hear(1)  # the queue is there
        for number, player in enumerate(players):
            for name in waits:
                time.sleep(dice.uniform(0.05, 0.25))  # idle, and at any moment of a poll
                _see(player)
                asked = time.monotonic()
                if name == "webhook":
                    _post(f"{base}/hooks/alerts/{source.pk}/", player)
                    heard = ear.hear(1)
                else:
                    key = lab.ask_queue()
                    heard = {key: ear.hear(1)[key]}
                if number >= WARM_UP:
                    waits[name].append(next(iter(heard.values())) - asked)
            if number % 10 == 0:
                log(f"E3: {number}")
    p50 = {name: statistics.median(times) for name, times in waits.items()}
    details: dict[str, float | str] = {f"{name}_p50_ms": seconds * 1000 for name, seconds in p50.items()}
    details |= {f"{name}_max_ms": max(times) * 1000 for name, times in waits.items()}
    return Outcome(p50["webhook"] / p50["django_q2"], details)


def _fleet(platform: Any) -> tuple[Any, list[Any]]:
    """Players on sockets of their own, each on its own site: nothing else than their alert is against them."""
    from automation.models import AlertSource, Job
    from automation.services import health
    from automation.services.sources import create_source
    from devices.models import Device, DeviceModel, PowerLink, Site
    from exporters.models import Exporter, ExporterTarget
    from platforms.models import Platform, User
    from remosa.lib.clock import utcnow

    now = utcnow()
    Platform.objects.filter(pk=platform.pk).update(device_limit=10_000, sms_people_share_ratio=0)
    by = User.objects.create_superuser("root", email="r@example.org", password=None)
    DeviceModel.objects.filter(code="D210").update(bench_checked_at=now)
    model = DeviceModel.objects.get(code="D210")
    exporter = Exporter.objects.create(
        platform=platform, kind="cubic", name="bench", base_url="http://127.0.0.1:9", interval_s=3600, is_up=True,
        last_round_at=now, last_success_at=now, answers_at=now,
    )  # fmt: skip
    players = []
    for number in range(SAMPLES + WARM_UP):
        site = Site.objects.create(platform=platform, name=f"site {number}")
        player = Device.objects.create(
            platform=platform, name=f"player {number}", mac=f"02:be:00:00:01:{number:02x}", site=site,
        )  # fmt: skip
        socket = Device.objects.create(
            platform=platform, name=f"socket {number}", kind="socket", model=model, site=site,
            msisdn=f"+7901000{number:04d}",
        )  # fmt: skip
        PowerLink.objects.create(device=player, socket=socket, line=1)
        ExporterTarget.objects.create(exporter=exporter, device=player, external_id=player.mac)
        players.append(player)
    Job.objects.create(
        platform=platform, name="bench", mode="auto", source="alert", alert_labels={"alertname": "PlayerOffline"},
        template_key="power_cycle", params={"minutes": 1}, hold_s=0, on_air="act", off_air="act", cooldown_s=0,
    )  # fmt: skip
    health.beat(now=now)
    source = create_source(
        AlertSource(platform=platform, name="am", kind="alertmanager", auth="bearer", secret=SECRET), by=by
    )
    return source, players


def _see(failing: Any) -> None:
    """What a poller and a sweep would have told meanwhile: all are well but ``failing``, and what was done for the
    others is long ago, so that no limit of how much at once holds here.
    """
    from django.db.models import Q

    from automation.models import Case
    from automation.services import health
    from automation.states import LIVE
    from devices.models import Command, Device
    from exporters.models import Exporter, ExporterTarget
    from remosa.lib.clock import utcnow
    from sms.models import SmsMessage

    now = utcnow()
    before = now - timedelta(hours=2)
    health.beat(now=now)
    Exporter.objects.update(answers_at=now, last_round_at=now, last_success_at=now)
    long_ago = now - timedelta(hours=3)
    for state, rows in (("online", Q()), ("offline", Q(pk=failing.pk))):
        Device.objects.filter(rows, kind="player").update(state=state, state_since=long_ago, noted_at=now)
    for state, rows in (("online", Q()), ("offline", Q(device=failing))):
        ExporterTarget.objects.filter(rows).update(
            status=state, stated=state, status_since=long_ago, noted_at=now
        )
    Case.objects.filter(state__in=LIVE).update(state="verified", closed_at=now)
    SmsMessage.objects.filter(created_at__gt=before).update(created_at=before)
    Command.objects.filter(created_at__gt=before).update(
        created_at=before, sent_at=before, state_changed_at=before, verify_until=before
    )


def _post(url: str, player: Any) -> None:
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    labels, mark = {"alertname": "PlayerOffline", "mac": player.mac}, player.mac.replace(":", "")
    alert = {
        "status": "firing", "labels": labels, "annotations": {}, "startsAt": at, "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "", "fingerprint": mark,
    }  # fmt: skip
    body = {
        "receiver": "remosa", "status": "firing", "version": "4", "groupKey": mark, "truncatedAlerts": 0,
        "alerts": [alert],
    }  # fmt: skip
    request = urllib.request.Request(  # noqa: S310  loopback
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        if answer.status != 200:
            raise NotRun(f"the hook answered {answer.status}")
