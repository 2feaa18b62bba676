"""What may object to an action, in order; each says why and, where it can, when it lifts.

``GUARDS`` is data: the order is the order of the why-not journal. ``case_still_wants`` asks the
decisive ones again inside the outbox's barrier, the last moment before the SMS leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Coalesce

from automation import alert_evidence
from automation.engine import is_mass
from automation.models import Case, Job, Maintenance
from automation.peers import SCOPES, WINDOW, groups_of
from automation.services import health
from automation.sources import DARKENING, devices_of, max_age_of
from automation.states import LIVE, STILL_WANTED, Mode
from devices.models import Command, CommandTemplate, Device, PowerLink
from devices.services.bench import firmware_of, is_bench_checked
from devices.states import IN_FLIGHT, MAY_HAVE_ACTED, CommandState, DeviceState
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

    @property
    def socket(self) -> Device | None:
        """What powers the device."""
        return self.link.socket if self.link else None


Guard = Callable[[Candidate, datetime], Refusal | None]


def candidate_of(case: Case, *, by_person: bool = False) -> Candidate:
    """The candidate of a device case, read fresh."""
    device = Device.objects.select_related("site", "platform").get(cases=case)
    link = (
        PowerLink.objects.filter(device=device, valid_to=None)
        .select_related("socket__model", "socket__platform")
        .first()
    )
    assert case.job is not None  # noqa: S101  callers ask only for cases with a job
    return Candidate(case=case, job=case.job, device=device, link=link, by_person=by_person)


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


def scope(candidate: Candidate, now: datetime) -> Refusal | None:
    """The platform, the device and the job must still be meant."""
    if not candidate.device.platform.is_active:
        return Refusal("scope", "platform_inactive")
    if not candidate.device.is_active:
        return Refusal("scope", "device_removed")
    if not candidate.by_person and not devices_of(candidate.job).filter(pk=candidate.device.pk).exists():
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
    if abs(now - device.observed_at) > max_age_of(job, target):
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
        if device.state_since is None or device.state_since <= mass.opened_at + WINDOW:
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
    template = socket.model.templates.filter(key=candidate.job.template_key).first()
    if template is None:
        return Refusal(
            "power", "no_such_command", {"model": str(socket.model), "command": candidate.job.template_key}
        )
    if not template.is_repair:
        return Refusal("power", "not_a_repair", {"command": template.key})
    if template.line not in (0, link.line):
        return Refusal("power", "wrong_line", {"command": template.key, "line": link.line})
    if socket.facts.get("mains") == "lost":
        return Refusal("power", "no_mains", {"socket": socket.name})
    last = (
        Command.objects.filter(device=socket, state__in=MAY_HAVE_ACTED, power__in=SWITCHING)
        .order_by("-created_at")
        .first()
    )
    if last is not None and last.power in ("off", "off_later") and last.source != Command.Source.JOB:
        return Refusal("power", "switched_off_by_person", {"socket": socket.name})
    return _neighbours(candidate, link, template)


def _neighbours(candidate: Candidate, link: PowerLink, template: CommandTemplate) -> Refusal | None:
    if candidate.job.may_darken_others or candidate.by_person:
        return None
    others = PowerLink.objects.filter(socket=link.socket, valid_to=None).exclude(device=candidate.device)
    if template.line:
        others = others.filter(line=template.line)
    online = others.filter(device__state=DeviceState.ONLINE, device__is_active=True)
    healthy = list(online.values_list("device__name", flat=True)[:10])
    return Refusal("power", "feeds_healthy_players", {"players": healthy}) if healthy else None


def lane(candidate: Candidate, now: datetime) -> Refusal | None:
    """The socket is still busy with another command."""
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
    last = _actions(candidate).order_by("-acted_at").values_list("acted_at", flat=True).first()
    if last is None or last + pause <= now:
        return None
    return Refusal("cooldown", "too_soon", {"pause_s": candidate.job.cooldown_s}, last + pause)


def chronic(candidate: Candidate, now: datetime) -> Refusal | None:
    """A device that needs this so often needs a person."""
    if candidate.by_person:
        return None
    sent = list(
        _actions(candidate).filter(acted_at__gte=now - timedelta(days=7)).values_list("acted_at", flat=True)
    )
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


def blast_radius(candidate: Candidate, now: datetime) -> Refusal | None:
    """Few actions at once: of one job, on one site, behind one CMS, on one platform, altogether."""
    if candidate.by_person:
        return None
    for radius in RADII:
        if refusal := _within(radius, candidate, now):
            return refusal
    return None


def _within(radius: Radius, candidate: Candidate, now: datetime) -> Refusal | None:
    acted = Command.objects.filter(
        source=Command.Source.JOB, power__in=DARKENING, created_at__gt=now - radius.window
    )
    acted = acted.exclude(state__in=["blocked", "cancelled", "expired", "superseded", "failed"])
    mine, device = Device.objects.none(), candidate.device
    if radius.scope == "job":
        acted, mine = acted.filter(job_id=candidate.job.pk), devices_of(candidate.job)
    elif radius.scope == "site":
        if device.site_id is None:
            return None
        mine = Device.objects.filter(site=device.site_id, kind=Device.Kind.PLAYER)
        acted = acted.filter(target__site=device.site_id)
    elif radius.scope == "exporter":
        exporters = ExporterTarget.objects.filter(device=device).values("exporter")
        mine = Device.objects.filter(
            pk__in=ExporterTarget.objects.filter(exporter__in=exporters).values("device")
        )
        acted = acted.filter(target__in=mine)
    elif radius.scope == "platform":
        mine = Device.objects.filter(platform=device.platform_id, kind=Device.Kind.PLAYER)
        acted = acted.filter(platform=device.platform_id)
    times = sorted(acted.values_list("created_at", flat=True)[:1000])
    if len(times) < radius.least:
        return None
    limit = max(radius.least, int(mine.count() * radius.share))
    if len(times) < limit:
        return None
    data = {"limit": limit, "window_s": radius.window.total_seconds()}
    return Refusal("blast_radius", f"{radius.scope}_limit", data, times[-limit] + radius.window)


def budget(candidate: Candidate, now: datetime) -> Refusal | None:
    """Automation spends only its share of the platform's SMS."""
    left = quotas.remaining(candidate.device.platform, quotas.SMS, at=now, for_people=candidate.by_person)
    return Refusal("budget", "sms_limit", {"left": left}) if left < 1 else None


def _actions(candidate: Candidate) -> Any:
    """Power commands that may have acted on this device, by whatever socket, or on its socket."""
    mine = Q(target=candidate.device)
    if candidate.socket is not None:
        mine |= Q(device=candidate.socket)
    rows = Command.objects.filter(
        mine, platform=candidate.device.platform_id, power__in=DARKENING, state__in=MAY_HAVE_ACTED
    )
    return rows.annotate(acted_at=Coalesce("sent_at", "state_changed_at"))


GUARDS: tuple[Guard, ...] = (
    scope, kill_switch, maintenance, own_health, evidence, upstream, mass_change, power, lane, cooldown, chronic,
    blast_radius, budget,
)  # fmt: skip
# asked again at the barrier; the others are about planning (the lane is the command's own by now)
LAST_GUARDS: tuple[Guard, ...] = (
    scope, kill_switch, maintenance, own_health, upstream, mass_change, power, cooldown, chronic,
)  # fmt: skip


def first_refusal(candidate: Candidate, *, now: datetime) -> Refusal | None:
    """The first objection, or None: then the action may be planned."""
    for guard in GUARDS:
        if refusal := guard(candidate, now):
            return refusal
    return None


def case_still_wants(command: Command, *, now: datetime) -> str | None:
    """COMMAND_GUARDS: a case's command leaves only while its case, its job and its evidence still stand."""
    if command.case_id is None:
        return None
    case = Case.objects.select_related("job__platform", "parent", "device").filter(pk=command.case_id).first()
    if case is None or case.state not in STILL_WANTED:
        return "case_closed"
    by_person = command.source != Command.Source.JOB
    if case.job is None or not (by_person or _job_stands(case, case.job)):
        return "job_changed"
    candidate = candidate_of(case, by_person=by_person)
    if candidate.socket is None or candidate.socket.pk != command.device_id:
        return "power_link_changed"
    refusal = evidence(candidate, now)
    if refusal is not None:
        return "condition_cleared" if refusal.reason == "not_offline" else f"evidence_{refusal.reason}"
    for guard in LAST_GUARDS:
        if refusal := guard(candidate, now):
            return f"{refusal.guard}_{refusal.reason}"
    return None


def _job_stands(case: Case, job: Job) -> bool:
    """The job acts by itself, and is the one under which the command was planned."""
    mode = alert_evidence.mode_of(job, case.device)
    return job.is_enabled and mode == Mode.AUTO and job.version == case.job_version
