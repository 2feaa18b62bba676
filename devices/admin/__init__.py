"""Pages of ``devices``: sites, players and sockets, commands, the catalogue, tables of clients."""

from devices.admin.catalogue import (
    CatalogueVersionAdmin,
    CommandTemplateAdmin,
    DeviceModelAdmin,
    OwnReplyRuleAdmin,
)
from devices.admin.commands import CommandAdmin
from devices.admin.devices import DeviceAdmin
from devices.admin.onboarding import OnboardingAdmin
from devices.admin.restorations import DeviceEventAdmin, RestorationAdmin
from devices.admin.schedules import CommandScheduleAdmin
from devices.admin.sites import SiteAdmin

__all__ = [
    "CatalogueVersionAdmin",
    "CommandAdmin",
    "CommandScheduleAdmin",
    "CommandTemplateAdmin",
    "DeviceAdmin",
    "DeviceEventAdmin",
    "DeviceModelAdmin",
    "OnboardingAdmin",
    "OwnReplyRuleAdmin",
    "RestorationAdmin",
    "SiteAdmin",
]  # fmt: skip
