"""The pump: claim, barrier, send, settle. At most one physical SMS per row, whoever dies when.

1. *Claim* a due row: compare-and-set with a new fence and a lease. Committed.
2. *Barrier*: ask the guards and take a place of the gateway's rate, and move the row to ``sending``.
   Committed before the first byte: who finds a ``claimed`` row whose lease is over knows that nothing
   left, who finds such a ``sending`` row knows that it may have.
3. *Send*, outside any transaction, within a deadline much shorter than the lease; not at all when the
   lease is nearly over by our own monotonic clock (we were stopped, and may be taken for dead).
4. *Settle*: the row, its units, its command and the journal in one transaction, if the fence is still ours.

Any number of pumps may run at once, here and elsewhere; each may be killed at any point.

Platforms take turns (``sms.turns``), and a gateway's rate opens places one after the other, so that a flood
of one platform does not hold up the others.

A gateway with a process of its own (a modem) is not sent to from here. At the barrier the row goes back
to ``queued``, given to that process alone until ``handed_until``; its pump then does all four steps. A
row that it does not take up in time is free again, and another gateway is tried first.
"""

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction
from django.db.models import Exists, OuterRef, QuerySet

from devices.services import (
    record_failed,
    record_refused_at_barrier,
    record_sent,
    record_unknown,
    refusal_at_barrier,
)
from platforms.models import Platform
from remosa.lib.backoff import backoff
from remosa.lib.clock import utcnow
from sms import engine, ports
from sms.errors import GatewayError
from sms.models import Gateway, SmsMessage
from sms.ports import Accepted
from sms.services import gateways
from sms.services.messages import note_move, settle_units
from sms.states import SMS, SmsState
from sms.turns import Turns

logger = logging.getLogger(__name__)

MARGIN_RATIO = 0.1  # of the lease, kept free after the send's deadline
REAP_AT_ONCE = 500
SETTLE_RETRY_S = 0.1

Checkpoint = Callable[[str, uuid.UUID], None]


@dataclass(frozen=True)
class Claim:
    """A row that is ours: ``fence`` proves it, ``at`` is the monotonic time from which the lease runs."""

    message: SmsMessage
    fence: int
    at: float


class Lost(Exception):
    """The row is no longer ours: the lease ran out, or a person cancelled. Rolls the transaction back."""


class NoGateway(Exception):
    """No gateway is well and within its rate."""


def pass_by(name: str, message_id: uuid.UUID) -> None:
    """Checkpoints are for tests that end the process there."""


def owner_name(role: str) -> str:
    """A name for a lease: who, on which machine, in which process."""
    return f"{role}:{socket.gethostname()[:32]}:{os.getpid()}"[:64]


class Pump:
    """Moves due rows of the outbox. Safe to share between threads."""

    def __init__(
        self,
        owner: str,
        *,
        now: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
        checkpoint: Checkpoint = pass_by,
        jitter: Callable[[], float] = random.random,
        at_once: int | None = None,
    ) -> None:
        """``at_once`` is how many messages of one platform may be on their way; None sets no limit."""
        self.owner = owner
        self._turns = Turns(monotonic=monotonic, at_once=at_once)
        self.now, self.monotonic, self.checkpoint, self.jitter = now, monotonic, checkpoint, jitter

    # --- rows -----------------------------------------------------------------------------------
    def run_one(
        self, message_id: uuid.UUID | None = None, *, claimed: Callable[[], None] | None = None
    ) -> bool:
        """Carry one due row (or this one) as far as it goes; False when none is due.

        ``claimed`` is called once a row is ours, before the slow part: there may be more of them.
        """
        if message_id is not None:
            return self._carry_safely(self._claim(self._due(self.now()).filter(pk=message_id)), claimed)
        look = False
        while (platform := self._turns.take(self._waiting_platforms, look=look)) is not None:
            try:
                claim = self._claim(self._due(self.now()).filter(platform=platform))
                if claim is not None:
                    self._turns.goes_on(platform)
                    return self._carry_safely(claim, claimed)
            finally:
                self._turns.give_back(platform)
        return False

    def _carry_safely(self, claim: Claim | None, claimed: Callable[[], None] | None) -> bool:
        if claim is None:
            return False
        if claimed is not None:
            claimed()
        try:
            self._carry(claim)
        except Lost:
            logger.info("outbox row lost id=%s fence=%s", claim.message.pk, claim.fence)
        except Exception:  # one poisonous row must not stop the others
            logger.exception("outbox row failed id=%s", claim.message.pk)
            self._set_aside(claim)
        return True

    def _waiting_platforms(self) -> list[int]:
        due = self._due(self.now()).filter(platform=OuterRef("pk"))
        return list(Platform.objects.filter(Exists(due)).values_list("pk", flat=True))

    def drain(
        self, *, threads: int = 1, budget_s: float | None = None, stop: threading.Event | None = None
    ) -> int:
        """Carry rows until none is due, ``budget_s`` is used up or ``stop`` is set; how many were carried."""
        ends = None if budget_s is None else self.monotonic() + budget_s

        def until_empty() -> int:
            done = 0
            while not (stop and stop.is_set()) and (ends is None or self.monotonic() < ends):
                if not self.run_one():
                    break
                done += 1
            return done

        if threads <= 1:
            return until_empty()

        def in_a_thread(_number: int) -> int:
            try:
                return until_empty()
            finally:
                connections.close_all()  # this thread's own

        with ThreadPoolExecutor(threads, thread_name_prefix="outbox") as pool:
            return sum(pool.map(in_a_thread, range(threads)))

    def run_once(self, *, threads: int = 1) -> int:
        """Settle what was abandoned, then drain; how many rows were touched."""
        return self.reap() + self.drain(threads=threads)

    # --- claim ----------------------------------------------------------------------------------
    def _claim(self, due: QuerySet[SmsMessage]) -> Claim | None:
        started, now = self.monotonic(), self.now()
        with transaction.atomic():
            due = due.order_by("next_attempt_at", "created_at")
            if connection.features.has_select_for_update_skip_locked:
                due = due.select_for_update(skip_locked=True, of=("self",))
            message = due.select_related("platform", "command__device").first()
            if message is None:
                return None
            _need_not_survive_a_crash()
            until = now + timedelta(seconds=self._lease_s(message))
            if not self._take_over(
                message, SmsState.CLAIMED, now=now, lease_owner=self.owner, lease_until=until
            ):
                return None
            self.checkpoint("claim_before_commit", message.pk)
        self.checkpoint("after_claim", message.pk)
        return Claim(message, message.fence, started)

    def _due(self, now: datetime) -> QuerySet[SmsMessage]:
        """The rows that this pump may take up."""
        due = SmsMessage.objects.filter(state=SmsState.QUEUED, next_attempt_at__lte=now, expires_at__gt=now)
        return due.exclude(handed_until__gt=now)

    def _lease_s(self, message: SmsMessage) -> float:
        return settings.OUTBOX_LEASE_S

    def _deadline_s(self, message: SmsMessage) -> float:
        return settings.OUTBOX_SEND_DEADLINE_S

    def _take_over(self, message: SmsMessage, target: SmsState, *, now: datetime, **columns: Any) -> bool:
        """Move the row on from where we saw it and raise its fence: no earlier holder can move it any more.

        False when it changed meanwhile. A claim that has passed the barrier since we looked is no claim.
        """
        return SMS.move(
            message, target, now=now, by=self.owner, fence=message.fence, new_fence=message.fence + 1,
            only_from=message.state, **columns,
        )  # fmt: skip

    # --- the way of one row ---------------------------------------------------------------------
    def _carry(self, claim: Claim) -> None:
        try:
            gateway = self._barrier(claim)
        except NoGateway:
            self._postpone(claim)
            return
        if gateway is None:
            return
        deadline_s, lease_s = self._deadline_s(claim.message), self._lease_s(claim.message)
        if self._lease_left_s(claim) < deadline_s + MARGIN_RATIO * lease_s:
            self._step_back(claim)
            return
        accepted, error = self._send(claim, gateway, deadline_s)
        self.checkpoint("after_post", claim.message.pk)
        self._settle_stubbornly(claim, gateway, accepted, error)
        self.checkpoint("after_result", claim.message.pk)
        self._note_health(gateway, error)

    def _lease_left_s(self, claim: Claim) -> float:
        return self._lease_s(claim.message) - (self.monotonic() - claim.at)

    def _barrier(self, claim: Claim) -> Gateway | None:
        """Commit ``sending`` and return the gateway; None when the row must not leave.

        NoGateway undoes what the guards have noted: nothing is about to leave after all.
        """
        message, now = claim.message, self.now()
        with transaction.atomic():
            if message.expires_at <= now:
                self._drop(claim, SmsState.EXPIRED, "expired", now=now)
                return None
            if reason := _objection(message, now=now):
                self._drop(claim, SmsState.CANCELLED, reason, now=now)
                return None
            gateway = self._choose(message, now=now)
            if gateway is None:
                raise NoGateway
            self._turns.served(message.platform_id)
            if not self._sends_through(gateway):
                self._hand_over(claim, gateway, now=now)
                return None
            self._commit_to_sending(claim, gateway, now=now)
            self.checkpoint("barrier_before_commit", message.pk)
        self.checkpoint("after_barrier", message.pk)
        return gateway

    def _postpone(self, claim: Claim) -> None:
        now = self.now()
        at, why = gateways.when_to_look_again(claim.message, now=now)
        self._move(claim, SmsState.QUEUED, now=now, why=why, reason=why, next_attempt_at=at)

    def _choose(self, message: SmsMessage, *, now: datetime) -> Gateway | None:
        """The gateway for ``message``, with a place of its rate taken; None when there is none now."""
        return gateways.reserve_slot(message, now=now)

    def _sends_through(self, gateway: Gateway) -> bool:
        """Whether this process sends through ``gateway``; a kind that nobody knows fails when it is used."""
        return not gateways.has_own_process(gateway.kind)

    def _hand_over(self, claim: Claim, gateway: Gateway, *, now: datetime) -> None:
        """Give the row to the process of ``gateway``. No try is counted: nothing has been tried."""
        until = now + timedelta(seconds=settings.OUTBOX_HAND_OVER_S)
        self._move(
            claim, SmsState.QUEUED, now=now, why=f"handed to gateway {gateway.pk}", reason="waits_for_modem",
            gateway=gateway, handed_until=until, next_attempt_at=now, lease_owner="", lease_until=None,
        )  # fmt: skip

    def _backend(self, gateway: Gateway) -> ports.Gateway:
        return gateways.backend_of(gateway)

    def _commit_to_sending(self, claim: Claim, gateway: Gateway, *, now: datetime) -> None:
        self._move(
            claim, SmsState.SENDING, now=now, gateway=gateway, attempts=claim.message.attempts + 1, reason="",
            handed_until=None,
        )  # fmt: skip

    def _move(self, claim: Claim, target: SmsState, *, now: datetime, why: str = "", **columns: Any) -> None:
        if not SMS.move(claim.message, target, now=now, why=why, by=self.owner, fence=claim.fence, **columns):
            raise Lost

    def _drop(self, claim: Claim, target: SmsState, reason: str, *, now: datetime) -> None:
        """The row will not be sent: say so to its command and give its units back. In the caller's transaction."""
        self._move(claim, target, now=now, why=reason, reason=reason)
        conclude_unsent(claim.message, reason=reason, now=now)

    def _step_back(self, claim: Claim) -> None:
        """The lease is nearly over and nothing has left: hand the row back without a byte."""
        now = self.now()
        self._move(
            claim, SmsState.QUEUED, now=now, why="lease nearly over", reason="lease_over", next_attempt_at=now,
            attempts=claim.message.attempts - 1,
        )  # fmt: skip

    def _send(
        self, claim: Claim, gateway: Gateway, deadline_s: float
    ) -> tuple[Accepted | None, GatewayError | None]:
        message = claim.message
        try:
            backend = self._backend(gateway)
        except Exception as exc:  # a wrong configuration: nothing has left
            logger.exception("gateway unusable gateway=%s", gateway.pk)
            return None, GatewayError(f"gateway_unusable_{type(exc).__name__}", outcome="not_sent")
        try:
            ref = str(message.pk)
            return backend.send(message.to, message.body, client_ref=ref, deadline_s=deadline_s), None
        except GatewayError as error:
            return None, error
        except Exception as exc:  # against the port's contract: it may have left
            logger.exception("gateway broke its contract gateway=%s", gateway.pk)
            return None, GatewayError(f"gateway_fault_{type(exc).__name__}", outcome="unknown")

    # --- settle ---------------------------------------------------------------------------------
    def _settle_stubbornly(
        self, claim: Claim, gateway: Gateway, accepted: Accepted | None, error: GatewayError | None
    ) -> None:
        """Settle, again after a failure of the database, while the lease lasts; then the reaper says unknown."""
        while True:
            try:
                self._settle(claim, gateway, accepted, error)
                return
            except (OperationalError, InterfaceError) as exc:
                if connection.in_atomic_block or self._lease_left_s(claim) < SETTLE_RETRY_S:
                    raise
                logger.warning("settle repeated id=%s error=%s", claim.message.pk, type(exc).__name__)
                connection.close()
                threading.Event().wait(SETTLE_RETRY_S)

    def _settle(
        self, claim: Claim, gateway: Gateway, accepted: Accepted | None, error: GatewayError | None
    ) -> None:
        message, now = claim.message, self.now()
        with transaction.atomic():
            tries = engine.Tries(message.attempts, settings.OUTBOX_MAX_ATTEMPTS, message.expires_at)
            verdict = engine.settle(
                error, tries, jitter=self.jitter(), now=now,
                other_gateway=bool(error and error.breaks)
                and gateways.has_another(message, gateway.pk, now=now),
            )  # fmt: skip
            columns = _columns(message, gateway, accepted, verdict, now=now)
            why = str(error)[:300] if error else ""
            if SMS.move(
                message, verdict.state, now=now, why=why, by=self.owner, fence=claim.fence, **columns
            ):
                if verdict.state != SmsState.QUEUED:
                    self._tell_command(message, verdict, now=now)
                    settle_units(message, spent=bool(verdict.spent))
                    note_move(message, now=now)
            else:
                self._overtaken(claim, gateway, accepted, now=now)
            self.checkpoint("result_before_commit", message.pk)

    def _tell_command(self, message: SmsMessage, verdict: engine.Settlement, *, now: datetime) -> None:
        if message.command_id is None:
            return
        if verdict.state == SmsState.SENT:
            record_sent(message.command_id, at=now)
        elif verdict.state == SmsState.UNKNOWN:
            record_unknown(message.command_id, at=now, reason=verdict.reason)
        else:
            record_failed(message.command_id, at=now, reason=verdict.reason)

    def _overtaken(self, claim: Claim, gateway: Gateway, accepted: Accepted | None, *, now: datetime) -> None:
        """The delivery report was faster than the answer: only what the answer knows is missing."""
        columns: dict[str, Any] = {"lease_owner": "", "lease_until": None}
        if accepted is not None:
            columns |= {"gateway_ref": accepted.ref[:100], "price": gateway.price * claim.message.segments}
        reported = [SmsState.DELIVERED, SmsState.UNDELIVERED]
        mine = SmsMessage.objects.filter(pk=claim.message.pk, fence=claim.fence, state__in=reported)
        if not mine.update(**columns):
            raise Lost

    def _note_health(self, gateway: Gateway, error: GatewayError | None) -> None:
        """A transaction of its own: no row of the outbox ever waits for the gateway's row and holds another."""
        now = self.now()
        if error is None:
            gateways.note_success(gateway, now=now)
        else:
            logger.warning(
                "sms not accepted gateway=%s outcome=%s reason=%s", gateway.pk, error.outcome, error.reason
            )
            gateways.note_failure(gateway, error, now=now)

    def _set_aside(self, claim: Claim) -> None:
        """A row that broke us before anything left tries again later; past the barrier the reaper decides."""
        now, row = self.now(), claim.message
        try:
            if SmsMessage.objects.filter(pk=row.pk, state=SmsState.CLAIMED, fence=claim.fence).exists():
                later = now + backoff(claim.fence, base_s=5.0, jitter=self.jitter())
                self._move(
                    claim, SmsState.QUEUED, now=now, why="error", reason="error", next_attempt_at=later
                )
        except (DatabaseError, Lost):
            logger.exception("outbox row left to the reaper id=%s", row.pk)

    # --- the abandoned --------------------------------------------------------------------------
    def reap(self) -> int:
        """Say what became of the rows whose worker died and of those that are too late; how many moved."""
        now = self.now()
        rows = SmsMessage.objects.select_related("platform", "command").order_by("pk")
        left = rows.filter(lease_until__lte=now)
        work = [
            (left.filter(state=SmsState.CLAIMED), self._reap_claimed),
            (left.filter(state=SmsState.SENDING), self._reap_sending),
            (rows.filter(state=SmsState.QUEUED, expires_at__lte=now), self._reap_late),
        ]
        return sum(
            self._reap_safely(row, how, now=now) for found, how in work for row in list(found[:REAP_AT_ONCE])
        )

    def _reap_safely(
        self, row: SmsMessage, how: Callable[[SmsMessage, datetime], bool], *, now: datetime
    ) -> bool:
        try:
            with transaction.atomic():
                return how(row, now)
        except Exception:  # one poisonous row must not stop the others
            logger.exception("outbox reap failed id=%s", row.pk)
            return False

    def _reap_claimed(self, row: SmsMessage, now: datetime) -> bool:
        """Nothing had left."""
        return self._take_over(row, SmsState.QUEUED, now=now, why="worker lost before the barrier")

    def _reap_sending(self, row: SmsMessage, now: datetime) -> bool:
        """It may have left. The holder, should it wake up, cannot move the row any more."""
        if not self._take_over(row, SmsState.UNKNOWN, now=now, why="worker lost", reason="worker_lost"):
            return False
        if row.command_id:
            record_unknown(row.command_id, at=now, reason="worker_lost")
        settle_units(row, spent=True)
        note_move(row, now=now)
        return True

    def _reap_late(self, row: SmsMessage, now: datetime) -> bool:
        """Too late to be sent."""
        why = f"expired: {row.reason}" if row.reason else "expired"
        if not SMS.move(row, SmsState.EXPIRED, now=now, why=why, by=self.owner, reason=why[:200]):
            return False
        conclude_unsent(row, reason="expired", now=now)
        return True


def _need_not_survive_a_crash() -> None:
    """Let this commit not wait for the disk. Only for a claim, of which nothing has left.

    If the database crashes before it is written, the row is still queued, and the holder of the lost claim
    fails at the barrier or passes it instead of the one who claimed again: it is one compare-and-set. The
    commit of the barrier waits for the disk, and all that was committed before it is written with it.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO OFF")


def _objection(message: SmsMessage, *, now: datetime) -> str | None:
    """Why this message must not leave, asked at the last moment; None lets it pass."""
    if message.command_id:
        return refusal_at_barrier(message.command_id, now=now)
    is_active = Platform.objects.filter(pk=message.platform_id, is_active=True).exists()
    return None if is_active else "platform_inactive"


def conclude_unsent(message: SmsMessage, *, reason: str, now: datetime) -> None:
    """Tell the command that its message never left, and give the units back."""
    if message.command_id:
        record_refused_at_barrier(message.command_id, at=now, reason=reason)
    settle_units(message, spent=False)
    note_move(message, now=now)


def _columns(
    message: SmsMessage,
    gateway: Gateway,
    accepted: Accepted | None,
    verdict: engine.Settlement,
    *,
    now: datetime,
) -> dict[str, Any]:
    """The columns that a settlement writes besides the state."""
    columns: dict[str, Any] = {"reason": verdict.reason[:200], "lease_owner": "", "lease_until": None}
    if verdict.next_attempt_at is not None:
        columns["next_attempt_at"] = verdict.next_attempt_at
    if accepted is not None:
        columns["gateway_ref"] = accepted.ref[:100]
    if verdict.spent:
        columns |= {"sent_at": now, "price": gateway.price * message.segments}
    return columns
