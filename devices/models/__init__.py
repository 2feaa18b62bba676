"""Tables of ``devices``."""

from devices.models.catalogue import CommandTemplate, DeviceModel
from devices.models.commands import Command, CommandEvent
from devices.models.inventory import Device, DeviceShare, PowerLink, Site
from devices.models.onboarding import Onboarding

__all__ = [
    "Command",
    "CommandEvent",
    "CommandTemplate",
    "Device",
    "DeviceModel",
    "DeviceShare",
    "Onboarding",
    "PowerLink",
    "Site",
]
