"""Two clients of whom each model of the console has a row: north, whose texts all bear a mark, and south."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db import models

from automation.models import (
    Alert,
    AlertSource,
    Case,
    CaseEvent,
    GuardRefusal,
    Holiday,
    Job,
    Maintenance,
    RejectedAlert,
    Webhook,
)
from devices.models import (
    Command,
    CommandSchedule,
    CommandTemplate,
    Device,
    DeviceEvent,
    DeviceShare,
    Onboarding,
    OwnReplyRule,
    Restoration,
    Site,
)
from devices.states import CommandState
from exporters.models import Exporter, PollRound
from notifications.models import Delivery, Notice
from platforms import audit, switches, tokens
from platforms.models import Invitation, LedgerEntry, Platform, User
from remosa.lib.clock import utcnow
from sms.models import Gateway, InboundSms, SmsMessage
from tests.factories import (
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_link,
    make_site,
    make_socket,
    make_target,
    make_user,
)

SECRET = "s3cr3t-canary-77"


@dataclass
class World:
    """The rows of one client; ``mark`` stands in each of their texts."""

    mark: str
    platform: Platform
    admin: User
    site: Site
    player: Device
    shared: Device
    socket: Device
    exporter: Exporter
    gateway: Gateway
    job: Job
    case: Case
    command: Command


def build(platform: Platform, person: User, mark: str) -> World:
    """One row of everything on ``platform``, each text bearing ``mark``."""
    Platform.objects.filter(pk=platform.pk).update(name=f"{mark}-platform")
    platform.refresh_from_db()
    site = make_site(platform, f"{mark}-site", address=f"{mark}-street")
    player = make_device(
        platform, name=f"{mark}-player", site=site, labels={"hall": mark}, notes=f"{mark}-note"
    )
    shared = make_device(platform, name=f"{mark}-shared")
    socket = make_socket(platform, name=f"{mark}-socket")
    make_link(player, socket)
    exporter = make_exporter(platform, name=f"{mark}-exporter", secret=SECRET)
    make_target(exporter, player)
    gateway = make_gateway(platform, name=f"{mark}-gateway", secret=SECRET, hook_secret=SECRET)
    job = make_job(platform, name=f"{mark}-job")
    case = make_case(player, job, title=f"{mark}-case")
    command = make_command(socket, target=player, case=case, reason=f"{mark}-reason")
    world = World(mark, platform, person, site, player, shared, socket, exporter, gateway, job, case, command)
    _the_rest(world)
    return world


def make_case(device: Device, job: Job, **fields: Any) -> Case:
    """A live case with one event and one refusal."""
    now = utcnow()
    values = {"title": device.name, "mode": job.mode, "state": "escalated", "outcome": "not_back_in_time"}
    case = Case.objects.create(
        platform=device.platform, device=device, job=job, subject=f"device:{device.pk}", opened_at=now,
        state_changed_at=now, down_since=now - timedelta(minutes=14), **{**values, **fields},
    )  # fmt: skip
    CaseEvent.objects.create(
        case=case, at=now, kind="opened", data={"source": "snapshot", "hold_s": 600, "samples": 3}
    )
    GuardRefusal.objects.create(
        platform=device.platform, case=case, job=job, device=device, guard="power", reason="no_power_link",
        first_at=now, last_at=now,
    )  # fmt: skip
    return case


def make_command(socket: Device, **fields: Any) -> Command:
    """A command that waits for a person, straight into the table."""
    now = utcnow()
    case = fields.pop("case", None)
    template = CommandTemplate.objects.get(model=socket.model, key=fields.pop("key", "power_cycle"))
    values = {
        "params": {"minutes": 1}, "body": "#12#0#1#1#", "effect": template.effect, "power": template.power,
        "state": CommandState.NEEDS_OPERATOR, "source": Command.Source.JOB,
    }  # fmt: skip
    command = Command.objects.create(
        platform=socket.platform, device=socket, template=template, state_changed_at=now, created_at=now,
        expires_at=now + timedelta(minutes=5), cause_id=uuid.uuid4(), idem_key=uuid.uuid4().hex,
        request_digest="0" * 64, case_id=case.pk if case else None, **{**values, **fields},
    )  # fmt: skip
    command.events.create(from_state="requested", to_state="queued", at=now)
    return command


def _the_rest(world: World) -> None:
    now, platform, mark = utcnow(), world.platform, world.mark
    DeviceShare.objects.create(device=world.player, user=world.admin, level="admin")
    PollRound.objects.create(
        exporter=world.exporter, started_at=now, finished_at=now, is_up=True, targets=1, duration_s=1.0
    )
    message = SmsMessage.objects.create(
        platform=platform, gateway=world.gateway, command=world.command, purpose="command", to=world.socket.msisdn,
        body=world.command.body, segments=1, state_changed_at=now, dedupe_key=f"{mark}-sms", next_attempt_at=now,
        created_at=now, expires_at=now,
    )  # fmt: skip
    message.events.create(from_state="", to_state="queued", at=now)
    InboundSms.objects.create(
        gateway=world.gateway, platform=platform, device=world.socket, sender=world.socket.msisdn,
        body=f"{mark}-inbound", received_at=now, dedupe_key=f"{mark}-in", state="unmatched", state_changed_at=now,
    )  # fmt: skip
    LedgerEntry.objects.create(
        platform=platform, direction="out", subject_id=message.pk, at=now, period="2026-03", day=now.date(),
        gateway_id=world.gateway.pk, gateway_name=world.gateway.name, units=1, unit_cost=1, cost_currency="RUB",
        unit_price=2, price_currency="RUB",
    )  # fmt: skip
    notice = Notice.objects.create(
        platform=platform, severity="critical", kind="escalated", case=world.case, dedupe_key=f"{mark}-notice",
        data={"title": f"{mark}-case", "why": "not_back_in_time"}, created_at=now,
    )  # fmt: skip
    Delivery.objects.create(
        notice=notice,
        user=world.admin,
        channel="console",
        state="sent",
        state_changed_at=now,
        next_attempt_at=now,
    )
    told = [[2, "site", f"{mark}-told"]]
    Onboarding.objects.create(
        platform=platform, created_by=world.admin, filename=f"{mark}-table.csv", state="checked", state_changed_at=now,
        created_at=now, report={"errors": told, "errors_total": 1, "notes": told, "notes_total": 1, "counts": {
            "rows": 1, "sites": 0, "players": 0, "sockets": 0, "links": 0, "placed": 0, "errors": 1, "notes": 1}},
    )  # fmt: skip
    switches.engage(
        scope="device",
        platform=platform,
        target_id=world.shared.pk,
        reason=f"{mark}-stop",
        by=world.admin,
        now=now,
    )
    tokens.issue(name=f"{mark}-token", scopes=["scrape"], by=world.admin, platform=platform)
    audit.record(actor=audit.person(world.admin), verb="test.done", target=world.player, platform=platform)
    Invitation.objects.create(
        platform=platform, email=f"{mark}@example.org", role="viewer", expires_at=now + timedelta(days=7)
    )
    _around_devices(world)
    _alerts(world)


def _around_devices(world: World) -> None:
    now, platform, mark, socket = utcnow(), world.platform, world.mark, world.socket
    DeviceEvent.objects.create(platform=platform, device=socket, at=now, kind="mains_lost")
    OwnReplyRule.objects.create(platform=platform, model=socket.model, name=f"{mark}-rule", created_at=now)
    CommandSchedule.objects.create(
        platform=platform, device=socket, template_key="status", cron="0 8 * * *", reason=f"{mark}-schedule"
    )
    Restoration.objects.create(
        platform=platform, device=socket, line=1, way="watch", state_changed_at=now, created_at=now,
        cause_id=uuid.uuid4(), idem_key=f"{mark}-back", reason=f"{mark}-off",
    )  # fmt: skip
    Maintenance.objects.create(
        platform=platform,
        site=world.site,
        reason=f"{mark}-works",
        starts_at=now,
        ends_at=now + timedelta(hours=2),
    )
    Holiday.objects.create(platform=platform, site=world.site, day=now.date(), name=f"{mark}-holiday")


def _alerts(world: World) -> None:
    now, platform, mark = utcnow(), world.platform, world.mark
    source = AlertSource.objects.create(platform=platform, name=f"{mark}-grafana", secret=SECRET)
    Alert.objects.create(
        source=source, platform=platform, fingerprint="0" * 16, starts_at=now, first_received_at=now, received_at=now,
        name=f"{mark}-alert", labels={"mac": mark}, device=world.player,
    )  # fmt: skip
    RejectedAlert.objects.create(
        source=source, received_at=now, reason="no_labels", content=f'{{"name": "{mark}-bad"}}'
    )
    Webhook.objects.create(
        platform=platform, name=f"{mark}-webhook", url="https://hook.example.org/", secret=SECRET
    )


def sharer_of(world: World, name: str) -> User:
    """A person of role ``user`` to whom one device of this client is shared, and nothing else."""
    person = make_user(name, platform=world.platform, role="user")
    DeviceShare.objects.create(device=world.shared, user=person, level="owner")
    return person


def row_of(model: type[models.Model], world: World) -> models.Model | None:
    """A row of ``model`` of this client; None for what belongs to no client."""
    if not hasattr(model, "PLATFORM_PATH"):
        return None
    return model._base_manager.filter(**{model.PLATFORM_PATH: world.platform.pk}).first()


def registered() -> list[tuple[type[models.Model], admin.ModelAdmin]]:
    """Every page class of the console with its model, in a fixed order."""
    return sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label)
