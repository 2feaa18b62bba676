"""Tables of ``exporters``: what is polled, what it answered, what is served to Prometheus."""

from exporters.models.exporters import Exporter, ExporterTarget
from exporters.models.rounds import FoundDevice, PollRound, Snapshot

__all__ = ["Exporter", "ExporterTarget", "FoundDevice", "PollRound", "Snapshot"]
