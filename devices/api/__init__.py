"""REST resources of ``devices``: what is out there, and what was asked of it."""

from devices.api.bench import DeviceModelsView
from devices.api.commands import CommandsView, CommandTemplatesView
from devices.api.happenings import DeviceEventsView, RestorationsView
from devices.api.inventory import DevicesView, PowerLinksView, SitesView
from devices.api.onboarding import OnboardingsView
from devices.api.saved_filters import SavedFiltersView
from devices.api.schedules import CommandSchedulesView
from devices.api.shares import SharesView

__all__ = [
    "CommandSchedulesView",
    "CommandTemplatesView",
    "CommandsView",
    "DeviceEventsView",
    "DeviceModelsView",
    "DevicesView",
    "OnboardingsView",
    "PowerLinksView",
    "RestorationsView",
    "SavedFiltersView",
    "SharesView",
    "SitesView",
]
