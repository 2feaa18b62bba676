"""Bells of ``automation``: sent after the commit, carrying ids. Losing one costs a sweep, no more."""

from django.dispatch import Signal

case_told = Signal()  # case_id: uuid.UUID, kind: str: people should hear of this case
