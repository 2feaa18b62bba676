"""Bring a client's table in: keep the file, check it, store all of it or nothing; and write such a table.

The queue runs ``run_onboarding``. While a table is looked at, ``done`` moves outside of any transaction,
so that the page can follow. Storing plans once more inside its own transaction: what a person has seen
and what is stored differ only if the platform has changed meanwhile, and then the new plan must be free
of errors too.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import translation
from django.utils.translation import gettext as _

from devices.models import Device, DeviceModel, Onboarding, PowerLink, Site
from devices.onboarding import (
    COLUMNS,
    MOST_TOLD,
    TITLES,
    Draft,
    Inventory,
    Known,
    Model,
    Plan,
    Planner,
    phones_in,
)
from devices.states import ONBOARDING, OnboardingState
from devices.tables import MAX_BYTES, TableError, TableRow, read_table
from platforms import audit, quotas
from platforms.models import Platform
from remosa.lib.clock import utcnow
from remosa.lib.lifecycle import IllegalMove
from remosa.lib.tasks import later

LEASE = timedelta(minutes=2)
STEP = 100  # rows between two signs of progress
MOST_ATTEMPTS = 3
MOST_WAITING = 5  # tables of one platform that are not at the end of their life
KEPT = timedelta(days=1)  # a checked table that nobody has decided about
TASK = "devices.tasks.run_onboarding"


def start_onboarding(
    *, platform: Platform, filename: str, content: bytes, by: Any, now: datetime, pk: Any = None
) -> Onboarding:
    """Keep a table and have it checked; TableError when it is too large or too many wait already."""
    if len(content) > MAX_BYTES:
        raise TableError(_("The file is larger than %(limit)d MB.") % {"limit": MAX_BYTES // 1_000_000})
    ends = [OnboardingState.UPLOADED, OnboardingState.CHECKED, OnboardingState.STORING]
    with transaction.atomic():
        Platform.objects.select_for_update().get(pk=platform.pk)
        if Onboarding.objects.of(platform).filter(state__in=ends).count() >= MOST_WAITING:
            raise TableError(_("Too many tables of this platform wait already. Store or cancel them first."))
        row = Onboarding.objects.create(
            pk=pk or uuid.uuid4(), platform=platform, created_by=by, filename=filename[-200:] or "table",
            content=content, digest=hashlib.sha256(content).hexdigest(), state_changed_at=now, created_at=now,
        )  # fmt: skip
        audit.record(
            actor=audit.person(by), verb="onboarding.uploaded", target=row, platform=platform, at=now,
            after={"file": row.filename, "sha256": row.digest},
        )  # fmt: skip
        later(TASK, row.pk)
    return row


def store_onboarding(row: Onboarding, *, by: Any, now: datetime) -> None:
    """A person's word to store a checked table; IllegalMove when it is not checked or has errors."""
    with transaction.atomic():
        fresh = Onboarding.objects.select_for_update().get(pk=row.pk)
        if not may_be_stored(fresh):
            raise IllegalMove(_("This table cannot be stored now."))
        if not ONBOARDING.move(row, OnboardingState.STORING, now=now, done=0, attempts=0, lease_until=None):
            raise IllegalMove(_("This table cannot be stored now."))
        audit.record(
            actor=audit.person(by), verb="onboarding.confirmed", target=row, platform=row.platform, at=now,
            after=dict(fresh.report.get("counts", {})),
        )  # fmt: skip
        later(TASK, row.pk)


def may_be_stored(row: Onboarding) -> bool:
    """Whether a person may say yes: checked, without errors, and there is something to do."""
    report = row.report
    return bool(
        row.state == OnboardingState.CHECKED
        and not report.get("errors_total")
        and not report.get("does_nothing")
    )


def cancel_onboarding(row: Onboarding, *, by: Any, now: datetime) -> None:
    """Drop a table that is not being stored; IllegalMove when it is too late."""
    with transaction.atomic():
        if not ONBOARDING.move(row, OnboardingState.CANCELLED, now=now, content=b""):
            raise IllegalMove(_("It is too late to cancel."))
        audit.record(
            actor=audit.person(by), verb="onboarding.cancelled", target=row, platform=row.platform, at=now
        )


# --- the queue's part ----------------------------------------------------------------------------------


def run_onboarding(pk: Any, *, now: Callable[[], datetime] = utcnow) -> bool:
    """Check or store one table, whichever is due; False when another worker has it or nothing is due."""
    at = now()
    due = Onboarding.objects.filter(
        Q(lease_until=None) | Q(lease_until__lt=at), pk=pk,
        state__in=[OnboardingState.UPLOADED, OnboardingState.STORING],
    )  # fmt: skip
    if not due.update(lease_until=at + LEASE):
        return False
    row = Onboarding.objects.select_related("platform", "created_by").get(pk=pk)
    Onboarding.objects.filter(pk=pk).update(attempts=row.attempts + 1)
    language = row.created_by.language if row.created_by else "ru"
    with translation.override(language):
        try:
            _work(row, now)
        except TableError as exc:
            told = {"errors": [[0, "", str(exc)]], "errors_total": 1}
            target = (
                OnboardingState.REFUSED if row.state == OnboardingState.UPLOADED else OnboardingState.FAILED
            )
            ONBOARDING.move(row, target, now=now(), report=told, lease_until=None, content=b"")
    return True


def _work(row: Onboarding, now: Callable[[], datetime]) -> None:
    if row.attempts >= MOST_ATTEMPTS:
        raise TableError(
            _("The table could not be worked through in several tries. Divide it into smaller ones.")
        )
    rows = read_table(bytes(row.content))
    Onboarding.objects.filter(pk=row.pk).update(total=len(rows) - 1, done=0)
    plan = _plan(row, rows, seen=lambda done: Onboarding.objects.filter(pk=row.pk).update(done=done))
    if row.state == OnboardingState.UPLOADED or plan.errors:
        ONBOARDING.move(
            row,
            OnboardingState.CHECKED,
            now=now(),
            report=report_of(plan),
            done=plan.rows,
            lease_until=None,
            attempts=0,
        )
        return
    with transaction.atomic():
        Platform.objects.select_for_update().get(pk=row.platform_id)
        plan = _plan(row, rows)
        if plan.errors:
            ONBOARDING.move(
                row, OnboardingState.CHECKED, now=now(), report=report_of(plan), lease_until=None, attempts=0
            )
            return
        if ONBOARDING.move(
            row,
            OnboardingState.STORED,
            now=now(),
            report=report_of(plan),
            done=plan.rows,
            lease_until=None,
            content=b"",
        ):
            _store(row, plan, now())


def _plan(row: Onboarding, rows: list[TableRow], *, seen: Callable[[int], object] | None = None) -> Plan:
    planner = Planner(rows[0], inventory_of(row.platform, phones_in(rows)))
    for number, line in enumerate(rows[1:], start=1):
        planner.add(line)
        if seen is not None and number % STEP == 0:
            seen(number)
    if seen is not None:
        seen(len(rows) - 1)
    return planner.finish()


def report_of(plan: Plan) -> dict[str, Any]:
    """What people read of a plan."""
    by_row = sorted(plan.errors, key=lambda told: told.row)
    return {
        "counts": plan.counts,
        "errors": [list(told) for told in by_row[:MOST_TOLD]],
        "errors_total": len(plan.errors),
        "notes": [list(told) for told in plan.notes[:MOST_TOLD]],
        "notes_total": len(plan.notes),
        "does_nothing": plan.does_nothing,
    }


def inventory_of(platform: Platform, phones: set[str]) -> Inventory:
    """What the platform has now; of other platforms only whether one of ``phones`` is taken."""
    open_links = PowerLink.objects.of(platform).filter(valid_to=None)
    power = {
        device: (socket, line) for device, socket, line in open_links.values_list("device", "socket", "line")
    }
    known = [
        Known(
            pk=row.pk, kind=row.kind, name=row.name, mac=row.mac, number=row.external_id, phone=row.msisdn,
            model_id=row.model_id, site_id=row.site_id, is_active=row.is_active, powered_by=power.get(row.pk),
        )
        for row in Device.objects.of(platform).order_by("-is_active", "pk").defer("facts", "notes").iterator()
    ]  # fmt: skip
    taken: set[str] = set()
    for part in _parts(sorted(phones)):
        elsewhere = Device.objects.filter(is_active=True, msisdn__in=part).exclude(platform=platform)
        taken |= set(elsewhere.values_list("msisdn", flat=True))
    return Inventory(
        devices=known,
        sites={name.lower(): pk for pk, name in Site.objects.of(platform).values_list("pk", "name")},
        models=[
            Model(row.pk, row.code, row.lines, (row.code.lower(), str(row).lower()))
            for row in DeviceModel.objects.all()
        ],
        phones_elsewhere=frozenset(taken),
        places_left=quotas.remaining(platform, quotas.DEVICES, at=utcnow()),
    )


def _store(row: Onboarding, plan: Plan, now: datetime) -> None:
    """Write the plan: inside the caller's transaction, all of it or nothing."""
    platform = row.platform
    sites = {name.lower(): pk for pk, name in Site.objects.of(platform).values_list("pk", "name")}
    for key, (name, address) in plan.sites.items():
        sites[key] = Site.objects.create(platform=platform, name=name, address=address).pk
    if plan.devices:
        quotas.spend(platform=platform, kind=quotas.DEVICES, units=len(plan.devices), at=now)
    made: dict[int, Device] = {}
    for part in _parts(plan.devices):
        fresh = [_device(platform, draft, sites) for draft in part]
        for draft, device in zip(part, Device.objects.bulk_create(fresh), strict=True):
            made[id(draft)] = device
    for known, site in plan.moves_in:
        Device.objects.of(platform).filter(pk=known.pk, site=None).update(site=sites[site])
    keys = {id(draft): draft.known.pk for draft in _drafts(plan) if draft.known is not None}
    keys |= {key: device.pk for key, device in made.items()}
    links = [
        PowerLink(device_id=keys[id(player)], socket_id=keys[id(socket)], line=line)
        for player, socket, line in plan.links
    ]
    PowerLink.objects.bulk_create(links, batch_size=STEP)
    _audit(row, plan, made, now)


def _device(platform: Platform, draft: Draft, sites: dict[str, int]) -> Device:
    return Device(
        platform=platform, kind=draft.kind, name=draft.name, mac=draft.mac, external_id=draft.number,
        msisdn=draft.phone, model_id=draft.model_id, site_id=sites[draft.site] if draft.site else None,
    )  # fmt: skip


def _drafts(plan: Plan) -> Iterator[Draft]:
    for player, socket, _line in plan.links:
        yield player
        yield socket


def _audit(row: Onboarding, plan: Plan, made: dict[int, Device], now: datetime) -> None:
    """A line for the table, and one for each device that it made, so that each history is complete."""
    actor = audit.person(row.created_by) if row.created_by else audit.SYSTEM
    audit.record(
        actor=actor, verb="onboarding.stored", target=row, platform=row.platform, at=now, cause_id=row.pk,
        after={"file": row.filename, "sha256": row.digest, **plan.counts},
    )  # fmt: skip
    power = {id(player): (socket, line) for player, socket, line in plan.links}
    for key, device in made.items():
        after: dict[str, Any] = audit.fields_of(device, leave_out=("facts",))
        if key in power:
            socket, line = power[key]
            after |= {"socket": socket.name, "line": line}
        audit.record(
            actor=actor, verb="device.created", target=device, platform=row.platform, at=now, cause_id=row.pk,
            after=after,
        )  # fmt: skip
    for player, socket, line in plan.links:
        if player.known is not None:
            device = Device(pk=player.known.pk, name=player.name)
            audit.record(
                actor=actor, verb="power_link.made", target=device, platform=row.platform, at=now, cause_id=row.pk,
                after={"socket": socket.name, "line": line},
            )  # fmt: skip


def sweep_onboardings(*, now: datetime) -> int:
    """Wake what is due or was abandoned, and drop what nobody wanted; how many rows."""
    due = Onboarding.objects.filter(
        Q(lease_until=None) | Q(lease_until__lt=now),
        state__in=[OnboardingState.UPLOADED, OnboardingState.STORING],
    )  # fmt: skip
    woken = sum(run_onboarding(pk) for pk in due.order_by("created_at").values_list("pk", flat=True)[:3])
    stale = Onboarding.objects.filter(state=OnboardingState.CHECKED, state_changed_at__lt=now - KEPT)
    return woken + sum(
        ONBOARDING.move(row, OnboardingState.CANCELLED, now=now, content=b"") for row in stale[:100]
    )


# --- the other way -------------------------------------------------------------------------------------


def table_of(devices: Any) -> Iterator[list[Any]]:
    """The table that would make these devices anew, row by row, the names of the columns first.

    ``devices``: a queryset of what the reader may see; phone numbers are theirs to have been asked for.
    """
    yield [str(TITLES[name]) for name in COLUMNS]
    active = devices.filter(is_active=True).order_by("site__name", "name", "pk")
    names = {pk: (name, phone, code) for pk, name, phone, code in active.filter(kind=Device.Kind.SOCKET).values_list(
        "pk", "name", "msisdn", "model__code")}  # fmt: skip
    links = PowerLink.objects.filter(valid_to=None, device__in=active.values("pk")).values_list(
        "device", "socket", "line"
    )
    power = {device: (socket, line) for device, socket, line in links}
    used: set[int] = set()
    columns = ("pk", "site__name", "site__address", "name", "mac", "external_id")
    for pk, site, address, name, mac, number in active.exclude(kind=Device.Kind.SOCKET).values_list(*columns):
        socket, line = power.get(pk, (0, 0))
        plug = names.get(socket)
        used.add(socket)
        wires = [plug[0], plug[2], plug[1], line] if plug else ["", "", "", ""]
        yield [site, address, name, mac, number, *wires]
    for pk, site, address in active.filter(kind=Device.Kind.SOCKET).values_list(
        "pk", "site__name", "site__address"
    ):
        if pk not in used:
            name, phone, code = names[pk]
            yield [site, address, "", "", "", name, code, phone, ""]


def _parts(items: Any) -> Iterator[Any]:
    for start in range(0, len(items), STEP):
        yield items[start : start + STEP]
