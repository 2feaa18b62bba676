"""REST resources of ``devices``: what is out there, and what was asked of it."""

from devices.api.commands import CommandsView, CommandTemplatesView
from devices.api.inventory import DevicesView, PowerLinksView, SitesView
from devices.api.shares import SharesView

__all__ = [
    "CommandTemplatesView",
    "CommandsView",
    "DevicesView",
    "PowerLinksView",
    "SharesView",
    "SitesView",
]
