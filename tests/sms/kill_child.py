"""The processes of the kill matrix: producers, workers that die, workers that clean up.

Run as a program with ``DATABASE_URL`` set. It loads Django once and then forks one process per job,
so that hundreds of real processes can be killed in a minute. Jobs come as JSON lines on standard
input, each answered by one line: ``{"status": …}``, an exit code or minus the signal that ended it.

    {"job": "setup", "cells": {cell: url}}
    {"job": "produce", "cells": [cell], "die_at": point|null}
    {"job": "work", "points": {cell: point}, "marks": folder, "pump": name}
    {"job": "finish", "workers": 2, "pump": name}
    {"job": "stop", "point": point}         the worker stops itself there; answered while it is stopped
    {"job": "continue"}                     … and goes on
    {"job": "report", "path": file}
"""

import json
import os
import signal
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remosa.settings")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
django.setup()

from django.db import connections, transaction  # noqa: E402

from devices.models import Command, Device, DeviceModel  # noqa: E402
from devices.services import create_device, request_command  # noqa: E402
from platforms.models import Platform, Usage  # noqa: E402
from platforms.services import create_platform  # noqa: E402
from remosa.lib.clock import utcnow  # noqa: E402
from sms.models import Gateway, SmsMessage  # noqa: E402
from sms.outbox import Claim, Pump  # noqa: E402
from sms.services import enqueue  # noqa: E402
from sms.states import SmsState  # noqa: E402

UNFINISHED = (SmsState.QUEUED, SmsState.CLAIMED, SmsState.SENDING)
PATIENCE_S = 40.0
NOTICE = "notice/"  # so begin the names of cells that are a message to people


class ResendingPump(Pump):
    """The mistake of the first control: what was lost on the wire is sent again."""

    def _reap_sending(self, row, now):
        return self._take_over(row, SmsState.QUEUED, now=now, why="lost")


class BarrierlessPump(Pump):
    """The mistake of the second control: ``sending`` is written after the first byte has left."""

    def _is_asked_about(self, message):
        return True

    def _commit_to_sending(self, claim, gateway, *, now):
        pass

    def _send(self, claim: Claim, gateway, deadline_s):
        answer = super()._send(claim, gateway, deadline_s)
        self.checkpoint("after_post", claim.message.pk)
        super()._commit_to_sending(claim, gateway, now=self.now())
        return answer


PUMPS = {"honest": Pump, "resending": ResendingPump, "barrierless": BarrierlessPump}


def make_pump(name: str, **options) -> Pump:
    return PUMPS[name](f"{name}:{os.getpid()}", jitter=lambda: 0.0, **options)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def setup(job: dict) -> None:
    """One platform, gateway and socket per cell, so that no cell can disturb another."""
    model = DeviceModel.objects.get(code="D210")
    for number, (cell, url) in enumerate(job["cells"].items(), start=Platform.objects.count() + 1):
        platform = create_platform(name=cell)
        Gateway.objects.create(
            platform=platform,
            name=cell,
            kind="http",
            config={
                "url": f"{url}/send",
                "json": {"to": "{to}", "text": "{text}", "ref": "{client_ref}"},
                "id_path": "id",
            },
        )
        create_device(
            platform=platform,
            kind=Device.Kind.SOCKET,
            model=model,
            name=cell,
            msisdn=f"+7900{number:07d}",
        )


def produce(job: dict) -> None:
    """Ask for one power cycle (or one notice) per cell, with the cell as key; perhaps die on the way."""
    for cell in job["cells"]:
        with transaction.atomic():
            ask_for(cell)
            if job["die_at"] == "enqueue_before_commit":
                die()
        if job["die_at"] == "enqueue_after_commit":
            die()


def ask_for(cell: str) -> None:
    if cell.startswith(NOTICE):
        enqueue(
            platform=Platform.objects.get(name=cell), to="+79161234567", body="notice", purpose="notice",
            dedupe_key=cell, now=utcnow(),
        )  # fmt: skip
        return
    request_command(
        device=Device.objects.get(name=cell), template_key="power_cycle", params={"minutes": 1}, source="job",
        idem_key=cell, cause_id=uuid.uuid5(uuid.NAMESPACE_URL, cell), now=utcnow(), ttl=timedelta(minutes=5),
    )  # fmt: skip


def cell_of(row: SmsMessage) -> str:
    return row.command.idem_key if row.command else row.dedupe_key


def work(job: dict) -> None:
    """Drain, and die the first time that a message reaches the point of its cell."""
    cells = {row.pk: cell_of(row) for row in SmsMessage.objects.select_related("command")}

    def checkpoint(name: str, message_id: uuid.UUID) -> None:
        if job["points"].get(cells[message_id]) != name:
            return
        try:
            os.close(os.open(f"{job['marks']}/{message_id}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return  # each message kills once
        die()

    make_pump(job["pump"], checkpoint=checkpoint).drain()


def finish(job: dict) -> None:
    """Reap and drain until nothing is left to do, in several processes at once."""
    children = [fork(finish_alone, job) for _ in range(job["workers"])]
    if any(wait_for(child) for child in children):
        sys.exit(1)


def finish_alone(job: dict) -> None:
    pump, ends = make_pump(job["pump"]), time.monotonic() + PATIENCE_S
    while SmsMessage.objects.filter(state__in=UNFINISHED).exists():
        if time.monotonic() > ends:
            sys.exit(1)
        if not pump.run_once():
            time.sleep(0.05)  # a lease must run out; nothing is ordered by this


def stop(job: dict) -> None:
    """Drain, and stop at the point once, until somebody says SIGCONT."""
    stopped = []

    def checkpoint(name: str, message_id: uuid.UUID) -> None:
        if name == job["point"] and not stopped:
            stopped.append(message_id)
            os.kill(os.getpid(), signal.SIGSTOP)

    make_pump("honest", checkpoint=checkpoint).drain()


def report(job: dict) -> None:
    """What the database says, for the test to judge."""
    commands = [
        {"cell": row.idem_key, "state": row.state, "reason": row.failure_reason}
        for row in Command.objects.all()
    ]
    messages = [
        {
            "id": str(row.pk),
            "cell": cell_of(row),
            "state": row.state,
            "segments": row.segments,
            "reason": row.reason,
        }
        for row in SmsMessage.objects.select_related("command")
    ]
    usage = {
        row.platform.name: [row.reserved, row.used]
        for row in Usage.objects.filter(kind="sms").select_related("platform")
    }
    found = {"commands": commands, "messages": messages, "usage": usage}
    Path(job["path"]).write_text(json.dumps(found), encoding="utf-8")


JOBS = {job.__name__: job for job in (setup, produce, work, finish, stop, report)}


def fork(job, *arguments) -> int:
    """Run ``job`` in a new process; its pid."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        job(*arguments)
        connections.close_all()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException as exc:
        print(f"{job.__name__}: {exc!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def wait_for(child: int, options: int = 0) -> int | str:
    _pid, status = os.waitpid(child, options)
    return "stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def main() -> None:
    sleeper = 0
    for line in sys.stdin:
        job = json.loads(line)
        if job["job"] == "stop":
            sleeper = fork(stop, job)
            status = wait_for(sleeper, os.WUNTRACED)
        elif job["job"] == "continue":
            os.kill(sleeper, signal.SIGCONT)
            status = wait_for(sleeper)
        else:
            status = wait_for(fork(JOBS[job["job"]], job))
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    main()
