"""Move and replace: one action each, which closes links with their dates and keeps every history.

Whatever was moved or replaced is left alone by automation until somebody has seen it work again: a stop
of this one device, with the reason, and ``recheck_since`` on the device.
"""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from devices.errors import DevicesError
from devices.models import Command, Device, DeviceModel, PowerLink, Site
from devices.services.inventory import create_device, link_power, remove_device
from devices.states import CommandState
from platforms import audit, quotas, switches
from platforms.models import KillSwitch
from remosa.lib.phones import normalise_msisdn

PROOFS = (CommandState.REPLIED, CommandState.VERIFIED)


class NotRechecked(DevicesError):
    """Nothing has answered since the change, and nobody has seen it work."""


def move_device(
    device: Device,
    *,
    site: Site | None,
    socket: Device | None,
    line: int,
    by: Any,
    reason: str,
    now: datetime,
) -> None:
    """Put a device on another site and, if it is fed, on another output. A moved socket feeds nobody any more."""
    if site is not None and site.platform_id != device.platform_id:
        raise ValidationError({"site": _("This site belongs to another platform.")})
    with transaction.atomic():
        before = {"site": str(device.site or ""), **_power_of(device)}
        _close_links(device, now)
        Device.objects.filter(pk=device.pk).update(site=site, recheck_since=now)
        device.site, device.recheck_since = site, now
        if socket is not None:
            link_power(device=device, socket=socket, line=line, by=by)
        after = {"site": str(site or ""), **_power_of(device)}
        _record("device.moved", device, by=by, reason=reason, now=now, before=before, after=after)
        _stop(device, by=by, now=now, reason=_("Moved: %(why)s") % {"why": reason})


def replace_sim(device: Device, *, msisdn: str, by: Any, reason: str, now: datetime) -> None:
    """The same socket with another SIM; ValidationError for a number that is none or is in use."""
    with transaction.atomic():
        before = device.msisdn
        device.msisdn, device.recheck_since = normalise(msisdn), now
        device.full_clean()
        device.save(update_fields=["msisdn", "recheck_since"])
        _record(
            "device.sim_replaced", device, by=by, reason=reason, now=now, before={"msisdn": before},
            after={"msisdn": device.msisdn},
        )  # fmt: skip
        _stop(device, by=by, now=now, reason=_("SIM replaced: %(why)s") % {"why": reason})


def replace_player(
    device: Device, *, mac: str, by: Any, reason: str, now: datetime, external_id: str = ""
) -> Device:
    """Another player in the same place: the old one goes out of service with its history, the new one is returned."""
    link = PowerLink.objects.filter(device=device, valid_to=None).select_related("socket").first()
    with transaction.atomic():
        remove_device(device, by=by)
        new = create_device(
            platform=device.platform, by=by, kind=device.kind, name=device.name, site=device.site, mac=mac,
            external_id=external_id, owner=device.owner, labels=device.labels, notes=device.notes, recheck_since=now,
        )  # fmt: skip
        for share in device.shares.all():
            new.shares.create(user=share.user, level=share.level, notifications=share.notifications)
        if link is not None:
            link_power(device=new, socket=link.socket, line=link.line, by=by)
        _replaced(device, new, by=by, reason=reason, now=now)
    return new


def replace_socket(
    device: Device, *, msisdn: str, model: DeviceModel, by: Any, reason: str, now: datetime
) -> Device:
    """Another socket in the same place: what the old one fed hangs on the same outputs of the new one."""
    links = list(PowerLink.objects.filter(socket=device, valid_to=None).select_related("device"))
    if any(link.line > model.lines for link in links):
        raise ValidationError({"model": _("This model has outputs 1 to %(lines)s.") % {"lines": model.lines}})
    with transaction.atomic():
        remove_device(device, by=by)
        new = create_device(
            platform=device.platform, by=by, kind=device.kind, name=device.name, site=device.site,
            msisdn=normalise(msisdn), model=model, owner=device.owner, notes=device.notes, recheck_since=now,
        )  # fmt: skip
        for share in device.shares.all():
            new.shares.create(user=share.user, level=share.level, notifications=share.notifications)
        for link in links:
            link_power(device=link.device, socket=new, line=link.line, by=by)
        _replaced(device, new, by=by, reason=reason, now=now)
    return new


def return_to_service(device: Device, *, by: Any, now: datetime) -> None:
    """Take a device into service again, within the limit; its number must still be free."""
    with transaction.atomic():
        device.is_active, device.recheck_since = True, now
        device.full_clean()
        if not Device.objects.filter(pk=device.pk, is_active=False).update(is_active=True, recheck_since=now):
            return
        quotas.spend(platform=device.platform, kind=quotas.DEVICES, units=1, at=now)
        _record("device.returned", device, by=by, reason="", now=now)
        _stop(device, by=by, now=now, reason=_("Returned to service."))


def proof_since(device: Device, since: datetime) -> Command | None:
    """A command to the device, or to the socket that feeds it, that was answered after ``since``."""
    link = PowerLink.objects.filter(device=device, valid_to=None).first()
    sockets = [device.pk] if link is None else [device.pk, link.socket_id]
    proven = Command.objects.filter(device__in=sockets, state__in=PROOFS, created_at__gte=since)
    return proven.order_by("-created_at").first()


def pass_recheck(device: Device, *, seen: bool, by: Any, now: datetime) -> None:
    """After a move or a replacement automation comes back with proof, or with a person's word: ``seen``.

    The mark goes, and with it automation's own objection. Raises NotRechecked.
    """
    if device.recheck_since is None:
        return
    proof = proof_since(device, device.recheck_since)
    if proof is None and not seen:
        sentence = _(
            "Nothing has answered since the change. Send a status or a test cycle, or confirm that "
            "you have seen it work."
        )
        raise NotRechecked(sentence)
    reason = _("Answered: %(command)s") % {"command": proof.template.name} if proof else _("Seen to work.")
    with transaction.atomic():
        if Device.objects.filter(pk=device.pk).exclude(recheck_since=None).update(recheck_since=None):
            _record("device.rechecked", device, by=by, reason=reason, now=now)
    device.recheck_since = None


def return_to_automation(device: Device, *, seen: bool, by: Any, now: datetime) -> None:
    """End every stop of this device, once it is known to work; raises NotRechecked."""
    with transaction.atomic():
        pass_recheck(device, seen=seen, by=by, now=now)
        for switch in switches.engaged(now=now).filter(
            scope=KillSwitch.Scope.DEVICE, platform=device.platform_id, target_id=device.pk
        ):
            switches.release(switch, by=by, now=now)


def normalise(msisdn: str) -> str:
    """E.164; ValidationError with the sentence for what is no number."""
    try:
        return normalise_msisdn(msisdn)
    except ValueError as exc:
        raise ValidationError({"msisdn": str(exc)}) from exc


def _power_of(device: Device) -> dict[str, Any]:
    link = PowerLink.objects.filter(device=device, valid_to=None).select_related("socket").first()
    return {"socket": str(link.socket), "line": link.line} if link else {}


def _close_links(device: Device, now: datetime) -> None:
    PowerLink.objects.filter(device=device, valid_to=None).update(valid_to=now)
    PowerLink.objects.filter(socket=device, valid_to=None).update(valid_to=now)


def _replaced(old: Device, new: Device, *, by: Any, reason: str, now: datetime) -> None:
    _record(
        "device.replaced", old, by=by, reason=reason, now=now, after={"by": f"{new} ({new.mac or new.pk})"}
    )
    _record(
        "device.replaces", new, by=by, reason=reason, now=now, after={"old": f"{old} ({old.mac or old.pk})"}
    )
    _stop(new, by=by, now=now, reason=_("Replaced: %(why)s") % {"why": reason})


def _stop(device: Device, *, by: Any, now: datetime, reason: str) -> None:
    switches.engage(
        scope=KillSwitch.Scope.DEVICE, platform=device.platform, target_id=device.pk, by=by, now=now,
        reason=reason[:300],
    )  # fmt: skip


def _record(verb: str, device: Device, *, by: Any, reason: str, now: datetime, **values: Any) -> None:
    audit.record(
        actor=audit.person(by),
        verb=verb,
        target=device,
        platform=device.platform,
        reason=reason,
        at=now,
        **values,
    )
