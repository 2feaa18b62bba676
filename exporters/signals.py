"""Bells of ``exporters``: sent after the commit, carrying an id. Losing one costs a sweep, no more."""

from django.dispatch import Signal

round_finished = Signal()  # exporter_id: int
