"""Pages of ``devices``: sites, players and sockets, commands, the catalogue, tables of clients."""

from devices.admin.catalogue import CommandTemplateAdmin, DeviceModelAdmin
from devices.admin.commands import CommandAdmin
from devices.admin.devices import DeviceAdmin
from devices.admin.onboarding import OnboardingAdmin
from devices.admin.sites import SiteAdmin

__all__ = [
    "CommandAdmin",
    "CommandTemplateAdmin",
    "DeviceAdmin",
    "DeviceModelAdmin",
    "OnboardingAdmin",
    "SiteAdmin",
]
