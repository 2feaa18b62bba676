"""REST resources of ``devices``: what is out there, and what was asked of it."""

from devices.api.commands import CommandsView, CommandTemplatesView
from devices.api.inventory import DevicesView, PowerLinksView, SitesView
from devices.api.onboarding import OnboardingsView

__all__ = [
    "CommandTemplatesView",
    "CommandsView",
    "DevicesView",
    "OnboardingsView",
    "PowerLinksView",
    "SitesView",
]
