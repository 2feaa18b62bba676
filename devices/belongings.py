"""What a person who leaves has to do with devices: owned ones, shares, commands, sockets that obey them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from devices.models import Command, Device, DeviceShare
from devices.states import PROOFS, CommandState
from platforms import audit
from platforms.ports import Belonging
from remosa.lib.phones import normalise_msisdn

SHOWN = 20
REGISTERING, REMOVING, REMOVING_ALL = (
    ("add_user", "add_users_level2"),
    ("remove_user",),
    ("remove_all_users",),
)
ON_THE_WAY = (CommandState.REQUESTED, CommandState.QUEUED)
NEVER_LEFT = (
    *ON_THE_WAY, CommandState.BLOCKED, CommandState.CANCELLED, CommandState.EXPIRED, CommandState.SUPERSEDED,
    CommandState.FAILED, CommandState.NOT_EXECUTED, CommandState.REFUSED,
)  # fmt: skip


class DevicesOfAPerson:
    """The port of ``platforms`` for people who leave."""

    def left_by(self, user: Any, platform: Any) -> list[Belonging]:
        owned = Device.objects.of(platform).filter(owner=user).order_by("name")
        shares = DeviceShare.objects.of(platform).filter(user=user).select_related("device")
        waiting = (
            Command.objects.of(platform).filter(actor=user, state__in=ON_THE_WAY).select_related("device")
        )
        found = [
            _of(_("Devices that pass to the successor"), [str(row) for row in owned]),
            _of(
                _("Shared devices that are not shared with them any more"),
                [str(row.device) for row in shares],
            ),
            _of(
                _("Commands that have not left yet, and will not"),
                [f"{row.device}: {row.template.name}" for row in waiting.select_related("template")],
            ),
            _of(
                _("Sockets that still obey their phone number: remove it there"),
                [str(row) for row in sockets_that_obey(user, platform)],
                is_warning=True,
            ),
        ]
        return [item for item in found if item.items]

    def pass_on(self, user: Any, platform: Any, *, successor: Any, by: Any, now: datetime) -> dict[str, int]:
        """Owned devices change hands, one line in each device's journal; shares end."""
        actor = audit.person(by) if by is not None else audit.SYSTEM
        owned = list(Device.objects.of(platform).filter(owner=user))
        Device.objects.filter(pk__in=[row.pk for row in owned]).update(owner=successor)
        for row in owned:
            audit.record(
                actor=actor, verb="device.passed_on", target=row, platform=platform, at=now,
                before={"owner": str(user)}, after={"owner": str(successor) if successor else None},
            )  # fmt: skip
        shares, _kinds = DeviceShare.objects.of(platform).filter(user=user).delete()
        return {
            "devices": len(owned),
            "shares": shares,
            "sockets_with_number": len(sockets_that_obey(user, platform)),
        }


def sockets_that_obey(user: Any, platform: Any) -> list[Device]:
    """Sockets in which the person's number was registered by a command that may have arrived, and not removed since.

    What was written into a socket by hand is known to nobody but the socket.
    """
    number = _msisdn(user.phone)
    if not number:
        return []
    holders: dict[int, Device] = {}
    for command in _number_commands(platform):
        key, named = command.template.key, _numbers_in(command.params)
        if key in REGISTERING and number in named:
            holders[command.device_id] = command.device
        elif command.state in PROOFS and (key in REMOVING_ALL or (key in REMOVING and number in named)):
            holders.pop(command.device_id, None)  # only the socket's answer proves that it forgot
    return sorted((row for row in holders.values() if row.is_active), key=lambda row: row.name)


def _number_commands(platform: Any) -> QuerySet[Command]:
    keys = (*REGISTERING, *REMOVING, *REMOVING_ALL)
    rows = Command.objects.of(platform).filter(template__key__in=keys).exclude(state__in=NEVER_LEFT)
    return rows.select_related("template", "device").order_by("created_at", "pk")


def _numbers_in(params: dict[str, Any]) -> set[str]:
    values: list[Any] = [params.get("phone"), *(params.get("phones") or [])]
    return {_msisdn(value) for value in values} - {""}


def _msisdn(text: Any) -> str:
    try:
        return normalise_msisdn(str(text or ""))
    except ValueError:
        return ""


def _of(what: str, items: Iterable[str], *, is_warning: bool = False) -> Belonging:
    names = list(items)
    return Belonging(what, names[:SHOWN], max(0, len(names) - SHOWN), is_warning)
