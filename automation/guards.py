"""What may object to an action, in order; each says why and, where it can, when it lifts.

``GUARDS`` is data: the order is the order of the why-not journal. ``case_still_wants`` asks the
decisive ones again inside the outbox's barrier, the last moment before the SMS leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from automation.models import Case, Job
from automation.peers import WINDOW, mass_of
from automation.sources import DARKENING, devices_of, max_age_of
from automation.states import LIVE, STILL_WANTED
from devices.models import Command, Device, PowerLink
from devices.states import IN_FLIGHT, MAY_HAVE_ACTED, DeviceState
from exporters.models import ExporterTarget
from platforms import quotas
from platforms.switches import stopping

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
    devices = tuple(row.pk for row in (candidate.device, candidate.socket) if row is not None)
    switch = stopping(
        platform_id=candidate.device.platform_id, job_id=candidate.job.pk, device_ids=devices, now=now
    )
    if switch is None:
        return None
    return Refusal("kill_switch", switch.scope, {"reason": switch.reason}, switch.expires_at)


def evidence(candidate: Candidate, now: datetime) -> Refusal | None:
    """Only a fresh, positive "offline" is evidence."""
    device = candidate.device
    if device.state == DeviceState.UNKNOWN or device.observed_at is None:
        return Refusal("evidence", "no_data")
    if device.state != DeviceState.OFFLINE:
        return Refusal("evidence", "not_offline")
    target = (
        ExporterTarget.objects.filter(device=device)
        .select_related("exporter")
        .order_by("-observed_at")
        .first()
    )
    if now - device.observed_at > max_age_of(candidate.job, target):
        return Refusal("evidence", "stale", {"age_s": round((now - device.observed_at).total_seconds())})
    return None


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
    parent = candidate.case.parent
    if parent is not None and parent.state in LIVE:
        return Refusal("mass_change", "common_cause", {"group": parent.title})
    window = max(WINDOW, candidate.job.hold + timedelta(minutes=2))
    group = mass_of(candidate.device, now=now, window=window)
    if group is None:
        return None
    return Refusal("mass_change", group.scope, {"group": group.title, "bad": group.bad, "known": group.known})


def power(candidate: Candidate, now: datetime) -> Refusal | None:
    """There must be a socket, it must be checked, on, and free; and its neighbours must not suffer unasked."""
    link, socket = candidate.link, candidate.socket
    if link is None or socket is None:
        return Refusal("power", "no_power_link")
    if not socket.is_active or not socket.msisdn:
        return Refusal("power", "no_number", {"socket": socket.name})
    if socket.model is None or (socket.model.bench_checked_at is None and not candidate.by_person):
        return Refusal("power", "model_not_checked", {"model": str(socket.model)})
    if not socket.model.templates.filter(key=candidate.job.template_key).exists():
        return Refusal(
            "power", "no_such_command", {"model": str(socket.model), "command": candidate.job.template_key}
        )
    if socket.facts.get("mains") == "lost":
        return Refusal("power", "no_mains", {"socket": socket.name})
    last = (
        Command.objects.filter(device=socket, state__in=MAY_HAVE_ACTED)
        .exclude(power="")
        .order_by("-created_at")
        .first()
    )
    if last is not None and last.power == "off" and last.actor_id is not None:
        return Refusal("power", "switched_off_by_person", {"socket": socket.name})
    return _neighbours(candidate, link)


def _neighbours(candidate: Candidate, link: PowerLink) -> Refusal | None:
    if candidate.job.may_darken_others or candidate.by_person:
        return None
    others = PowerLink.objects.filter(socket=link.socket, line=link.line, valid_to=None).exclude(
        device=candidate.device
    )
    healthy = list(
        others.filter(device__state=DeviceState.ONLINE).values_list("device__name", flat=True)[:10]
    )
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
    last = _actions(candidate).order_by("-sent_at").first()
    if last is None or last.sent_at is None or last.sent_at + pause <= now:
        return None
    return Refusal("cooldown", "too_soon", {"pause_s": candidate.job.cooldown_s}, last.sent_at + pause)


def chronic(candidate: Candidate, now: datetime) -> Refusal | None:
    """A device that needs this so often needs a person."""
    if candidate.by_person:
        return None
    sent = list(
        _actions(candidate).filter(sent_at__gte=now - timedelta(days=7)).values_list("sent_at", flat=True)
    )
    today = sorted(at for at in sent if at >= now - timedelta(days=1))
    limit = candidate.job.max_actions_per_day
    if len(today) >= limit:
        return Refusal("chronic", "day_limit", {"limit": limit}, today[-limit] + timedelta(days=1))
    week = candidate.job.max_actions_per_week
    if len(sent) >= week:
        return Refusal("chronic", "week_limit", {"limit": week}, sorted(sent)[-week] + timedelta(days=7))
    return None


def blast_radius(candidate: Candidate, now: datetime) -> Refusal | None:
    """One job acts on few devices an hour."""
    if candidate.by_person:
        return None
    job = candidate.job
    acted = Command.objects.filter(
        job_id=job.pk, platform=job.platform_id, created_at__gte=now - timedelta(hours=1)
    )
    acted = acted.exclude(state__in=["blocked", "cancelled", "expired", "superseded", "failed"])
    limit = max(3, int(devices_of(job).count() * JOB_SHARE))
    times = sorted(acted.values_list("created_at", flat=True))
    if len(times) < limit:
        return None
    return Refusal("blast_radius", "hour_limit", {"limit": limit}, times[-limit] + timedelta(hours=1))


def budget(candidate: Candidate, now: datetime) -> Refusal | None:
    """Automation spends only its share of the platform's SMS."""
    left = quotas.remaining(candidate.device.platform, quotas.SMS, at=now, for_people=candidate.by_person)
    return Refusal("budget", "sms_limit", {"left": left}) if left < 1 else None


def _actions(candidate: Candidate) -> Any:
    """Power commands of automation that may have acted on this device or its socket."""
    rows = Command.objects.filter(
        platform=candidate.device.platform_id, power__in=DARKENING, state__in=MAY_HAVE_ACTED
    )
    if candidate.socket is not None:
        return rows.filter(device=candidate.socket)
    return rows.filter(target=candidate.device)


GUARDS: tuple[Guard, ...] = (
    kill_switch, evidence, upstream, mass_change, power, lane, cooldown, chronic, blast_radius, budget,
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
    if case.job is None or not case.job.is_enabled or case.job.version != case.job_version:
        return "job_changed"
    candidate = candidate_of(case, by_person=command.actor_id is not None)
    refusal = evidence(candidate, now)
    if refusal is not None:
        return "condition_cleared" if refusal.reason == "not_offline" else f"evidence_{refusal.reason}"
    for guard in (upstream, mass_change):
        if refusal := guard(candidate, now):
            return f"{refusal.guard}_{refusal.reason}"
    return None
