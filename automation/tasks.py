"""What django-q2 runs for automation: an id in, a service called. Each may run never, once or often."""

import uuid

from automation.services import actions, cases, evaluation, health
from automation.services.sweep import sweep as sweep_all
from remosa.lib.clock import utcnow


def after_round(exporter_id: int) -> None:
    """A round was written: judge every job that looks at it, then see to the platform's live cases."""
    evaluation.evaluate_after_round(exporter_id, now=utcnow())


def advance(case_id: str) -> None:
    """Something moved in this case."""
    cases.advance_case(uuid.UUID(case_id), now=utcnow())


def act(call_id: str) -> None:
    """A case asked for a webhook or a notice."""
    actions.run_call(uuid.UUID(str(call_id)))


def sweep() -> None:
    """Find what lost bells and passed deadlines have left behind."""
    sweep_all(now=utcnow(), uptime=health.uptime())
