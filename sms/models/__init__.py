"""Tables of ``sms``."""

from sms.models.gateways import Gateway
from sms.models.messages import InboundSms, SmsEvent, SmsMessage

__all__ = ["Gateway", "InboundSms", "SmsEvent", "SmsMessage"]
