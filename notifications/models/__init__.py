"""Tables of ``notifications``."""

from notifications.models.notices import Delivery, Notice

__all__ = ["Delivery", "Notice"]
