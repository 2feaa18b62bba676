"""Bells of ``sms``: sent after the commit, carrying an id. Losing one costs a sweep, no more."""

from django.dispatch import Signal

message_moved = Signal()  # message_id: uuid.UUID
inbound_matched = Signal()  # inbound_id: uuid.UUID, whatever the match was
gateway_suspended = Signal()  # gateway_id: int; it takes nothing more for a while
