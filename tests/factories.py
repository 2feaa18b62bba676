"""Plain functions that make rows; nothing surprising inside."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from automation.models import Job
from devices.models import Device, DeviceModel, PowerLink, Site
from devices.services import create_device, link_power
from exporters.models import Exporter, ExporterTarget
from platforms.models import Platform, User
from platforms.services import create_platform, set_role
from sms.models import Gateway

NOW = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def make_platform(name: str = "", **fields: Any) -> Platform:
    return create_platform(name=name or f"platform {next(_numbers)}", **fields)


def make_user(
    username: str, *, platform: Platform | None = None, role: str | None = None, **fields: Any
) -> User:
    user = User.objects.create_user(
        username,
        email=fields.pop("email", f"{username}@example.org"),
        password=fields.pop("password", None),
        **fields,
    )
    if platform is not None and role is not None:
        set_role(user=user, platform=platform, role=role)
    return user


def make_site(platform: Platform, name: str = "", **fields: Any) -> Site:
    return Site.objects.create(platform=platform, name=name or f"site {next(_numbers)}", **fields)


def make_device(platform: Platform, **fields: Any) -> Device:
    """A player with its own MAC."""
    number = next(_numbers)
    fields.setdefault("name", f"player {number}")
    fields.setdefault("mac", f"aa:bb:cc:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}")
    return create_device(platform=platform, **fields)


def make_socket(platform: Platform, *, model: str = "D210", checked: bool = True, **fields: Any) -> Device:
    """A GSM socket with its own SIM number, of a model that passed the bench check."""
    number = next(_numbers)
    row = DeviceModel.objects.get(code=model)
    if checked and row.bench_checked_at is None:
        DeviceModel.objects.filter(pk=row.pk).update(bench_checked_at=NOW)
        row.refresh_from_db()
    fields.setdefault("name", f"socket {number}")
    fields.setdefault("msisdn", f"+7900{number:07d}")
    return create_device(platform=platform, kind=Device.Kind.SOCKET, model=row, **fields)


def make_link(device: Device, socket: Device, line: int = 1) -> PowerLink:
    return link_power(device=device, socket=socket, line=line)


def make_gateway(platform: Platform | None = None, **fields: Any) -> Gateway:
    fields.setdefault("name", f"gateway {next(_numbers)}")
    fields.setdefault("kind", "console")
    return Gateway.objects.create(platform=platform, **fields)


def make_exporter(platform: Platform, **fields: Any) -> Exporter:
    fields.setdefault("name", f"exporter {next(_numbers)}")
    fields.setdefault("kind", "cubic")
    fields.setdefault("base_url", "http://127.0.0.1:9/")
    return Exporter.objects.create(platform=platform, **fields)


def make_target(exporter: Exporter, device: Device, **fields: Any) -> ExporterTarget:
    fields.setdefault("external_id", device.mac)
    return ExporterTarget.objects.create(exporter=exporter, device=device, **fields)


def make_job(platform: Platform, **fields: Any) -> Job:
    fields.setdefault("name", f"job {next(_numbers)}")
    fields.setdefault("mode", "auto")
    fields.setdefault("params", {"minutes": 1})
    return Job.objects.create(platform=platform, **fields)


def cause() -> uuid.UUID:
    return uuid.uuid4()


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
