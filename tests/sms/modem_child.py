"""The process of a modem as it is killed: a forking program like ``kill_child``, with jobs of its own.

{"job": "setup_modem", "port": path, "cells": [number called]}
{"job": "hand_over"}                                 the outbox gives all rows to the modem's process
{"job": "only", "number": number called}             no other message is due
{"job": "keep", "points": {number: point}, "marks": folder, "pid": file}
{"job": "finish_modem"}                              the outbox and the modem's process, until all is settled
{"job": "report_modem", "path": file}
"""

import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remosa.settings")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
django.setup()

from platforms.services import create_platform  # noqa: E402
from remosa.lib.clock import utcnow  # noqa: E402
from sms.models import Gateway, InboundSms, SmsMessage  # noqa: E402
from sms.modem_keeper import Keeper  # noqa: E402
from sms.outbox import Pump  # noqa: E402
from sms.services import enqueue  # noqa: E402
from tests.sms import kill_child as lab  # noqa: E402


def setup_modem(job: dict) -> None:
    """One platform with one modem, and a notice for each number."""
    platform = create_platform(name="modem")
    Gateway.objects.create(
        platform=platform, name="modem", kind="modem", config={"port": job["port"]}, rate_per_minute=1000
    )
    for number in job["cells"]:
        enqueue(
            platform=platform, to=number, body="Экран не отвечает", purpose="notice", dedupe_key=number,
            now=utcnow(), expires_at=utcnow() + timedelta(minutes=10),
        )  # fmt: skip


def hand_over(job: dict) -> None:
    Pump("outbox", jitter=lambda: 0.0).run_once()


def keep(job: dict) -> None:
    """Serve the modem and die at the points of the messages, each once; a clean end when nothing is left to do."""
    Path(job["pid"]).write_text(str(os.getpid()))
    numbers = {row.pk: row.to for row in SmsMessage.objects.all()}
    stop = threading.Event()

    def checkpoint(name: str, message_id) -> None:
        number = numbers.get(message_id, "inbound")
        if job["points"].get(number) == name and _once(job["marks"], f"{number}-{name}"):
            lab.die()

    keeper = Keeper(Gateway.objects.get(), stop, checkpoint=checkpoint)
    threading.Thread(target=_end_when_idle, args=(stop,), daemon=True).start()
    keeper.run()


def _once(marks: str, name: str) -> bool:
    try:
        os.close(os.open(f"{marks}/{name}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _end_when_idle(stop: threading.Event) -> None:
    ends = time.monotonic() + lab.PATIENCE_S
    busy = SmsMessage.objects.filter(state__in=lab.UNFINISHED, next_attempt_at__lte=utcnow(), lease_owner="")
    while time.monotonic() < ends and busy.exists():
        time.sleep(0.05)  # polls; nothing is ordered by this
    stop.set()


def only(job: dict) -> None:
    """Let no message but this one be due; with no number, all of them."""
    now = utcnow()
    waiting = SmsMessage.objects.filter(state="queued")
    waiting.update(next_attempt_at=now + timedelta(hours=1) if job["number"] else now)
    waiting.filter(to=job["number"]).update(next_attempt_at=now)


def finish_modem(job: dict) -> None:
    """Both processes at work until every row is settled."""
    stop = threading.Event()
    keeper = Keeper(Gateway.objects.get(), stop)
    thread = threading.Thread(target=keeper.run)
    thread.start()
    pump, ends = Pump("outbox", jitter=lambda: 0.0), time.monotonic() + lab.PATIENCE_S
    while SmsMessage.objects.filter(state__in=lab.UNFINISHED).exists() and time.monotonic() < ends:
        pump.run_once()
        time.sleep(0.05)  # a lease must run out
    stop.set()
    thread.join()
    if SmsMessage.objects.filter(state__in=lab.UNFINISHED).exists():
        sys.exit(1)


def report_modem(job: dict) -> None:
    messages = {row.to: [row.state, row.reason] for row in SmsMessage.objects.all()}
    inbound = [row.body for row in InboundSms.objects.all()]
    Path(job["path"]).write_text(json.dumps({"messages": messages, "inbound": inbound}), encoding="utf-8")


for job in (setup_modem, hand_over, only, keep, finish_modem, report_modem):
    lab.JOBS[job.__name__] = job

if __name__ == "__main__":
    lab.main()
