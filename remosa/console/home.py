"""The home page: what needs you, what REMOSA is doing, what is left, and whether the eyes are open.

The number of queries does not depend on the number of devices, cases or platforms.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from automation.models import Case, Heartbeat, JobState
from automation.selectors import (
    CaseLine,
    being_repaired,
    board,
    case_lines,
    held_lines,
    needing_a_person,
    with_proposals,
)
from automation.sentences import cms_sentence, refusal_sentence
from automation.services import health
from automation.states import LIVE
from devices.models import Command, Device
from devices.states import CommandState, DeviceState
from exporters.models import Exporter
from notifications.models import Delivery
from platforms import quotas, switches
from platforms.console.display import bar
from platforms.console.grants import Grants, grants_of
from platforms.models import KillSwitch, Platform, Usage
from platforms.roles import Perm
from remosa.console.timeline import dark_outputs
from remosa.lib.clock import utcnow
from sms.models import Gateway
from sms.queue_page import blocked_line
from sms.selectors import blocked_for

CASES_SHOWN = 12
CLOSED_SHOWN = 5
HELD_SHOWN = 8
DARK_SHOWN = 6
CLOSED_RECENTLY = timedelta(hours=24)
CLIENTS_SHOWN = 50
LEFT_ALONE_COUNTED = 5_000
LATE = timedelta(minutes=3)  # the sweep runs each minute; silent for longer means that REMOSA itself is sick


@dataclass(frozen=True)
class Tile:
    """One big number with its list behind it."""

    name: str
    count: int
    tone: str
    url: str
    hint: str = ""


@dataclass(frozen=True)
class Light:
    """One thing that REMOSA depends on, and how old the last good sign of it is."""

    name: str
    tone: str
    state: str
    seen_at: datetime | None
    url: str = ""
    detail: str = ""


@dataclass
class Client:
    """One platform as a row: its counts, its automation, its SMS."""

    platform: Platform
    counts: Counter = field(default_factory=Counter)
    stop: KillSwitch | None = None
    sms: dict[str, Any] = field(default_factory=dict)
    may_switch: bool = False


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's callback for the index page."""
    return context | live_context(request)


def live_context(request: HttpRequest) -> dict[str, Any]:
    """Everything that the refreshed part of the home page shows."""
    now, grants = utcnow(), grants_of(request)
    clients = clients_of(grants, now=now)
    total: Counter = Counter()
    for client in clients:
        total += client.counts
    commands = _commands_that_wait(request)
    lines = _live_cases(request, now=now)
    held = held_lines(JobState.objects.visible_to(request.user), now=now)
    return {
        "now": now,
        "tiles": _tiles(total, commands),
        "lines": lines,
        "held": held[:HELD_SHOWN],
        "held_more": len(held[HELD_SHOWN:]),
        "left_alone": _left_alone(request, {line.device.pk for line in held}),
        "offline_url": _players(DeviceState.OFFLINE),
        "idle": "" if lines or held else _idle(total),
        "closed": _closed_cases(request, now=now),
        "live_total": total["live"],
        "cases_shown": CASES_SHOWN,
        "clients": clients[:CLIENTS_SHOWN],
        "several": len(clients) > 1,
        "stop_everything": _global_stop(now=now),
        "is_superadmin": grants.is_superadmin,
        "lights": _lights(request, grants, now=now),
        "blocked": _blocked(grants, now=now),
        "dark": dark_outputs(request.user, limit=DARK_SHOWN),
        "sickness": _sickness(now=now),
        "doubt": _doubt(now=now),
        "unread": _unread(request),
        "empty": not clients,
    }


# --- counts ----------------------------------------------------------------------------------------


def clients_of(grants: Grants, *, now: datetime) -> list[Client]:
    """The person's platforms with everything that is counted on them, those in need first."""
    platforms = Platform.objects.filter(pk__in=grants.platforms(Perm.VIEW), is_active=True).order_by("name")
    clients = {platform.pk: Client(platform) for platform in platforms}
    _count_devices(clients, grants.user)
    _count_cases(clients, grants.user)
    _read_stops(clients, grants, now=now)
    _read_sms(clients, now=now)
    return sorted(
        clients.values(), key=lambda c: (-c.counts["needs_you"], -c.counts["offline"], c.platform.name)
    )


def _count_devices(clients: dict[int, Client], user: Any) -> None:
    rows = Device.objects.visible_to(user).filter(is_active=True, kind=Device.Kind.PLAYER)
    for platform_id, state, number in (
        rows.values_list("platform", "state").annotate(n=Count("pk")).order_by()
    ):
        if platform_id in clients:
            clients[platform_id].counts[state] += number
            clients[platform_id].counts["devices"] += number


def _count_cases(clients: dict[int, Client], user: Any) -> None:
    live = with_proposals(Case.objects.visible_to(user).filter(state__in=LIVE))
    counted = live.order_by().values("platform").annotate(
        live=Count("pk"),
        needs_you=Count("pk", filter=needing_a_person()),
        repairing=Count("pk", filter=being_repaired()),
    )  # fmt: skip
    for row in counted:
        if row["platform"] in clients:
            clients[row["platform"]].counts.update(
                {key: row[key] for key in ("live", "needs_you", "repairing")}
            )


def _read_stops(clients: dict[int, Client], grants: Grants, *, now: datetime) -> None:
    stops = switches.engaged(now=now).filter(scope=KillSwitch.Scope.PLATFORM, platform__in=list(clients))
    for switch in stops.select_related("engaged_by"):
        clients[switch.platform_id].stop = switch
    for client in clients.values():
        client.may_switch = grants.holds(Perm.MANAGE_DEVICES, client.platform.pk)


def _read_sms(clients: dict[int, Client], *, now: datetime) -> None:
    periods = {key: quotas.sms_period(client.platform, now) for key, client in clients.items()}
    taken: dict[tuple[int, str], int] = defaultdict(int)
    rows = Usage.objects.filter(platform__in=list(clients), kind=quotas.SMS, period__in=set(periods.values()))
    for usage in rows:
        taken[usage.platform_id, usage.period] += usage.used + usage.reserved
    for key, client in clients.items():
        used, total = taken[key, periods[key]], client.platform.sms_limit
        client.sms = bar(used, total) | {"left": max(0, total - used)}


def _global_stop(*, now: datetime) -> KillSwitch | None:
    return (
        switches.engaged(now=now).filter(scope=KillSwitch.Scope.GLOBAL).select_related("engaged_by").first()
    )


def _commands_that_wait(request: HttpRequest) -> int:
    """Commands without a case whose outcome only a person can tell."""
    rows = Command.objects.visible_to(request.user, Perm.CONTROL)
    return rows.filter(state=CommandState.NEEDS_OPERATOR, case_id=None).count()


def _tiles(total: Counter, commands: int) -> list[Tile]:
    cases = reverse("admin:automation_case_changelist")
    hint = _("and commands to close: %(n)d") % {"n": commands} if commands else ""
    of_all = _("of %(n)d players") % {"n": total["devices"]}
    return [
        Tile(_("Needs you"), total["needs_you"], "red", f"{cases}?board=needs_you", hint),
        Tile(_("Being repaired"), total["repairing"], "blue", f"{cases}?board=repairing"),
        Tile(_("Offline"), total[DeviceState.OFFLINE], "amber", _players(DeviceState.OFFLINE), of_all),
        Tile(_("No data"), total[DeviceState.UNKNOWN], "grey", _players(DeviceState.UNKNOWN), of_all),
    ]


def _players(state: DeviceState) -> str:
    """The list of the players in this state."""
    return (
        f"{reverse('admin:devices_device_changelist')}?kind__exact={Device.Kind.PLAYER}&state__exact={state}"
    )


def _left_alone(request: HttpRequest, held: set[int]) -> int:
    """Players without a connection of which there is no live case, and for which no hold time runs."""
    rows = Device.objects.visible_to(request.user).filter(
        platform__in=grants_of(request).platforms(Perm.VIEW), platform__is_active=True, is_active=True,
        kind=Device.Kind.PLAYER, state=DeviceState.OFFLINE,
    )  # fmt: skip
    alone = rows.filter(~Exists(Case.objects.filter(device=OuterRef("pk"), state__in=LIVE)))
    return sum(key not in held for key in alone.values_list("pk", flat=True)[:LEFT_ALONE_COUNTED])


def _idle(total: Counter) -> str:
    """Why REMOSA does nothing: what is known, and no more."""
    if not total["devices"]:
        return _("Nothing: there are no players yet.")
    if total[DeviceState.OFFLINE]:
        return _("Nothing.")
    if unknown := total[DeviceState.UNKNOWN]:
        text = _(
            "Nothing: no player is known to be offline. No data of %(n)d: without data nothing is switched."
        )
        return text % {"n": unknown}
    return _("Nothing: all players are online.")


def _live_cases(request: HttpRequest, *, now: datetime) -> list[CaseLine]:
    rows = board(Case.objects.visible_to(request.user).filter(state__in=LIVE))
    return _in_words(request, rows, limit=CASES_SHOWN, now=now)


def _closed_cases(request: HttpRequest, *, now: datetime) -> list[CaseLine]:
    """What has just been repaired, or given up: the proof that automation works."""
    rows = with_proposals(Case.objects.visible_to(request.user).filter(closed_at__gte=now - CLOSED_RECENTLY))
    return _in_words(request, rows.order_by("-closed_at"), limit=CLOSED_SHOWN, now=now)


def _in_words(request: HttpRequest, rows: QuerySet[Case], *, limit: int, now: datetime) -> list[CaseLine]:
    rows = rows.select_related("platform", "device__site", "job", "parent", "acknowledged_by")
    grants = grants_of(request)
    names = grants.platforms(Perm.VIEW) <= grants.platforms(Perm.SEE_ALL)
    return case_lines(rows[:limit], now=now, names=names)


# --- lights ----------------------------------------------------------------------------------------


def _lights(request: HttpRequest, grants: Grants, *, now: datetime) -> list[Light]:
    """CMS and SMS gateways, for those who see the whole platform."""
    if not grants.anywhere(Perm.SEE_ALL):
        return []
    exporters = Exporter.objects.visible_to(request.user).filter(is_enabled=True).select_related("platform")
    own = Gateway.objects.visible_to(request.user).filter(is_enabled=True)
    # somebody else's shared gateway is shown as "shared", without its name
    shared = Gateway.objects.filter(platform=None, is_enabled=True).exclude(pk__in=own.values("pk"))
    gateways = list(own.order_by("priority")[:20]) or list(shared.order_by("priority")[:1])
    return [
        *(gateway_light(row, grants, now=now) for row in gateways),
        *(exporter_light(row, now=now) for row in exporters.order_by("platform", "name")[:40]),
    ]


def exporter_light(row: Exporter, *, now: datetime) -> Light:
    """How the CMS of an exporter feels."""
    url = reverse("admin:exporters_exporter_change", args=[row.pk])
    name = f"CMS {row.name}"
    if row.is_up is None or row.last_round_at is None:
        return Light(name, "grey", _("not asked yet"), None, url)
    if now - row.last_round_at > 3 * row.max_age:
        return Light(name, "red", _("the poller is silent"), row.last_round_at, url)
    if not row.is_up:
        return Light(
            name, "red", _("does not answer"), row.last_success_at, url, cms_sentence(row.last_error)
        )
    if row.suspect_reason:
        return Light(name, "amber", _("in doubt"), row.last_success_at, url, cms_sentence(row.suspect_reason))
    return Light(name, "green", _("answers"), row.last_success_at, url)


def gateway_light(row: Gateway, grants: Grants, *, now: datetime) -> Light:
    """How an SMS gateway feels. Without traffic the last good sign may be old; that alone is no alarm."""
    named = grants.holds(Perm.SEE_ALL, row.platform_id)
    may_open = grants.holds(Perm.MANAGE_PLATFORM, row.platform_id)
    url = reverse("admin:sms_gateway_change", args=[row.pk]) if may_open else ""
    name = f"SMS {row.name}" if named else _("shared SMS gateway")
    seen = max((at for at in (row.last_ok_at, row.inbox_polled_at) if at is not None), default=None)
    failing = row.last_error_at is not None and (seen is None or row.last_error_at > seen)
    if row.breaker == Gateway.Breaker.OPEN:
        return Light(name, "red", _("suspended after errors"), seen, url, row.last_error if named else "")
    if failing:
        return Light(name, "amber", _("last try failed"), seen, url, row.last_error if named else "")
    if seen is None:
        return Light(name, "grey", _("not used yet"), None, url)
    return Light(name, "green", _("works"), seen, url)


def _blocked(grants: Grants, *, now: datetime) -> list[dict[str, str]]:
    """Gateways that take nothing now and what waits for them, for those who see the whole platform."""
    return [blocked_line(row, grants) for row in blocked_for(grants.platforms(Perm.SEE_ALL), now=now)]


def _sickness(*, now: datetime) -> datetime | None:
    """Since when REMOSA's own evaluation is silent; None while it is well, or was never started."""
    beat = Heartbeat.objects.filter(name="sweep").values_list("at", flat=True).first()
    return beat if beat is not None and now - beat > LATE else None


def _doubt(*, now: datetime) -> dict[str, Any] | None:
    """Why automation is suspended by itself, and until when."""
    lapse = health.doubt(now=now)
    if lapse is None:
        return None
    return {"sentence": refusal_sentence("own_health", lapse.reason, {}), "until": lapse.until}


def _unread(request: HttpRequest) -> list[Delivery]:
    rows = Delivery.objects.filter(user=request.user.pk, channel="console", read_at=None)
    rows = rows.filter(Q(notice__platform__in=grants_of(request).platforms(Perm.VIEW)))
    return list(rows.select_related("notice__platform", "notice__case").order_by("-notice__created_at")[:5])
