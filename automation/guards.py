"""What may object to an action, in order; each says why and, where it can, when it lifts.

``GUARDS`` is data: the order is the order of the why-not journal. ``case_still_wants`` asks the
decisive ones again inside the outbox's barrier, the last moment before the SMS leaves.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Exists, F, JSONField, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from automation import alert_evidence
from automation.calendar import Air, Timing, air_at, timing
from automation.engine import flapping_until, is_mass
from automation.ladder import CYCLE, Do, Rung
from automation.models import ActionCall, ActionRun, Case, Holiday, Job, JobState, Maintenance
from automation.peers import SCOPES, WINDOW, groups_of
from automation.repairs import COMMAND, is_whole, plan_of
from automation.services import health
from automation.sources import DARKENING, devices_of, max_age_of
from automation.states import LIVE, STILL_WANTED, CallState, Mode
from devices.models import Command, Device, PowerLink, Restoration
from devices.services import Plan, transport_of
from devices.services.bench import firmware_of, is_bench_checked
from devices.services.commands import being_restored
from devices.states import IN_FLIGHT, MAY_HAVE_ACTED, CommandState, DeviceState, RestorationState
from exporters.models import ExporterTarget
from platforms import quotas
from platforms.switches import stopping

SWITCHING = (*DARKENING, "on", "on_later")  # power effects that leave an output on or off
JOB_SHARE = 0.05  # of its devices that one job may act on within an hour, at least three


@dataclass(frozen=True)
class Refusal:
    """One objection: ``guard`` and ``reason`` are words of closed lists, ``data`` fills the sentence."""

    guard: str
    reason: str
    data: dict[str, Any] = field(default_factory=dict)
    lifts_at: datetime | None = None


@dataclass(frozen=True)
class Candidate:
    """An action that is about to be planned."""

    case: Case
    job: Job
    device: Device
    link: PowerLink | None
    by_person: bool = False
    changes: tuple[datetime, ...] = ()  # when the job saw the device become bad or good
    rung: Rung = CYCLE

    @property
    def socket(self) -> Device | None:
        """What powers the device."""
        return self.link.socket if self.link else None

    @cached_property
    def plan(self) -> Plan | None:
        """What the job sends to the socket; read once, for several guards ask."""
        return plan_of(self.job, self.link.socket, self.link.line) if self.link else None


Guard = Callable[[Candidate, datetime], Refusal | None]


def candidate_of(case: Case, *, by_person: bool = False, rung: Rung = CYCLE) -> Candidate:
    """The candidate of a device case, read fresh, for a step of its ladder."""
    seen = JobState.objects.filter(job=case.job_id, device=OuterRef("pk")).values("changes")[:1]
    rows = Device.objects.select_related("site", "platform").annotate(
        changes_seen=Subquery(seen, output_field=JSONField())
    )
    device = rows.get(cases=case)
    link = (
        PowerLink.objects.filter(device=device, valid_to=None)
        .select_related("socket__model", "socket__platform")
        .first()
    )
    assert case.job is not None  # noqa: S101  callers ask only for cases with a job
    changes = tuple(datetime.fromtimestamp(at, tz=UTC) for at in device.changes_seen or ())
    return Candidate(case, case.job, device, link, by_person, changes, rung)


def kill_switch(candidate: Candidate, now: datetime) -> Refusal | None:
    """Somebody stopped automation here."""
    if candidate.by_person:
        return None
    fed = PowerLink.objects.filter(socket=candidate.socket, valid_to=None).values_list("device_id", flat=True)
    devices = (candidate.device.pk, *((candidate.socket.pk, *fed) if candidate.socket else ()))
    switch = stopping(
        platform_id=candidate.device.platform_id, job_id=candidate.job.pk, device_ids=devices, now=now
    )
    if switch is None:
        return None
    return Refusal("kill_switch", switch.scope, {"reason": switch.reason}, switch.expires_at)


def maintenance(candidate: Candidate, now: datetime) -> Refusal | None:
    """People work there."""
    if candidate.by_person:
        return None
    device = candidate.device
    here = Q(site=None, device=None) | Q(device=device)
    if device.site_id is not None:
        here |= Q(site=device.site_id, device=None)
    if candidate.socket is not None:
        here |= Q(device=candidate.socket)
    windows = Maintenance.objects.filter(here, platform=device.platform_id, starts_at__lte=now)
    going_on = windows.filter(Q(ends_at__gt=now) | ~Q(repeats=Maintenance.Repeats.ONCE))
    found = [
        (until, window.reason)
        for window in going_on.select_related("platform", "site", "device__site")
        if (until := window.open_until(now))
    ]
    if not found:
        return None
    until, reason = max(found)
    return Refusal("maintenance", "under_maintenance", {"reason": reason}, until)


def own_health(candidate: Candidate, now: datetime) -> Refusal | None:
    """REMOSA was late or its clock jumped: it does not trust itself for a while."""
    if candidate.by_person:
        return None
    found = health.doubt(now=now)
    return Refusal("own_health", found.reason, lifts_at=found.until) if found else None


def air_of(job: Job, device: Device, *, now: datetime) -> Air | None:
    """Whether the place of the device is on air, by the job's own hours or those of the site; None: not told."""
    site = device.site
    week = job.hours or (site.broadcast_hours if site is not None else {})
    if not week:
        return None
    here = Q(site=None) | Q(site=device.site_id) if site is not None else Q(site=None)
    days = Holiday.objects.filter(here, platform=device.platform_id)
    near = days.filter(day__range=(now.date() - timedelta(days=3), now.date() + timedelta(days=15)))
    # the site's own word about a day counts more than the platform's
    holidays: dict[date, list[str]] = {
        row.day: row.hours for row in sorted(near, key=lambda row: row.site_id is not None)
    }
    zone = ZoneInfo(site.time_zone if site is not None else device.platform.time_zone)
    return air_at(week, zone=zone, holidays=holidays, now=now)


def timing_of(case: Case, job: Job, device: Device, *, now: datetime) -> Timing:
    """What the clock of the place allows the job to do for this case now."""
    return timing(
        job.manners, air_of(job, device, now=now), down_since=case.down_since or case.opened_at, now=now
    )


def mode_now(case: Case, job: Job, device: Device | None, *, now: datetime) -> str:
    """What the job may do for the case now: on an alert alone, and on air, an automatic job may only suggest."""
    mode = alert_evidence.mode_of(job, device)
    if mode != Mode.AUTO or device is None:
        return mode
    return Mode.SUGGEST if timing_of(case, job, device, now=now).may == "suggest" else mode


def broadcast_hours(candidate: Candidate, now: datetime) -> Refusal | None:
    """Screens are on air, or it is the middle of the night: the job waits for a better time."""
    if candidate.by_person:
        return None
    found = timing_of(candidate.case, candidate.job, candidate.device, now=now)
    return Refusal("broadcast_hours", found.reason, lifts_at=found.until) if found.may == "nothing" else None


def flapping(candidate: Candidate, now: datetime) -> Refusal | None:
    """It goes and comes too often for a repair to mean anything."""
    if candidate.by_person:
        return None
    job = candidate.job
    window = timedelta(seconds=job.flap_window_s)
    until = flapping_until(candidate.changes, most=job.flap_changes, window=window, now=now)
    data = {"changes": job.flap_changes, "window_s": job.flap_window_s}
    return Refusal("flapping", "changes_too_often", data, until) if until is not None else None


def scope(candidate: Candidate, now: datetime) -> Refusal | None:
    """The platform, the device and the job must still be meant."""
    if not candidate.device.platform.is_active:
        return Refusal("scope", "platform_inactive")
    if not candidate.device.is_active:
        return Refusal("scope", "device_removed")
    job = candidate.job  # one without a number is tried out by a person, who named its devices
    if job.pk and not candidate.by_person and not devices_of(job).filter(pk=candidate.device.pk).exists():
        return Refusal("scope", "not_in_the_job")
    return None


def evidence(candidate: Candidate, now: datetime) -> Refusal | None:
    """Only a fresh, positive "offline" that has lasted, and is not our own doing, is evidence."""
    device, job = candidate.device, candidate.job
    if job.source == Job.Source.ALERT:
        return _alert(candidate, now) or _dark_by_us(candidate, now)
    if device.state == DeviceState.UNKNOWN or device.observed_at is None:
        return Refusal("evidence", "no_data")
    if device.state != DeviceState.OFFLINE:
        return Refusal("evidence", "not_offline")
    target = (
        ExporterTarget.objects.filter(device=device)
        .select_related("exporter")
        .order_by(ExporterTarget.OBSERVED_AT.desc(nulls_last=True))
        .first()
    )
    # an observation in the future was made by a clock that was wrong: it proves no more than an old one
    if abs(now - device.observed_at) > max_age_of(job, target.exporter if target else None):
        return Refusal("evidence", "stale", {"age_s": round((now - device.observed_at).total_seconds())})
    since = device.state_since or device.observed_at
    if not candidate.by_person and device.observed_at - since < job.hold:
        return Refusal("evidence", "not_long_enough", {"hold_s": job.hold_s}, since + job.hold)
    return _dark_by_us(candidate, now)


def _alert(candidate: Candidate, now: datetime) -> Refusal | None:
    """An alert that fires, was told lately, and is not contradicted by a fresher snapshot."""
    device, job = candidate.device, candidate.job
    told = alert_evidence.told_of(job, device)
    if told is None or told.breach is None:
        return Refusal("evidence", "no_data")
    hold = timedelta() if candidate.by_person else job.hold
    reading = alert_evidence.reading_of(told, device, hold=hold, now=now)
    if not told.breach or reading.breach is False:
        return Refusal("evidence", "not_offline")
    if reading.breach is None:
        return Refusal("evidence", "not_long_enough", {"hold_s": job.hold_s}, told.starts_at + job.hold)
    if abs(now - told.received_at) > alert_evidence.max_age_of(job):
        return Refusal("evidence", "stale", {"age_s": round((now - told.received_at).total_seconds())})
    return None


def _dark_by_us(candidate: Candidate, now: datetime) -> Refusal | None:
    """A command that is not of this case cut the device's power a moment ago."""
    link = candidate.link
    if link is None:
        return None
    cuts = Command.objects.filter(
        device=link.socket, template__line__in=(0, link.line), power__in=DARKENING, state__in=MAY_HAVE_ACTED,
        verify_until__gt=now,
    )  # fmt: skip
    last = (
        cuts.exclude(case_id=candidate.case.pk)
        .exclude(state=CommandState.VERIFIED)
        .order_by("-verify_until")
        .first()
    )
    return Refusal("evidence", "dark_by_our_cycle", lifts_at=last.verify_until) if last else None


def upstream(candidate: Candidate, now: datetime) -> Refusal | None:
    """A CMS that fails or contradicts itself proves nothing about a device."""
    for target in ExporterTarget.objects.filter(device=candidate.device).select_related("exporter"):
        exporter = target.exporter
        if not exporter.is_enabled:
            continue
        if not exporter.is_up or exporter.suspect_reason:
            reason = exporter.suspect_reason or exporter.last_error or "down"
            return Refusal("upstream", "cms_in_doubt", {"exporter": exporter.name, "why": reason})
    return None


def mass_change(candidate: Candidate, now: datetime) -> Refusal | None:
    """Many fell together: a common cause is likelier than many hung players."""
    parent, device = candidate.case.parent, candidate.device
    if parent is not None and parent.state in LIVE:
        return Refusal("mass_change", "common_cause", {"group": parent.title})
    groups = groups_of(device, now=now, window=mass_window(candidate.job))
    group = min(filter(is_mass, groups), key=lambda found: SCOPES.index(found.scope), default=None)
    if group is not None:
        return Refusal("mass_change", group.scope, {"group": group.title, **group.figures})
    subjects = [found.subject for found in groups]
    for mass in Case.objects.filter(kind=Case.Kind.MASS, subject__in=subjects, state__in=LIVE):
        if device.fell_at is None or device.fell_at <= mass.opened_at + WINDOW:
            return Refusal("mass_change", "common_cause", {"group": mass.title})
    return None


def mass_window(job: Job) -> timedelta:
    """How far back a job looks for others that fell: at least as far as its own evidence reaches."""
    return max(WINDOW, job.hold + timedelta(minutes=2))


def power(candidate: Candidate, now: datetime) -> Refusal | None:
    """There must be a socket, it must be checked, on, and free; and its neighbours must not suffer unasked."""
    link, socket = candidate.link, candidate.socket
    if link is None or socket is None:
        return Refusal("power", "no_power_link")
    if not socket.is_active or not socket.msisdn:
        return Refusal("power", "no_number", {"socket": socket.name})
    if socket.model is None or not (candidate.by_person or is_bench_checked(socket)):
        model = f"{socket.model} {firmware_of(socket)}".strip()
        return Refusal("power", "model_not_checked", {"model": model})
    waits = next((row for row in (candidate.device, socket) if row.recheck_since is not None), None)
    if waits is not None and not candidate.by_person:
        return Refusal("power", "not_rechecked", {"device": waits.name})
    plan = candidate.plan
    if plan is None:
        return Refusal(
            "power", "no_such_command", {"model": str(socket.model), "command": candidate.job.template_key}
        )
    template = plan.templates[0]
    if not is_whole(plan):
        return Refusal("power", "not_a_repair", {"command": template.key})
    if template.line not in (0, link.line):
        return Refusal("power", "wrong_line", {"command": template.key, "line": link.line})
    if socket.facts.get("mains") == "lost":
        return Refusal("power", "no_mains", {"socket": socket.name})
    if _left_off_by_person(link):
        return Refusal("power", "switched_off_by_person", {"socket": socket.name})
    return _neighbours(candidate, link, link.line if plan.way != COMMAND else template.line)


def _left_off_by_person(link: PowerLink) -> bool:
    """Whether the last that was done to this output is an OFF after which somebody wants it off."""
    switched = Command.objects.filter(
        device=link.socket, template__line__in=(0, link.line), state__in=MAY_HAVE_ACTED, power__in=SWITCHING
    )
    last = switched.select_related("restoration").order_by("-created_at").first()
    if last is None or last.power not in ("off", "off_later"):
        return False
    story = last.restoration
    if story is None or story.way == Restoration.Way.WATCH:
        return last.source != Command.Source.JOB
    return story.state == RestorationState.CANCELLED


def _neighbours(candidate: Candidate, link: PowerLink, line: int) -> Refusal | None:
    if candidate.job.may_darken_others or candidate.by_person:
        return None
    others = PowerLink.objects.filter(socket=link.socket, valid_to=None).exclude(device=candidate.device)
    if line:
        others = others.filter(line=line)
    online = others.filter(device__state=DeviceState.ONLINE, device__is_active=True)
    healthy = list(online.values_list("device__name", flat=True)[:10])
    return Refusal("power", "feeds_healthy_players", {"players": healthy}) if healthy else None


def lane(candidate: Candidate, now: datetime) -> Refusal | None:
    """The socket is still busy with another command, or with bringing this output back."""
    link = candidate.link
    if link is not None and being_restored(link.socket_id, link.line):
        return Refusal("lane", "output_being_restored", {"socket": str(candidate.socket)})
    busy = Command.objects.filter(device=candidate.socket, state__in=IN_FLIGHT, lane_exempt=False).first()
    return (
        Refusal("lane", "socket_busy", {"socket": str(candidate.socket), "state": busy.state})
        if busy
        else None
    )


def cooldown(candidate: Candidate, now: datetime) -> Refusal | None:
    """Not again so soon: neither this device nor this socket."""
    if candidate.by_person:
        return None
    pause = timedelta(seconds=candidate.job.cooldown_s)
    last = max(_acted_at(candidate, since=now - pause), default=None)
    if last is None or last + pause <= now:
        return None
    return Refusal("cooldown", "too_soon", {"pause_s": candidate.job.cooldown_s}, last + pause)


def chronic(candidate: Candidate, now: datetime) -> Refusal | None:
    """A device that needs this so often needs a person."""
    if candidate.by_person:
        return None
    sent = _acted_at(candidate, since=now - timedelta(days=7))
    today = sorted(at for at in sent if at >= now - timedelta(days=1))
    limit = candidate.job.max_actions_per_day
    if len(today) >= limit:
        return Refusal("chronic", "day_limit", {"limit": limit}, today[-limit] + timedelta(days=1))
    week = candidate.job.max_actions_per_week
    if len(sent) >= week:
        return Refusal("chronic", "week_limit", {"limit": week}, sorted(sent)[-week] + timedelta(days=7))
    return None


@dataclass(frozen=True)
class Radius:
    """Within ``minutes`` of the devices at most ``least`` actions, or ``share`` of them when that is more."""

    scope: str
    minutes: int
    least: int
    share: float

    @property
    def window(self) -> timedelta:
        """The minutes as time that passes here: the simulator's are shorter."""
        return timedelta(seconds=self.minutes * settings.DEVICE_MINUTE_S)


RADII = (
    Radius("job", 60, 3, JOB_SHARE),
    Radius("site", 10, 2, 0.25),
    Radius("exporter", 10, 3, 0.05),
    Radius("platform", 10, 3, 0.1),
    Radius("everything", 10, 50, 0.0),
)
GATEWAY = Radius("gateway", 10, 10, 0.05)  # share: of the players of the platform
BURST = 3  # actions that one gateway takes at once
PAUSE_S = (20, 60)  # between those that follow


def blast_radius(candidate: Candidate, now: datetime) -> Refusal | None:
    """Few actions at once: of one job, on one site, behind one CMS, on one platform, altogether."""
    if candidate.by_person:
        return None
    begun = _begun(candidate, since=now - max(radius.window for radius in RADII))
    for radius in RADII:
        if refusal := _within(radius, candidate, begun, now):
            return refusal
    return _through_gateway(candidate, now) if candidate.rung.do == Do.CYCLE else None


def _through_gateway(candidate: Candidate, now: datetime) -> Refusal | None:
    """What many cases ask for together leaves one by one: a few at once, the others at a distance."""
    socket = candidate.socket
    if socket is None:
        return None
    times = transport_of(socket).lately(socket, since=now - GATEWAY.window)
    if len(times) < BURST:
        return None
    if len(times) >= GATEWAY.least:
        players = Device.objects.filter(
            platform=candidate.device.platform_id, kind=Device.Kind.PLAYER
        ).count()
        limit = max(GATEWAY.least, int(players * GATEWAY.share))
        if len(times) >= limit:
            data = {"limit": limit, "window_s": GATEWAY.window.total_seconds()}
            return Refusal("blast_radius", "gateway_limit", data, times[-limit] + GATEWAY.window)
    least, most = PAUSE_S
    pause = timedelta(seconds=least + candidate.case.pk.int % (most - least + 1))
    if now < times[-1] + pause:
        return Refusal("blast_radius", "gateway_pace", {"at_once": BURST}, times[-1] + pause)
    return None


@dataclass(frozen=True)
class Begun:
    """An action that jobs have begun: when, and what it counts for."""

    at: datetime
    job: int | None
    site: int | None
    platform: int
    is_behind: bool  # one of the exporters of the candidate


def _begun(candidate: Candidate, *, since: datetime) -> list[Begun]:
    """What jobs have begun of this kind since then, the oldest first, everywhere."""
    if candidate.rung.do == Do.WEBHOOK:
        acted: Any = ActionCall.objects.filter(kind=Do.WEBHOOK, by="", created_at__gt=since)
        acted = acted.exclude(state__in=[CallState.FAILED, CallState.CANCELLED])
        of_job, target = "case__job", "case__device"
    else:
        # a reboot by several SMS counts from its first one, which switches nothing off yet
        starts = Q(power__in=DARKENING) & ~Q(restoration__way=Restoration.Way.ARMED)
        starts |= Q(power="on_later", restoration__way=Restoration.Way.ARMED)
        acted = Command.objects.filter(starts, source=Command.Source.JOB, created_at__gt=since)
        acted = acted.exclude(state__in=["blocked", "cancelled", "expired", "superseded", "failed"])
        of_job, target = "job_id", "target"
    exporters = ExporterTarget.objects.filter(device=candidate.device).values("exporter")
    behind = ExporterTarget.objects.filter(exporter__in=exporters, device=OuterRef(target))
    rows = acted.annotate(is_behind=Exists(behind)).order_by("created_at")
    columns = ("created_at", of_job, f"{target}__site", "platform", "is_behind")
    return [Begun(*row) for row in rows.values_list(*columns)]


def _within(radius: Radius, candidate: Candidate, begun: list[Begun], now: datetime) -> Refusal | None:
    device = candidate.device
    counts: dict[str, Callable[[Begun], bool]] = {
        "job": lambda one: one.job == candidate.job.pk,
        "site": lambda one: device.site_id is not None and one.site == device.site_id,
        "exporter": lambda one: one.is_behind,
        "platform": lambda one: one.platform == device.platform_id,
        "everything": lambda one: True,
    }
    times = [one.at for one in begun if one.at > now - radius.window and counts[radius.scope](one)]
    if len(times) < radius.least:
        return None
    limit = max(radius.least, int(_members(radius, candidate).count() * radius.share))
    if len(times) < limit:
        return None
    data = {"limit": limit, "window_s": radius.window.total_seconds()}
    return Refusal("blast_radius", f"{radius.scope}_limit", data, times[-limit] + radius.window)


def _members(radius: Radius, candidate: Candidate) -> Any:
    """The devices of which an action within ``radius`` is a share."""
    device, players = candidate.device, Device.objects.filter(kind=Device.Kind.PLAYER)
    if radius.scope == "job":
        return devices_of(candidate.job)
    if radius.scope == "site":
        return players.filter(site=device.site_id)
    if radius.scope == "exporter":
        exporters = ExporterTarget.objects.filter(device=device).values("exporter")
        return Device.objects.filter(
            pk__in=ExporterTarget.objects.filter(exporter__in=exporters).values("device")
        )
    return (
        players.filter(platform=device.platform_id) if radius.scope == "platform" else Device.objects.none()
    )


def budget(candidate: Candidate, now: datetime) -> Refusal | None:
    """Automation spends only its share of the platform's SMS, and begins nothing that it could not end."""
    plan = candidate.plan
    wanted = len(plan.templates) if plan is not None else 1
    left = quotas.remaining(candidate.device.platform, quotas.SMS, at=now, for_people=candidate.by_person)
    return Refusal("budget", "sms_limit", {"left": left}) if left < wanted else None


def _acted_at(candidate: Candidate, *, since: datetime) -> list[datetime]:
    """When power commands may have acted on this device, by whatever socket, or on its socket.

    A soft step also waits for the soft steps before it; the power cycle that follows one does not.
    """
    mine = Q(target=candidate.device)
    if candidate.socket is not None:
        mine |= Q(device=candidate.socket)
    rows = Command.objects.filter(
        mine, platform=candidate.device.platform_id, power__in=DARKENING, state__in=MAY_HAVE_ACTED
    )
    rows = rows.annotate(acted_at=Coalesce("sent_at", "state_changed_at")).filter(acted_at__gte=since)
    times = list(rows.values_list("acted_at", flat=True))
    if candidate.rung.do == Do.WEBHOOK:
        calls = ActionCall.objects.filter(
            case__device=candidate.device, kind=Do.WEBHOOK, state__in=MAY_HAVE_CALLED, state_changed_at__gte=since
        )  # fmt: skip
        times += calls.values_list("state_changed_at", flat=True)
    return times


GUARDS: tuple[Guard, ...] = (
    scope, kill_switch, maintenance, own_health, evidence, upstream, mass_change, flapping, broadcast_hours, power,
    lane, cooldown, chronic, blast_radius, budget,
)  # fmt: skip
# asked again at the barrier; the others are about planning (the lane is the command's own by now)
LAST_GUARDS: tuple[Guard, ...] = (
    scope, kill_switch, maintenance, own_health, upstream, mass_change, flapping, broadcast_hours, power, cooldown,
    chronic,
)  # fmt: skip
OF_POWER: tuple[Guard, ...] = (
    power,
    lane,
    budget,
)  # these ask after the socket: what calls nobody there skips them
SOFT = Rung(Do.WEBHOOK)
MAY_HAVE_CALLED = (CallState.SENDING, CallState.DONE, CallState.UNKNOWN)


def guards_of(rung: Rung, guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
    """Those of the guards that a step must pass."""
    if rung.is_quiet:
        return (scope,)
    return guards if rung.do == Do.CYCLE else tuple(guard for guard in guards if guard not in OF_POWER)


def first_refusal(candidate: Candidate, *, now: datetime) -> Refusal | None:
    """The first objection, or None: then the action may be planned."""
    for guard in guards_of(candidate.rung, GUARDS):
        if refusal := guard(candidate, now):
            return refusal
    return None


def case_still_wants(command: Command, *, now: datetime) -> str | None:
    """COMMAND_GUARDS: a case's command leaves only while its case, its job and its evidence still stand."""
    if command.case_id is None:
        return None
    by_person = command.source != Command.Source.JOB
    return _objection(command.case_id, by_person=by_person, socket_id=command.device_id, now=now)


def case_still_wants_call(call: ActionCall, *, now: datetime) -> str | None:
    """The same for a soft step, in the moment before it is carried out; a notice is wanted while its case lives."""
    if call.kind != Do.WEBHOOK:
        return None if call.case.state in LIVE else "case_closed"
    if ActionRun.objects.filter(call=call, attempt__lt=F("case__attempts")).exists():
        return "overtaken"  # a person did not wait for it
    return _objection(call.case_id, by_person=bool(call.by), rung=SOFT, now=now)


def _objection(
    case_id: uuid.UUID, *, by_person: bool, now: datetime, rung: Rung = CYCLE, socket_id: int | None = None
) -> str | None:
    cases = Case.objects.select_related("job__platform", "parent", "device__site", "device__platform")
    case = cases.filter(pk=case_id).first()
    if case is None or case.state not in STILL_WANTED:
        return "case_closed"
    if case.job is None or not (by_person or _job_stands(case, case.job, now=now)):
        return "job_changed"
    candidate = candidate_of(case, by_person=by_person, rung=rung)
    if socket_id is not None and (candidate.socket is None or candidate.socket.pk != socket_id):
        return "power_link_changed"
    refusal = evidence(candidate, now)
    if refusal is not None:
        return "condition_cleared" if refusal.reason == "not_offline" else f"evidence_{refusal.reason}"
    for guard in guards_of(rung, LAST_GUARDS):
        if refusal := guard(candidate, now):
            return f"{refusal.guard}_{refusal.reason}"
    return None


def _job_stands(case: Case, job: Job, *, now: datetime) -> bool:
    """The job acts by itself, and is the one under which the command was planned."""
    mode = mode_now(case, job, case.device, now=now)
    return job.is_enabled and mode == Mode.AUTO and job.version == case.job_version
