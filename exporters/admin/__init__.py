"""Pages of ``exporters``: the accounts at a CMS, what they poll, how the rounds went."""

from exporters.admin.exporters import ExporterAdmin
from exporters.admin.targets import ExporterTargetAdmin, PollRoundAdmin

__all__ = ["ExporterAdmin", "ExporterTargetAdmin", "PollRoundAdmin"]
