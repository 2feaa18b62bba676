"""What the queue may run: wake-ups and sweeps, harmless when lost, late or doubled."""

from remosa.lib.clock import utcnow
from sms.outbox import Pump, owner_name
from sms.services.inbound import sweep_inbound
from sms.services.inboxes import due_inboxes, poll_inbox
from sms.services.statuses import ask_statuses, due_status_rounds

PUMP_BUDGET_S = 25.0  # the queue ends a task after a minute; a send may take its own deadline on top


def pump() -> int:
    """Carry what is due; how many rows."""
    return Pump(owner_name("q2")).drain(budget_s=PUMP_BUDGET_S)


def sweep() -> int:
    """Settle the abandoned, match what was left lying, read what gateways have to say, and carry what is due."""
    now = utcnow()
    moved = Pump(owner_name("q2")).reap() + sweep_inbound(now=now)
    moved += sum(poll_inbox(gateway, now=now) or 0 for gateway in due_inboxes(now=now))
    moved += sum(ask_statuses(gateway, now=now) or 0 for gateway in due_status_rounds(now=now))
    return moved + pump()
