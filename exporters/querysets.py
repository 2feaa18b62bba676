"""Filters of exporters that chain."""

from datetime import datetime
from typing import Self

from django.db.models import Q

from platforms.querysets import PlatformQuerySet


class ExporterQuerySet(PlatformQuerySet):
    """Exporters, with the questions of the poller."""

    def due(self, now: datetime) -> Self:
        """Those that a poller should take now."""
        return self.free(now).filter(platform__is_active=True)

    def free(self, now: datetime) -> Self:
        """Those whose time has come and that nobody works on, or whose poller is gone.

        A lease that ran out without being given back means that a poller died in mid-round; its
        exporter does not wait for its next turn. Only columns of the exporter itself are asked: then
        an UPDATE on this condition is a compare-and-set on PostgreSQL too. With a join the condition
        becomes a subquery, which is not looked at again after waiting for another poller's lock.
        """
        turn_has_come = Q(lease_owner="") & (Q(next_poll_at=None) | Q(next_poll_at__lte=now))
        abandoned = ~Q(lease_owner="") & (Q(lease_until=None) | Q(lease_until__lt=now))
        return self.filter(turn_has_come | abandoned, is_enabled=True)
