"""Filters of exporters that chain."""

from datetime import datetime
from typing import Self

from django.db.models import Q

from platforms.querysets import PlatformQuerySet


class ExporterQuerySet(PlatformQuerySet):
    """Exporters, with the questions of the poller."""

    def due(self, now: datetime) -> Self:
        """Those that a poller should take now: their time has come, or whoever took them is gone.

        A lease that ran out without being given back means that a poller died in mid-round; its
        exporter does not wait for its next turn.
        """
        turn_has_come = Q(lease_owner="") & (Q(next_poll_at=None) | Q(next_poll_at__lte=now))
        abandoned = ~Q(lease_owner="") & (Q(lease_until=None) | Q(lease_until__lt=now))
        return self.filter(turn_has_come | abandoned, is_enabled=True, platform__is_active=True)
