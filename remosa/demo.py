"""The demo platform: the simulated fleet written into the tables, its job in auto.

All times are the defaults of the product, in the simulator's shortened minutes. Repeatable: what
exists stays as a visitor has changed it; only the simulator's addresses are brought up to date.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction

from automation.models import Job
from automation.states import Mode
from devices.models import Device, DeviceModel, Site
from devices.services import create_device, link_power
from exporters.models import Exporter, ExporterTarget
from platforms.models import Platform, User
from platforms.services import create_platform
from remosa.lib.clock import utcnow
from remosa.simulator.fleet import (
    ADDREALITY,
    ADDREALITY_TOKEN,
    CUBIC,
    GATEWAY_MSISDN,
    SMS_KEY,
    DemoFleet,
    demo_fleet,
)
from sms.models import Gateway

GATEWAY = "Симулятор SMS"


@dataclass(frozen=True)
class SimulatorUrls:
    """Where the simulator's faces listen."""

    base: str

    @property
    def cubic(self) -> str:
        return f"{self.base}/cubic"

    @property
    def addreality(self) -> str:
        return f"{self.base}/addreality"

    @property
    def sms(self) -> str:
        return f"{self.base}/sms"


def ensure_admin(password: str) -> User:
    """The first superadmin, ``admin``; an existing one keeps the password it has."""
    user = User.objects.filter(username="admin").first()
    if user is None:
        user = User.objects.create_superuser("admin", email="admin@localhost", password=password)
    return user


def seed(*, simulator_url: str, minute_s: float) -> Platform:
    """Make the demo platform, or bring its addresses up to date."""
    fleet, urls = demo_fleet(), SimulatorUrls(simulator_url.rstrip("/"))
    with transaction.atomic():
        platform = Platform.objects.filter(name=fleet.platform_name).first()
        if platform is None:
            platform = create_platform(name=fleet.platform_name, device_limit=120, sms_limit=20_000)
            sites = _make_sites(platform, fleet)
            sockets = _make_sockets(platform, fleet, sites)
            _make_exporters(platform, fleet, sites, sockets, minute_s=minute_s)
            _make_gateway(platform, urls)
            _make_job(platform, minute_s=minute_s)
        Exporter.objects.filter(platform=platform, kind=CUBIC).update(base_url=urls.cubic)
        Exporter.objects.filter(platform=platform, kind=ADDREALITY).update(base_url=urls.addreality)
        for gateway in Gateway.objects.filter(platform=platform, name=GATEWAY):
            gateway.config = {**gateway.config, "base_url": urls.sms}
            gateway.save(update_fields=["config"])
    return platform


def _make_sites(platform: Platform, fleet: DemoFleet) -> dict[str, Site]:
    return {
        spec.slug: Site.objects.create(
            platform=platform, name=spec.name, address=spec.address, time_zone=spec.time_zone,
            contact_name=spec.contact, outer_ip=spec.outip,
        )
        for spec in fleet.sites
    }  # fmt: skip


def _make_sockets(platform: Platform, fleet: DemoFleet, sites: dict[str, Site]) -> dict[str, Device]:
    """The D210 counts as checked on the bench; the D410 does not, so automation leaves it to people."""
    DeviceModel.objects.filter(code="D210", bench_checked_at=None).update(bench_checked_at=utcnow())
    models = {model.code: model for model in DeviceModel.objects.all()}
    return {
        spec.msisdn: create_device(
            platform=platform, kind=Device.Kind.SOCKET, name=spec.name, msisdn=spec.msisdn, model=models[spec.model],
            site=sites[spec.site],
        )
        for spec in fleet.sockets
    }  # fmt: skip


def _make_exporters(
    platform: Platform,
    fleet: DemoFleet,
    sites: dict[str, Site],
    sockets: dict[str, Device],
    *,
    minute_s: float,
) -> None:
    for kind, name, secret in ((CUBIC, "CubicMedia", ""), (ADDREALITY, "Addreality", ADDREALITY_TOKEN)):
        exporter = Exporter.objects.create(
            platform=platform, kind=kind, name=name, base_url="http://127.0.0.1/", secret=secret,
            interval_s=max(0.5, 0.5 * minute_s), timeout_s=5, concurrency=20,
        )  # fmt: skip
        for spec in fleet.players_in(kind):
            ids: dict[str, Any] = {"mac": spec.id} if kind == CUBIC else {"external_id": spec.id}
            device = create_device(platform=platform, name=spec.name, site=sites[spec.site], **ids)
            link_power(device=device, socket=sockets[spec.socket], line=spec.line)
            ExporterTarget.objects.create(exporter=exporter, external_id=spec.id, device=device)


def _make_gateway(platform: Platform, urls: SimulatorUrls) -> None:
    Gateway.objects.create(
        platform=platform, name=GATEWAY, kind="simulator", config={"base_url": urls.sms}, secret=SMS_KEY,
        sender_msisdn=GATEWAY_MSISDN, price="2.50", poll_interval_s=1.0,
    )  # fmt: skip


def _make_job(platform: Platform, *, minute_s: float) -> None:
    """spec's defaults, with minutes as long as the simulator's."""

    def seconds(minutes: float) -> float:
        return timedelta(minutes=minutes).total_seconds() * minute_s / 60

    Job.objects.create(
        platform=platform, name="Перезагрузка зависших плееров", mode=Mode.AUTO, template_key="power_cycle",
        params={"minutes": 1}, hold_s=seconds(5), fresh_samples=3, stable_s=seconds(5), verify_s=seconds(15),
        cooldown_s=seconds(20), patience_s=seconds(30), max_actions_per_day=24, max_actions_per_week=168,
        may_darken_others=True,
    )  # fmt: skip
