"""Bells of ``devices``: sent after the commit, carrying an id. Losing one costs a sweep, no more."""

from django.dispatch import Signal

command_moved = Signal()  # command_id: uuid.UUID
device_event_recorded = Signal()  # event_id: int
