"""The processes of the chaos runs that are no command of the product: setup, the producer, the control's outbox.

chaos_child.py setup FILE          migrate, make platforms, gateways and sockets; FILE says what and how
chaos_child.py produce             ask for commands and notices, each twice with the same key, until killed
chaos_child.py notices NUMBER      so many notices, at once
chaos_child.py outbox NAME         `manage.py outbox` with a pump of ``kill_child.PUMPS``
"""

import json
import os
import random
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "remosa.settings")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import InterfaceError, OperationalError, connection  # noqa: E402

from devices.errors import DevicesError  # noqa: E402
from devices.models import Device, DeviceModel  # noqa: E402
from devices.services import create_device, request_command  # noqa: E402
from platforms.models import Platform  # noqa: E402
from platforms.services import create_platform  # noqa: E402
from remosa.lib.clock import utcnow  # noqa: E402
from sms.models import Gateway  # noqa: E402
from sms.services import enqueue  # noqa: E402
from sms.services.gateways import resume  # noqa: E402
from tests.sms import kill_child  # noqa: E402

SOCKETS = 12  # per platform
VALID_FOR = timedelta(seconds=25)
MODEM = "modem"


def setup(path: str) -> None:
    """{"gateways": {name: url}, "modem": port} becomes platforms; the hooks of the gateways are written back."""
    wanted = json.loads(Path(path).read_text(encoding="utf-8"))
    call_command("migrate", verbosity=0)
    model, hooks = DeviceModel.objects.get(code="D210"), {}
    for number, (name, url) in enumerate([*wanted["gateways"].items(), (MODEM, "")], start=1):
        platform = create_platform(name=name, sms_limit=1_000_000)
        config = {
            "url": f"{url}/send", "id_path": "id",
            "json": {"to": "{to}", "text": "{text}", "ref": "{client_ref}"},
        }  # fmt: skip
        row = Gateway.objects.create(
            platform=platform, name=name, kind=MODEM if name == MODEM else "http", rate_per_minute=100_000,
            config={"port": wanted["modem"]} if name == MODEM else config, hook_secret="chaos-hook-secret",
        )  # fmt: skip
        hooks[name] = str(row.hook_id)
        for place in range(SOCKETS if name != MODEM else 0):
            create_device(
                platform=platform, kind=Device.Kind.SOCKET, model=model, name=f"{name} {place}",
                msisdn=f"+7900{number:03d}{place:04d}",
            )  # fmt: skip
    Path(path).write_text(json.dumps({"hooks": hooks}), encoding="utf-8")


def produce() -> None:
    """Keep something in the queue, whatever happens to the database."""
    dice = random.Random()
    while True:
        try:
            _ask_for_something(dice)
        except (OperationalError, InterfaceError):
            connection.close()
        time.sleep(0.05)  # the load; nothing is ordered by this


def _ask_for_something(dice: random.Random) -> None:
    key, now = uuid.uuid4(), utcnow()
    platform = dice.choice(list(Platform.objects.all()))
    sockets = list(Device.objects.filter(platform=platform, kind=Device.Kind.SOCKET))
    for _repeat in range(2):  # a client that did not hear the answer asks again
        if not sockets or dice.random() < 0.3:
            enqueue(
                platform=platform, to=f"+7916{key.int % 10**7:07d}", body=f"notice {key}", purpose="notice",
                dedupe_key=str(key), now=now, expires_at=now + VALID_FOR,
            )  # fmt: skip
            continue
        try:
            request_command(
                device=dice.choice(sockets), template_key="power_cycle", params={"minutes": 1}, source="job",
                idem_key=str(key), cause_id=key, now=now, ttl=VALID_FOR,
            )  # fmt: skip
        except DevicesError:
            return  # the socket has its hands full


def notices(number: str) -> None:
    """So many notices of the platform whose gateway accepts, which is tried again at once."""
    platform, now = Platform.objects.get(name="ok"), utcnow()
    for gateway in Gateway.objects.filter(platform=platform):
        resume(gateway)
    for _ in range(int(number)):
        key = uuid.uuid4()
        enqueue(
            platform=platform, to=f"+7917{key.int % 10**7:07d}", body=f"notice {key}", purpose="notice",
            dedupe_key=str(key), now=now, expires_at=now + VALID_FOR,
        )  # fmt: skip


def outbox(pump: str) -> None:
    """The command with another pump: what the judge must find."""
    from sms.management.commands import outbox as command

    command.Pump = kill_child.PUMPS[pump]
    call_command("outbox")


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    {"setup": setup, "produce": produce, "notices": notices, "outbox": outbox}[job](*arguments)
