"""Two platforms that must not know of each other, each with rows of every model, each row full of marks.

``zqnorth`` (``zqsouth``) stands in every free text of a platform's rows, ``…hid`` in what hangs off a
device that the role *user* does not own, ``zqkey`` in every secret. Numbers of north's rows begin with
777, so that an integer gives a leak away as well as a text does.
"""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db import connection, models

from automation.models import Case, Holiday, Job, JobVersion, Maintenance
from automation.services.jobs import keep_version
from devices.models import Command, Device, DeviceModel, DeviceShare, PowerLink, Site
from devices.services import request_command
from exporters.models import Exporter, ExporterTarget
from exporters.ports import Observation, RoundResult, Status
from exporters.services import store_round
from platforms import audit, tokens
from platforms.models import ApiToken, AuditEvent, Platform, User
from platforms.services import create_platform, set_role
from sms.models import Gateway
from tests.factories import (
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_site,
    make_socket,
    make_target,
)

NOW = datetime.now(UTC).replace(microsecond=0)
NORTH_NUMBERS = 777_000_000
MISSING_NUMBERS = 777_900_000  # as long as north's, and never used
MADE_NUMBERS = 778_000_000  # of what the sweep itself makes
KEY_MARK = "zqkey"

# Texts that are words of a closed list or have a shape of their own: marked by other means, or not at all.
SHAPED = {
    "Platform.time_zone", "Site.time_zone", "User.time_zone", "User.password", "User.email", "User.language",
    "Device.mac", "Device.msisdn", "Device.external_id", "Exporter.kind", "Exporter.base_url", "Gateway.kind",
    "Gateway.currency", "Gateway.sender_msisdn", "ExporterTarget.external_id", "Usage.kind", "Usage.period",
    "QuotaReservation.kind", "QuotaReservation.period", "Command.power", "Command.reply_verdict", "Case.subject",
    "Case.mode", "CaseEvent.kind", "CaseStep.from_state", "CommandEvent.from_state", "SmsEvent.from_state",
    "GuardRefusal.guard", "GuardRefusal.reason", "Notice.kind", "Delivery.channel", "Job.promql",
    "ApiToken.lookup", "ApiToken.digest", "AuditEvent.verb", "AuditEvent.target_type", "AuditEvent.target_id",
    "AuditEvent.actor_id", "AuditEvent.signature", "AuditEvent.seal", "AuditEvent.seal_previous", "Snapshot.version",
    "Platform.currency", "LedgerEntry.purpose", "LedgerEntry.period", "LedgerEntry.cost_currency",
    "LedgerEntry.price_currency", "AuditHead.chain", "AuditHead.seal", "AuditHead.signature",
    "SmsMessage.to", "InboundSms.sender", "User.phone", "Invitation.email", "Invitation.nonce",
}  # fmt: skip
JSON_SHAPED = {
    "ApiToken.scopes", "Job.params", "Job.ladder", "JobState.changes",
    "Command.params", "Gateway.config", "Snapshot.parts", "Snapshot.targets",
    "Snapshot.errors_total",
}  # fmt: skip


@dataclass
class World:
    """One platform with its people, tokens and at least one row of every tenant model."""

    mark: str
    platform: Platform
    people: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    first: dict[type[models.Model], models.Model] = field(default_factory=dict)
    hidden: list[models.Model] = field(default_factory=list)  # not for the role *user*

    def row(self, model: type[models.Model]) -> models.Model:
        """This world's own row of ``model``."""
        return self.first[model]


def tenant_models() -> list[type[models.Model]]:
    """Every model that hangs off a platform."""
    return [model for model in apps.get_models() if hasattr(model, "PLATFORM_PATH")]


def build_two() -> tuple[World, World]:
    """South, then north with its own range of numbers."""
    south = build("zqsouth", mac="02:12:34:00:00", number="+7999666")
    _start_numbers_at(NORTH_NUMBERS)
    north = build("zqnorth", mac="02:ab:cd:00:00", number="+7999777")
    _fill_the_rest_of_the_registry(north)
    _start_numbers_at(MADE_NUMBERS)
    return south, north


def build(mark: str, *, mac: str, number: str) -> World:
    """One world."""
    platform = create_platform(name=f"{mark} platform")
    world = World(mark=mark, platform=platform)
    world.first[Platform] = platform
    _people(world)
    _devices(world, mac=mac, number=number)
    _doings(world)
    _tokens(world)
    _journal(world)
    for model in sorted(tenant_models(), key=lambda model: model._meta.label):
        if model not in world.first:
            found = model._base_manager.filter(**{model.PLATFORM_PATH: platform.pk}).order_by("pk").first()
            world.first[model] = found or _make(model, world)
    for model in [User, *tenant_models()]:
        if model is not AuditEvent:  # append-only: it was written with its marks
            _stamp_all(model, world)
    return world


def _people(world: World) -> None:
    for role in ("admin", "manager", "user", "viewer"):
        name = f"{world.mark}-{role}"
        person = User.objects.create_user(name, email=f"{role}@{world.mark}.example.org", first_name=name)
        set_role(user=person, platform=world.platform, role=role)
        world.people[role] = person
    gone = User.objects.create_user(f"{world.mark}-gone", email=f"gone@{world.mark}.example.org")
    set_role(user=gone, platform=world.platform, role="manager")
    world.people["gone"] = gone
    world.first[User] = world.people["admin"]


def _devices(world: World, *, mac: str, number: str) -> None:
    platform, user = world.platform, world.people["user"]
    site = make_site(platform, f"{world.mark} site", outer_ip="203.0.113.9")
    mine = make_device(
        platform, name="mine", site=site, owner=user, mac=f"{mac}:01", external_id=f"{number}1"
    )
    other = make_device(platform, name="other", site=site, mac=f"{mac}:02", external_id=f"{number}2")
    socket = make_socket(platform, name="socket", site=site, owner=user, msisdn=f"{number}0001")
    second = make_socket(platform, name="second", site=site, msisdn=f"{number}0002")
    link = PowerLink.objects.create(device=mine, socket=socket)
    world.hidden += [other, second, PowerLink.objects.create(device=other, socket=second)]
    share = DeviceShare.objects.create(device=mine, user=user, level="owner")
    secret = f"{KEY_MARK}-{world.mark}"
    gateway = make_gateway(
        platform, name="gateway", config={}, secret=secret, hook_secret=secret, sender_msisdn=f"{number}0009"
    )
    exporter = make_exporter(
        platform, name="exporter", secret=secret, base_url=f"https://{world.mark}.example.org/api"
    )
    target = make_target(exporter, mine)
    world.hidden.append(make_target(exporter, other))
    seen = tuple(
        Observation(row.mac, Status.OFFLINE, {"name": world.mark, "ip": "192.0.2.7"}) for row in (mine, other)
    )
    store_round(
        exporter_id=exporter.pk, started_at=NOW, finished_at=NOW,
        result=RoundResult(seen, (), {}, True, "", True, 0.1),
    )  # fmt: skip
    job = make_job(platform, name="job", site=site, exporter=exporter)
    works = Maintenance.objects.create(
        platform=platform,
        site=site,
        device=mine,
        reason=world.mark,
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=2),
    )
    holiday = Holiday.objects.create(platform=platform, site=site, day=NOW.date(), name=world.mark)
    world.first |= {
        Site: site, Device: mine, PowerLink: link, DeviceShare: share, Gateway: gateway, Exporter: exporter,
        ExporterTarget: target, Job: job, Maintenance: works, Holiday: holiday,
        JobVersion: keep_version(job, by=world.mark, now=NOW),
    }  # fmt: skip
    for row in (mine, other):
        row.refresh_from_db()


def _doings(world: World) -> None:
    """A command and a case of the user's own device, and of the other one."""
    platform, job = world.platform, world.row(Job)
    admin_user = world.people["admin"]
    pairs = [(world.row(Device), world.row(PowerLink).socket), (world.hidden[0], world.hidden[1])]
    for number, (player, socket) in enumerate(pairs):
        case = Case.objects.create(
            platform=platform, subject=f"device:{player.pk}", title=player.name, device=player, job=job, mode="suggest",
            opened_at=NOW, state_changed_at=NOW, evidence={"why": "x"},
        )  # fmt: skip
        command = request_command(
            device=socket, template_key="status", params={}, source="person", idem_key=f"{world.mark}{number}",
            cause_id=case.cause_id, now=NOW, actor=admin_user, target=player, case_id=case.pk, job_id=job.pk,
        )  # fmt: skip
        if number:
            world.hidden += [case, command, *_around(world, case, command, player)]
        else:
            world.first |= {Case: case, Command: command}
            _around(world, case, command, player, keep=True)


def _around(
    world: World, case: Case, command: Command, player: Device, keep: bool = False
) -> list[models.Model]:
    """Whatever hangs off a case, a command or a device, made generically."""
    made = []
    known = {Case: case, Command: command, Device: player, User: world.people["admin"]}
    for model in tenant_models():
        keys = {key.remote_field.model for key in model._meta.concrete_fields if key.is_relation}
        if (
            (model in world.first and keep)
            or not keys & {Case, Command, Device}
            or model in (Case, Command, Device)
        ):
            continue
        if not keep and model in (DeviceShare, ExporterTarget, Maintenance, PowerLink):
            continue
        row = model._base_manager.filter(command=command).first() if model._meta.label in HAVE else None
        row = row or _make(model, world, known)
        made.append(row)
        if keep:
            world.first[model] = row
    return made


HAVE = {"sms.SmsMessage", "devices.CommandEvent"}  # the command brought its own


def _tokens(world: World) -> None:
    admin_user = world.people["admin"]
    for scope in ("read", "command"):
        _row, text = tokens.issue(name=scope, scopes=[scope], by=admin_user, user=admin_user)
        world.tokens[scope] = text
    for scope in ("scrape", "ingest", "intake", "edge"):
        row, text = tokens.issue(name=scope, scopes=[scope], by=admin_user, platform=world.platform)
        world.tokens[scope] = text
        world.first[ApiToken] = row
    _row, gone = tokens.issue(name="gone", scopes=["read"], by=admin_user, user=world.people["gone"])
    world.tokens["gone"] = gone


def _journal(world: World) -> None:
    """A line of the audit with the mark in every text."""
    mark = world.mark
    world.first[AuditEvent] = audit.record(
        actor=audit.Actor(audit.Kind.PERSON, "1", f"{mark} actor"), verb="thing.done", platform=world.platform,
        target=world.row(Site), before={"name": mark}, after={"name": mark}, reason=f"{mark} reason",
    )  # fmt: skip


# --- rows of any model ---------------------------------------------------------------------------


def _make(model: type[models.Model], world: World, known: dict[Any, Any] | None = None) -> models.Model:
    """A row of ``model`` with as little as it needs, its keys pointing into ``world``."""
    rows = world.first | (known or {})
    values: dict[str, Any] = {}
    for column in model._meta.concrete_fields:
        if column.primary_key and isinstance(column, models.AutoField):
            continue
        if column.is_relation:
            related = column.remote_field.model
            if related is model:
                continue
            if related in rows or related in (User, world.people["admin"].__class__):
                values[column.name] = rows.get(related, world.people["admin"])
            elif related is DeviceModel:  # the catalogue is everybody's: a world makes no models of its own
                values[column.name] = DeviceModel.objects.order_by("pk").first()
            elif not column.null:
                values[column.name] = _make(related, world, known)
        elif not (column.null or column.has_default()):
            values[column.name] = _value(column, world)
    if model._meta.label == "platforms.KillSwitch":
        values |= {"scope": "platform"}
    return model._base_manager.create(**values)


def _value(column: models.Field, world: World) -> Any:
    if column.choices:
        return column.flatchoices[0][0]
    if isinstance(column, models.DateTimeField):
        return getattr(column, "auto_now_add", False) or NOW
    if isinstance(column, models.DateField):
        return NOW.date()
    kinds: list[tuple[type[models.Field], Any]] = [
        (models.UUIDField, uuid.uuid4()), (models.BooleanField, True), (models.DecimalField, 1), (models.FloatField, 1),
        (models.IntegerField, 1), (models.GenericIPAddressField, "192.0.2.1"), (models.JSONField, {}),
        (models.BinaryField, b""), (models.DateField, NOW.date()), (models.DurationField, timedelta(seconds=1)),
    ]  # fmt: skip
    for kind, value in kinds:
        if isinstance(column, kind):
            return value
    return f"{world.mark}-{uuid.uuid4().hex}"[: column.max_length or 60]


def _fill_the_rest_of_the_registry(north: World) -> None:
    """A marked row of every other model that the console shows: logs, queue, blocked callers."""
    for model in admin.site._registry:
        if model in north.first or not model._meta.managed or hasattr(model, "PLATFORM_PATH"):
            continue
        if model._meta.app_label != "devices":  # the catalogue is everybody's
            north.first[model] = _make(model, north)


# --- marks ---------------------------------------------------------------------------------------


def _stamp_all(model: type[models.Model], world: World) -> None:
    rows = model._base_manager.all()
    if model is User:
        rows = rows.filter(pk__in=[person.pk for person in world.people.values()])
    else:
        rows = rows.filter(**{model.PLATFORM_PATH: world.platform.pk})
    hidden = {row.pk for row in world.hidden if isinstance(row, model)}
    for row in rows:
        _stamp(row, world.mark + ("hid" if row.pk in hidden else ""))
    own = world.first.get(model)
    if own is not None:
        own.refresh_from_db()


def _stamp(row: models.Model, mark: str) -> None:
    values: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        name = f"{type(row).__name__}.{column.name}"
        if column.primary_key or column.choices or column.is_relation or name in SHAPED | JSON_SHAPED:
            continue
        if getattr(column, "is_secret", False):
            continue
        if isinstance(column, models.JSONField):
            is_plain = column.name == "labels"
            values[column.name] = (
                {"hall": mark} if is_plain else {"hall": mark, "name": mark, "players": [mark]}
            )
        elif isinstance(column, models.CharField | models.TextField) and not isinstance(
            column, models.URLField
        ):
            unique = f"{mark}-{str(row.pk)[-9:]}-{column.name}"
            values[column.name] = unique[: column.max_length or 60]
    if values:
        type(row)._base_manager.filter(pk=row.pk).update(**values)


def has_free_text(model: type[models.Model]) -> bool:
    """Whether rows of ``model`` have a column that carries the mark."""
    return any(
        isinstance(column, models.CharField | models.TextField | models.JSONField)
        and not (column.choices or column.primary_key or getattr(column, "is_secret", False))
        and f"{model.__name__}.{column.name}" not in SHAPED | JSON_SHAPED
        for column in model._meta.concrete_fields
    )


def is_marked(model: type[models.Model], world: World) -> bool:
    """Whether the mark stands in a text of the world's own row."""
    row = world.row(model)
    return any(world.mark in str(getattr(row, column.attname)) for column in model._meta.concrete_fields)


def _start_numbers_at(first: int) -> None:
    """Every integer key given from now on is larger than ``first``."""
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if not isinstance(model._meta.pk, models.AutoField) or not model._meta.managed:
                continue
            if model._meta.app_label in ("contenttypes", "auth"):
                continue
            table = model._meta.db_table
            if connection.vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, first])
            else:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [f'"{table}"', "id", first]
                )
