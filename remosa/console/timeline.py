"""The story of a case, of a command, of a device: rows of several apps merged into one line of time."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Prefetch, Q, Value, When
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from automation.models import Case, GuardRefusal
from automation.sentences import blocked_sentence, command_sentence, event_sentence, plain, refusal_sentence
from automation.states import CaseState
from devices.display import COMMAND_TONES, shown_text
from devices.models import Command, Device, PowerLink, Restoration, Site
from devices.sentences import EVENT_TONES as HAPPENING_TONES
from devices.sentences import dark_sentence
from devices.sentences import event_sentence as happening_sentence
from devices.states import CommandState, RestorationState
from platforms.access import may
from platforms.console.display import DASH
from platforms.console.verbs import verb_text
from platforms.models import AuditEvent, KillSwitch
from platforms.roles import Perm
from platforms.switches import engaged
from remosa.lib.redact import redact
from sms.display import reason_text
from sms.models import InboundSms

EVENT_TONES = {
    "opened": "amber", "escalated": "red", "verified": "green", "back": "green", "acted": "blue",
    "suggested": "blue", "refused": "amber", "fell_again": "amber", "mass_opened": "amber",
    "joined_mass": "amber", "upstream_doubted": "amber", "cancelled": "grey", "acknowledged": "blue",
    "note": "blue",
}  # fmt: skip
SHOWN = 200
TOLD_OF_DEVICE = 20
MOST_NAMED = 10  # players without power that are named
DARK_TONES = {
    RestorationState.DARK: "amber", RestorationState.RESTORING: "amber", RestorationState.BROKEN: "red",
}  # fmt: skip
DARK_STATES = tuple(state.value for state in DARK_TONES)
TOLD_WITH_CHANGES = frozenset(
    {"device.moved", "device.replaced", "device.replaces", "device.sim_replaced", "power_link.made"}
)
SMS_TOLD = frozenset(
    {"undelivered", "failed", "unknown", "expired", "queued"}
)  # the rest is told by the command


@dataclass(frozen=True)
class Moment:
    """One thing that happened. ``sms`` is the text of an SMS that goes with it."""

    at: datetime
    text: str
    tone: str = "grey"
    detail: str = ""
    by: str = ""
    sms: str = ""
    order: int = 0  # among things of the same instant


@dataclass(frozen=True)
class DevicePage:
    """What the head of a device's page shows besides the device itself."""

    power: PowerLink | None = None
    power_visible: bool = False
    neighbours: list[Device] = field(default_factory=list)
    hidden_neighbours: int = 0
    feeds: list[PowerLink] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)
    live_case: Case | None = None
    cases: list[Case] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    refusals: list[GuardRefusal] = field(default_factory=list)
    story: list[Moment] = field(default_factory=list)
    stop: KillSwitch | None = None
    dark: list["Dark"] = field(default_factory=list)


@dataclass(frozen=True)
class Dark:
    """An output that is off now, or may be: the sentence, its tone, and the story where the reader may open it."""

    sentence: str
    tone: str
    since: datetime
    story: Restoration | None = None
    socket: Device | None = None
    players: list[Device] = field(default_factory=list)
    hidden: int = 0


def newest_first(moments: Iterable[Moment]) -> list[Moment]:
    """The story from its end."""
    return sorted(moments, key=lambda m: (m.at, m.order), reverse=True)[:SHOWN]


def sees_names(user: Any, platform_id: int) -> bool:
    """Whether this reader sees every device of the platform, so that any may be named."""
    return may(user, Perm.SEE_ALL, platform_id)


def case_story(case: Case, *, names: bool) -> list[Moment]:
    """Everything that happened in a case, newest first. ``names``: whether other devices may be named."""
    refusals = {(row.guard, row.reason, row.first_at): row for row in case.refusals.all()}
    events = list(case.events.all())
    told = {event.at for event in events}
    moments = [
        _event_moment(event, refusals, names=names, order=number) for number, event in enumerate(events)
    ]
    moments += [
        Moment(step.at, _state_text(step), by=step.by) for step in case.steps.all() if step.at not in told
    ]
    mine = Q(case_id=case.pk) | Q(restoration__case_id=case.pk)  # the ON that is owed has no case above it
    commands = _with_story(Command.objects.filter(mine))
    for command in commands:
        moments += _command_moments(command, case.device_id, brief=True)
    return newest_first(moments)


def _event_moment(event: Any, refusals: dict[Any, GuardRefusal], *, names: bool, order: int = 0) -> Moment:
    detail = ""
    if event.kind == "refused":
        row = refusals.get((event.data.get("guard"), event.data.get("reason"), event.at))
        detail = _refusal_detail(row) if row is not None else ""
    return Moment(
        event.at,
        event_sentence(event.kind, event.data, names=names),
        EVENT_TONES.get(event.kind, "grey"),
        detail,
        event.by,
        order=order,
    )


def _refusal_detail(row: GuardRefusal) -> str:
    return _("Refused %(times)d times so far.") % {"times": row.times} if row.times > 1 else ""


def _state_text(step: Any) -> str:
    state = CaseState(step.to_state).label if step.to_state in CaseState.values else plain(step.to_state)
    return _("State: %(state)s.") % {"state": state}


def command_story(command: Command) -> list[Moment]:
    """Everything that happened to one command, newest first."""
    row = _with_story(Command.objects.filter(pk=command.pk)).get()
    asked = Moment(
        row.created_at, _("The command was asked for."), "grey", row.reason,
        str(row.actor or row.get_source_display()), order=-1,
    )  # fmt: skip
    return newest_first([asked, *_command_moments(row, None, named=False)])


def _with_story(commands: Any) -> Any:
    return commands.select_related("template__model", "device", "actor", "sms__gateway").prefetch_related(
        "events", "inbound_sms", "sms__events"
    )


def _command_moments(
    command: Command, case_device: int | None, *, named: bool = True, brief: bool = False
) -> list[Moment]:
    """The steps of a command and its SMS; ``brief`` leaves out what the case tells by itself."""
    prefix = f"{command.device}: " if named and command.device_id != case_device else ""
    left_out = {CommandState.QUEUED, CommandState.VERIFIED} if brief else set()
    if command.inbound_sms.all():
        left_out.add(CommandState.REPLIED)
    moments = [
        Moment(
            event.at, prefix + command_sentence(event.to_state, event.why), _command_tone(event.to_state), by=event.by,
            sms=redact(shown_text(command)) if event.to_state == CommandState.SENT else "", order=1000,
        )
        for event in command.events.all()
        if event.to_state not in left_out
    ]  # fmt: skip
    moments += [_inbound_moment(row, prefix) for row in command.inbound_sms.all()]
    message = getattr(command, "sms", None)
    if message is not None:
        moments += [
            Moment(event.at, prefix + _sms_text(event), "amber", order=1000)
            for event in message.events.all()
            if event.to_state in SMS_TOLD and event.from_state
        ]
    return moments


def _sms_text(event: Any) -> str:
    sayings = {
        "queued": _("The SMS could not be handed over and is tried again."),
        "undelivered": _("The network did not deliver the SMS."),
        "failed": _("The SMS was not sent."),
        "unknown": _("Nobody knows whether the SMS left."),
        "expired": _("The SMS was too late and was dropped."),
    }
    text = sayings.get(event.to_state, plain(event.to_state))
    return f"{text} ({reason_text(event.why)})" if event.why else text


def _inbound_moment(row: InboundSms, prefix: str = "") -> Moment:
    return Moment(
        row.received_at,
        prefix + (_("The socket answered by SMS.") if row.command_id else _("The socket wrote by SMS.")),
        "blue",
        sms=redact(row.body),
        order=1001,
    )


def _command_tone(state: str) -> str:
    return COMMAND_TONES.get(CommandState(state), "grey") if state in CommandState.values else "grey"


# --- the device page ---------------------------------------------------------------------------------


def device_page(device: Device, user: Any, *, now: datetime) -> DevicePage:
    """What the head of a device's page shows, of everything only what the person may see."""
    mine = Device.objects.visible_to(user)
    power = PowerLink.objects.filter(device=device, valid_to=None).select_related("socket__model").first()
    neighbours, hidden = _neighbours(power, device, mine)
    feeds = PowerLink.objects.filter(socket=device, valid_to=None, device__in=mine).select_related(
        "device__site"
    )
    cases = list(Case.objects.visible_to(user).filter(device=device).select_related("job")[:5])
    commands = Command.objects.visible_to(user).filter(Q(device=device) | Q(target=device))
    stops = engaged(now=now).filter(
        Q(scope=KillSwitch.Scope.DEVICE, platform=device.platform_id, target_id=device.pk)
        | Q(scope=KillSwitch.Scope.PLATFORM, platform=device.platform_id)
        | Q(scope=KillSwitch.Scope.GLOBAL)
    )
    recent = list(_with_story(commands)[:5])
    return DevicePage(
        power=power,
        power_visible=power is not None and mine.filter(pk=power.socket_id).exists(),
        neighbours=neighbours,
        hidden_neighbours=hidden,
        feeds=list(feeds.order_by("line", "device__name")),
        targets=list(device.targets.select_related("exporter")),
        live_case=next((case for case in cases if case.closed_at is None), None),
        cases=cases,
        commands=recent,
        refusals=list(GuardRefusal.objects.visible_to(user).filter(device=device).select_related("job")[:5]),
        story=_device_story(device, cases, recent, user, names=sees_names(user, device.platform_id)),
        stop=stops.first(),
        dark=dark_of_device(device, power, user),
    )


# --- what is dark ----------------------------------------------------------------------------------


def dark_of_device(device: Device, power: PowerLink | None, user: Any) -> list[Dark]:
    """The outputs of a socket that are off, or the one that should feed this player."""
    rows = Restoration.objects.filter(state__in=DARK_STATES).select_related("device")
    if device.kind == Device.Kind.SOCKET:
        return _darks(list(rows.filter(device=device).order_by("line")), user)
    if power is None:
        return []
    mine = rows.filter(device=power.socket_id, line__in=(0, power.line))
    seen = set(
        Restoration.objects.visible_to(user).filter(pk__in=mine.values("pk")).values_list("pk", flat=True)
    )
    return [
        Dark(
            _dark_sentence(row),
            DARK_TONES[RestorationState(row.state)],
            row.created_at,
            row if row.pk in seen else None,
        )
        for row in mine
    ]


def dark_outputs(user: Any, *, limit: int) -> list[Dark]:
    """What is off now on the platforms of ``user``: what needs a person first."""
    rows = Restoration.objects.visible_to(user).filter(state__in=DARK_STATES, platform__is_active=True)
    rank = When(state=RestorationState.BROKEN, then=Value(0))
    rows = rows.select_related("device__site").order_by(models.Case(rank, default=Value(1)), "created_at")
    return _darks(list(rows[:limit]), user)


def _darks(rows: list[Restoration], user: Any) -> list[Dark]:
    """Each with the players that hang on it, as far as the reader sees them."""
    if not rows:
        return []
    links = PowerLink.objects.filter(socket__in=[row.device_id for row in rows], valid_to=None)
    fed = list(links.values_list("socket", "line", "device"))
    seen = Device.objects.visible_to(user).in_bulk([device for _socket, _line, device in fed])
    found = []
    for row in rows:
        ids = [device for socket, line, device in fed if socket == row.device_id and row.line in (0, line)]
        players = sorted((seen[pk] for pk in ids if pk in seen), key=lambda player: player.name)[:MOST_NAMED]
        tone = DARK_TONES[RestorationState(row.state)]
        found.append(
            Dark(_dark_sentence(row), tone, row.created_at, row, row.device, players, len(ids) - len(players))
        )
    return found


def _dark_sentence(row: Restoration) -> str:
    return dark_sentence(way=row.way, state=row.state, line=row.line, minutes=row.minutes)


def _neighbours(power: PowerLink | None, device: Device, mine: Any) -> tuple[list[Device], int]:
    """(those on the same output that the person sees, the number of those they do not)."""
    if power is None:
        return [], 0
    others = PowerLink.objects.filter(socket=power.socket_id, line=power.line, valid_to=None)
    ids = list(others.exclude(device=device).values_list("device", flat=True))
    seen = list(mine.filter(pk__in=ids).order_by("name"))
    return seen, len(ids) - len(seen)


def _device_story(
    device: Device, cases: list[Case], commands: list[Command], user: Any, *, names: bool
) -> list[Moment]:
    """The last events of a device as sentences: its newest cases, its commands, its SMS, what people did to it."""
    moments: list[Moment] = []
    for case in cases[:2]:
        moments += [_event_moment(event, {}, names=names) for event in case.events.order_by("-at", "-pk")[:6]]
    for command in commands:
        moments += _command_moments(command, device.pk)
    unasked = device.inbound_sms.filter(command=None).order_by("-received_at")[:3]
    moments += [_inbound_moment(row) for row in unasked]
    moments += [
        Moment(
            row.at,
            happening_sentence(row.kind, row.data),
            HAPPENING_TONES.get(row.severity, "grey"),
            order=1002,
        )
        for row in device.happenings.order_by("-at", "-pk")[:TOLD_OF_DEVICE]
    ]
    done = AuditEvent.objects.visible_to(user).filter(
        target_type=device._meta.label_lower, target_id=str(device.pk)
    )
    moments += [_deed_moment(line) for line in done.order_by("-at", "-pk")[:TOLD_OF_DEVICE]]
    return newest_first(moments)[:TOLD_OF_DEVICE]


def _deed_moment(line: AuditEvent) -> Moment:
    """What somebody did to the device itself, with what it changed."""
    before, after = line.before or {}, line.after or {}
    parts = [
        f"{before.get(name) or DASH} → {after.get(name) or DASH}" if name in before else str(after[name])
        for name in ("site", "socket", "line", "msisdn", "by", "old")
        if isinstance(after.get(name), str | int) and line.verb in TOLD_WITH_CHANGES
    ]
    text = capfirst(verb_text(line.verb))
    if parts:
        text = f"{text}: {', '.join(parts)}"
    return Moment(line.at, f"{text}.", "grey", line.reason, line.actor_label, order=-1)


def refusal_lines(rows: Iterable[GuardRefusal], user: Any) -> list[dict[str, Any]]:
    """Why-not lines for ``user``."""
    lines = list(rows)
    names = bool(lines) and sees_names(user, lines[0].platform_id)
    return [
        {"row": row, "text": refusal_sentence(row.guard, row.reason, row.data, names=names)} for row in lines
    ]


def failure_text(command: Command) -> str:
    """Why a command did not leave or did not work, or ""."""
    return blocked_sentence(command.failure_reason) if command.failure_reason else ""


# --- the power map of a site -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlet:
    """One socket and what hangs on it: (line, the players that the reader sees, how many more there are)."""

    socket: Device
    lines: list[tuple[int, list[Device], int]]


@dataclass(frozen=True)
class SiteMap:
    """Who goes dark with whom on one site; ``unpowered``: players of which nobody has said what feeds them."""

    outlets: list[Outlet]
    unpowered: list[Device]
    elsewhere: list[PowerLink]  # players of this site that hang on a socket of another one


MOST_ON_MAP = 300


def site_map(site: Site, user: Any) -> SiteMap:
    """Socket → line → players of a site, of everything only what the reader may see."""
    mine = Device.objects.visible_to(user).filter(is_active=True)
    here = list(
        mine.filter(site=site).with_observed_at().select_related("model").order_by("name")[:MOST_ON_MAP]
    )
    sockets = [device for device in here if device.kind == Device.Kind.SOCKET]
    devices = Prefetch("device", queryset=Device.objects.with_observed_at())
    links = PowerLink.objects.filter(valid_to=None).select_related("socket").prefetch_related(devices)
    fed: dict[tuple[int, int], list[Device]] = {}
    hidden: dict[tuple[int, int], int] = {}
    seen = set(mine.filter(power_links__socket__in=sockets).values_list("pk", flat=True))
    for link in links.filter(socket__in=sockets).order_by("device__name"):
        key = (link.socket_id, link.line)
        if link.device_id in seen:
            fed.setdefault(key, []).append(link.device)
        else:
            hidden[key] = hidden.get(key, 0) + 1
    players = [device for device in here if device.kind == Device.Kind.PLAYER]
    powered = {link.device_id: link for link in links.filter(device__in=players)}
    own = {socket.pk for socket in sockets}
    return SiteMap(
        outlets=[
            Outlet(
                socket,
                [
                    (line, fed.get((socket.pk, line), []), hidden.get((socket.pk, line), 0))
                    for line in range(1, (socket.model.lines if socket.model else 1) + 1)
                ],
            )
            for socket in sockets
        ],
        unpowered=[player for player in players if player.pk not in powered],
        elsewhere=[link for link in powered.values() if link.socket_id not in own],
    )
