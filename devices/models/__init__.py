"""Tables of ``devices``."""

from devices.models.catalogue import CommandTemplate, DeviceModel
from devices.models.commands import Command, CommandEvent
from devices.models.events import DeviceEvent
from devices.models.inventory import Device, DeviceShare, PowerLink, Site
from devices.models.restorations import Restoration

__all__ = [
    "Command",
    "CommandEvent",
    "CommandTemplate",
    "Device",
    "DeviceEvent",
    "DeviceModel",
    "DeviceShare",
    "PowerLink",
    "Restoration",
    "Site",
]
