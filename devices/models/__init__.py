"""Tables of ``devices``."""

from devices.models.catalogue import BenchCheck, CatalogueVersion, CommandTemplate, DeviceModel
from devices.models.commands import Command, CommandEvent
from devices.models.events import DeviceEvent
from devices.models.inventory import Device, DeviceShare, Observer, PowerLink, Site, observed_at
from devices.models.onboarding import Onboarding
from devices.models.photos import DevicePhoto, SitePhoto
from devices.models.restorations import Restoration
from devices.models.rules import OwnReplyRule
from devices.models.saved_filters import SavedFilter
from devices.models.schedules import CommandSchedule

__all__ = [
    "BenchCheck",
    "CatalogueVersion",
    "Command",
    "CommandEvent",
    "CommandSchedule",
    "CommandTemplate",
    "Device",
    "DeviceEvent",
    "DeviceModel",
    "DevicePhoto",
    "DeviceShare",
    "Observer",
    "Onboarding",
    "OwnReplyRule",
    "PowerLink",
    "Restoration",
    "SavedFilter",
    "Site",
    "SitePhoto",
    "observed_at",
]
