"""The guide that puts a GSM socket into service: what is done, what comes next, who dropped in the test.

Steps are read from the commands themselves, so that the guide is true whoever sent them and from where.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from devices.catalogue import DARKENING
from devices.models import Command, CommandTemplate, Device, PowerLink, Restoration
from devices.services import plan_for
from devices.states import IN_FLIGHT, CommandState, DeviceState, RestorationState
from platforms.roles import Perm
from sms.models import Gateway
from sms.senders import accepted, recorded

DONE = frozenset({CommandState.REPLIED, CommandState.VERIFIED})
SETTLING = timedelta(minutes=15)  # after the outage: the CMS needs a while to notice both ends of it
TEST_COUNTS = timedelta(hours=3)  # an older test cycle tells nothing about today's wiring


@dataclass(frozen=True)
class Step:
    """One step. ``state``: done, waiting, failed, todo, absent (the model has no such command)."""

    title: str
    why: str
    state: str
    template: CommandTemplate | None = None
    command: Command | None = None
    cycle_line: int | None = None  # rebooted by several commands, from a page of its own


@dataclass(frozen=True)
class RingThrough:
    """What a test cycle showed (прозвонка)."""

    command: Command
    until: datetime
    is_over: bool
    confirmed: list[Device] = field(default_factory=list)  # linked to this output, and dropped
    proposed: list[Device] = field(default_factory=list)  # dropped, and nobody had said what powers it
    foreign: list[PowerLink] = field(default_factory=list)  # dropped, and said to hang elsewhere
    still_up: list[Device] = field(default_factory=list)  # linked to this output, and did not drop


@dataclass(frozen=True)
class Sender:
    """One gateway, and whether this socket and how many others take commands from its number."""

    gateway: Gateway
    obeyed: bool
    deaf: int
    sockets: int


@dataclass(frozen=True)
class Guide:
    steps: list[Step]
    ring: RingThrough | None
    senders: list[Sender]


def guide(socket: Device, user: Any, *, now: datetime) -> Guide:
    """Everything that the page of the guide shows."""
    templates = (
        {row.key: row for row in socket.model.templates.select_related("model")} if socket.model else {}
    )
    since = socket.recheck_since or socket.created_at
    sent = list(
        Command.objects.filter(device=socket, created_at__gte=since)
        .select_related("template", "restoration")
        .order_by("created_at")
    )
    cycles = [row.key for row in templates.values() if row.power == "cycle"]
    wanted = [
        (_("Master number"), _("The socket obeys the gateway that registers first."), ["register_admin"]),
        (
            _("Number of the backup gateway"),
            _("Without it a failure of the first gateway leaves the socket alone."),
            ["add_user", "add_users", "change_admin"],
        ),
        (_("Notices of mains lost"), _("No mains on the site is a reason not to reboot."), ["mains_sms_on"]),
        (_("Status"), _("It answers, and the answer is understood."), ["status"]),
        (_("Test cycle"), _("The players on it drop and come back."), sorted(cycles)),
    ]
    steps = [_step(title, why, keys, templates, sent) for title, why, keys in wanted]
    if not cycles:
        steps[-1] = _cycle_step(steps[-1], socket, sent)
    return Guide(steps, _ring(socket, sent, user, now), _senders(socket, user))


def _step(
    title: str, why: str, keys: list[str], templates: dict[str, CommandTemplate], sent: list[Command]
) -> Step:
    there = [key for key in keys if key in templates]
    if not there:
        return Step(title, why, "absent")
    tried = [command for command in sent if command.template.key in there]
    if not tried:
        return Step(title, why, "todo", templates[there[0]])
    good = [command for command in tried if command.state in DONE]
    last = good[-1] if good else tried[-1]
    state = "done" if good else "waiting" if last.state in IN_FLIGHT else "failed"
    return Step(title, why, state, templates[last.template.key], last)


def _cycle_step(absent: Step, socket: Device, sent: list[Command]) -> Step:
    """The test of a model that is rebooted by several commands: it is done when the output is on again."""
    lines = range(1, (socket.model.lines if socket.model else 0) + 1)
    line = next((number for number in lines if plan_for(socket, number) is not None), None)
    if line is None:
        return absent
    tried = [row for row in sent if row.power == "off" and row.restoration is not None]
    tried = [row for row in tried if row.restoration.way != Restoration.Way.WATCH]
    if not tried:
        return replace(absent, state="todo", cycle_line=line)
    kept = [row for row in tried if row.restoration.state == RestorationState.KEPT]
    last = kept[-1] if kept else tried[-1]
    live = RestorationState(last.restoration.state) in (RestorationState.DARK, RestorationState.RESTORING)
    return replace(
        absent, state="done" if kept else "waiting" if live else "failed", command=last, cycle_line=line
    )


def _ring(socket: Device, sent: list[Command], user: Any, now: datetime) -> RingThrough | None:
    tests = [
        row for row in sent
        if row.power in DARKENING and row.created_at > now - TEST_COUNTS and row.state not in
        (CommandState.CANCELLED, CommandState.EXPIRED, CommandState.BLOCKED, CommandState.FAILED)
    ]  # fmt: skip
    if not tests:
        return None
    test = tests[-1]
    minutes = test.params.get("minutes", 0) if isinstance(test.params, dict) else 0
    if test.restoration is not None:
        minutes = test.restoration.minutes
    until = test.created_at + timedelta(minutes=float(minutes or 0)) + SETTLING
    line = test.template.line
    mine = (
        Device.objects.visible_to(user).of(socket.platform_id).filter(kind=Device.Kind.PLAYER, is_active=True)
    )
    changed = mine.filter(state_since__gte=test.created_at, state_since__lte=until)
    dropped = list(
        changed.filter(Q(state=DeviceState.OFFLINE) | Q(state=DeviceState.ONLINE)).order_by("name")[:100]
    )
    links = {
        row.device_id: row
        for row in PowerLink.objects.filter(valid_to=None, device__in=mine).filter(
            Q(socket=socket) | Q(device__in=dropped)
        ).select_related("device", "socket")
    }  # fmt: skip
    here = {pk for pk, row in links.items() if row.socket_id == socket.pk and line in (0, row.line)}
    fallen = {device.pk for device in dropped}
    return RingThrough(
        command=test,
        until=until,
        is_over=now >= until,
        confirmed=[device for device in dropped if device.pk in here],
        proposed=[device for device in dropped if device.pk not in links],
        foreign=[links[device.pk] for device in dropped if device.pk in links and device.pk not in here],
        still_up=[links[pk].device for pk in sorted(here - fallen)],
    )


def _senders(socket: Device, user: Any) -> list[Sender]:
    """From which gateways this socket and its neighbours on the platform take commands."""
    rows: Iterable[Gateway] = Gateway.objects.visible_to(user).filter(
        Q(platform=socket.platform_id) | Q(platform=None), is_enabled=True
    ).order_by("priority", "pk")  # fmt: skip
    gateways = list(rows)
    sockets = Device.objects.visible_to(user, Perm.VIEW).of(socket.platform_id).filter(
        kind=Device.Kind.SOCKET, is_active=True
    )  # fmt: skip
    heard = [
        (pk, {g.pk for g in accepted(gateways, recorded(labels))})
        for pk, labels in sockets.values_list("pk", "labels")
    ]
    own = dict(heard).get(socket.pk, set())
    return [
        Sender(gateway, gateway.pk in own, sum(gateway.pk not in found for _pk, found in heard), len(heard))
        for gateway in gateways
    ]
