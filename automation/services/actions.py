"""Carry out the steps of a case that are no command: asked for in its transaction, done after the commit."""

import logging
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from automation.guards import case_still_wants_call
from automation.models import ActionCall, Case
from automation.ports import Action, Order, Outcome
from automation.services.timeline import job_actor, tell
from automation.states import CALL, CallState
from platforms import audit
from remosa.lib.backoff import backoff
from remosa.lib.clock import utcnow
from remosa.lib.registry import backend
from remosa.lib.tasks import later

logger = logging.getLogger(__name__)
C = CallState
LEASE = timedelta(minutes=1)
DEADLINE_S = 15.0  # of one try; well inside the lease
TTL = timedelta(minutes=5)  # a step that comes later than this is not wanted any more
MAX_ATTEMPTS = 5
AT_ONCE = 50


def request_action(
    case: Case, *, kind: str, config: Mapping[str, Any], step: int, now: datetime, by: Any = None
) -> ActionCall:  # fmt: skip
    """Ask for one action of ``kind`` (of AUTOMATION_ACTIONS) for the case; idempotent per case and ``step``.

    Call it inside the transaction that decided it. ``by`` is the person who wants it; a job asks without one.
    """
    action(kind)  # a kind that nobody can carry out is a mistake
    call, created = ActionCall.objects.get_or_create(
        key=f"case:{case.pk}:{step}",
        defaults={
            "platform_id": case.platform_id, "case": case, "kind": kind, "config": dict(config),
            "facts": _facts(case), "state_changed_at": now, "next_attempt_at": now, "created_at": now,
            "expires_at": now + TTL, "by": str(by or "")[:100],
        },
    )  # fmt: skip
    if created:
        audit.record(
            actor=audit.person(by) if by is not None else job_actor(case.job), verb="action.requested", target=call,
            platform=case.platform, cause_id=case.cause_id, at=now,
            after={"kind": kind, "step": step, "config": dict(config)},
        )  # fmt: skip
        later("automation.tasks.act", call.pk)
    return call


def action(kind: str) -> Action:
    """The action of this kind; ImproperlyConfigured for an unknown one."""
    found: Action = backend("AUTOMATION_ACTIONS", kind)()
    return found


def _facts(case: Case) -> dict[str, Any]:
    device = case.device
    return {
        "title": case.title, "attempt": case.attempts + 1, "job": case.job.name if case.job else "",
        "device": {"id": device.pk, "uid": str(device.uid), "name": device.name, "mac": device.mac,
                   "external_id": device.external_id} if device else None,
        "down_since": case.down_since.isoformat() if case.down_since else None,
    }  # fmt: skip


def ring_due(*, now: datetime) -> int:
    """Wake every call that is due; how many. What a dead process left half-done may have been done."""
    for lost in ActionCall.objects.select_related("case").filter(state=C.SENDING, lease_until__lt=now)[
        :AT_ONCE
    ]:
        _settle(lost, Outcome("unknown", "worker_lost"), now=now)
    due = ActionCall.objects.filter(state=C.QUEUED, next_attempt_at__lte=now).order_by("next_attempt_at")
    keys = list(due.values_list("pk", flat=True)[:AT_ONCE])
    for key in keys:
        later("automation.tasks.act", key)
    return len(keys)


def run_call(key: uuid.UUID, *, now: datetime | None = None) -> bool:
    """Try one call if it is due and still wanted; True when it was carried out. Never inside a transaction."""
    started = now or utcnow()
    call = ActionCall.objects.select_related("case").filter(pk=key, state=C.QUEUED).first()
    if call is None or call.next_attempt_at > started:
        return False
    with transaction.atomic():
        if why := _not_wanted(call, now=started):
            _end(call, C.CANCELLED, why, now=started)
            return False
        # the move is committed before the first byte leaves: who finds it abandoned knows that it may have left
        if not CALL.move(
            call, C.SENDING, now=started, lease_until=started + LEASE, attempts=F("attempts") + 1
        ):
            return False
    order = Order(call.key, call.platform_id, call.case_id, call.config, call.facts, call.created_at)
    try:
        outcome = action(call.kind).execute(order, deadline_s=DEADLINE_S)
    except Exception as exc:
        logger.exception("call=%s kind=%s broke", call.pk, call.kind)
        outcome = Outcome("unknown", type(exc).__name__)
    return _settle(call, outcome, now=now or utcnow())


def _not_wanted(call: ActionCall, *, now: datetime) -> str:
    if call.expires_at <= now:
        return "too_late"
    return case_still_wants_call(call, now=now) or ""


def _settle(call: ActionCall, outcome: Outcome, *, now: datetime) -> bool:
    if outcome.state == "not_done" and call.attempts < MAX_ATTEMPTS and now < call.expires_at:
        pause = backoff(call.attempts, base_s=2.0, cap_s=60.0, jitter=0.5)
        CALL.move(call, C.QUEUED, now=now, reason=outcome.reason[:200], next_attempt_at=now + pause)
        return False
    state = {"done": C.DONE, "unknown": C.UNKNOWN}.get(outcome.state, C.FAILED)
    return _end(call, state, outcome.reason, now=now) and state == C.DONE


def _end(call: ActionCall, state: CallState, reason: str, *, now: datetime) -> bool:
    """The end is told in the case's timeline, and the case takes its next step."""
    with transaction.atomic():
        if not CALL.move(call, state, now=now, reason=reason[:200]):
            return False
        tell(call.case, f"action_{state}", now=now, action=call.kind, why=reason, call=str(call.pk))
        later("automation.tasks.advance", str(call.case_id))
    return True
