"""Connect the bells: a case that people should hear of, a gateway that takes nothing more, become notices."""

from typing import Any

from automation.signals import case_told
from devices.signals import device_event_recorded
from sms.signals import gateway_suspended


def on_case_told(sender: Any, *, case_id: Any, kind: str, **kwargs: Any) -> None:
    from notifications.services import notify_of_case  # models are not ready when bells are connected

    notify_of_case(case_id, kind=kind)


def on_device_event(sender: Any, *, event_id: int, **kwargs: Any) -> None:
    from notifications.device_events import notify_of_event  # models are not ready when bells are connected

    notify_of_event(event_id)


def on_gateway_suspended(sender: Any, *, gateway_id: int, **kwargs: Any) -> None:
    from notifications.gateways import notify_of_gateways  # as above

    notify_of_gateways(gateway_id=gateway_id)


def connect() -> None:
    """Called once, when the apps are ready."""
    device_event_recorded.connect(on_device_event, dispatch_uid="notifications.device_event")
    case_told.connect(on_case_told, dispatch_uid="notifications.case_told")
    gateway_suspended.connect(on_gateway_suspended, dispatch_uid="notifications.gateway_suspended")
