"""Pages of ``sms``: gateways, the outbox, the inbox."""

from sms.admin.gateways import GatewayAdmin
from sms.admin.messages import InboundSmsAdmin, SmsMessageAdmin

__all__ = ["GatewayAdmin", "InboundSmsAdmin", "SmsMessageAdmin"]
