"""Tables of ``sms``."""

from sms.models.gateways import Gateway
from sms.models.messages import InboundSms, SmsEvent, SmsMessage
from sms.models.modems import InboundPart, ModemStatus, SentPart

__all__ = [
    "Gateway",
    "InboundPart",
    "InboundSms",
    "ModemStatus",
    "SentPart",
    "SmsEvent",
    "SmsMessage",
]
