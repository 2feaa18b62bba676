"""Pages of ``devices``: sites, players and sockets, commands, the catalogue."""

from devices.admin.catalogue import CommandTemplateAdmin, DeviceModelAdmin
from devices.admin.commands import CommandAdmin
from devices.admin.devices import DeviceAdmin
from devices.admin.restorations import DeviceEventAdmin, RestorationAdmin
from devices.admin.sites import SiteAdmin

__all__ = [
    "CommandAdmin", "CommandTemplateAdmin", "DeviceAdmin", "DeviceEventAdmin", "DeviceModelAdmin", "RestorationAdmin",
    "SiteAdmin",
]  # fmt: skip
