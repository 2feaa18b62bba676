"""The pump: claim, barrier, send, settle. At most one physical SMS per row, whoever dies when.

1. *Claim* due rows: compare-and-set with a new fence and a lease.
2. *Barrier*: take a place of the gateway's rate, and move the row to ``sending``. Committed before the
   first byte: who finds such a row whose lease is over knows that it may have left.
3. *Send*, outside any transaction, within a deadline much shorter than the lease; not at all when the
   lease is nearly over by our own monotonic clock (we were stopped, and may be taken for dead), or when
   its time has run out meanwhile.
4. *Settle*: the row, its units, its command and the journal in one transaction, if the fence is still ours.

Of a message to people nobody is asked: several are claimed and pass the barrier in one statement, and are
settled together; what the WHERE of that statement does not find stays where it is. A command is claimed
first (committed), then its guards are asked inside the barrier, one by one: who finds a ``claimed`` row whose
lease is over knows that nothing left.

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
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from devices.models import Command
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
from remosa.lib.lifecycle import NOW, NotAllMoved
from remosa.lib.prepared import Given, PreparedQuery
from remosa.lib.texts import storable
from sms import engine, ports
from sms.errors import GatewayError
from sms.models import Gateway, SmsMessage
from sms.ports import Accepted
from sms.services import gateways
from sms.services.messages import note_move, settle_sent, settle_units
from sms.states import SMS, SmsState
from sms.turns import Turns

logger = logging.getLogger(__name__)

MARGIN_RATIO = 0.1  # of the lease, kept free after the send's deadline
REAP_AT_ONCE = 500
SETTLE_RETRY_S = 0.1
REF_LENGTH = 100

# what must still hold when a message to people passes the barrier
MAY_LEAVE = Q(Exists(Platform.objects.filter(pk=OuterRef("platform_id"), is_active=True)), expires_at__gt=NOW)


def _to_reap(**which: Any) -> PreparedQuery:
    rows = SmsMessage.objects.select_related("platform", "command").order_by("pk")
    return PreparedQuery(lambda: rows.filter(**which)[:REAP_AT_ONCE])


CLAIMED_AND_LEFT = _to_reap(state=SmsState.CLAIMED, lease_until__lte=NOW)
SENDING_AND_LEFT = _to_reap(state=SmsState.SENDING, lease_until__lte=NOW)
TOO_LATE = _to_reap(state=SmsState.QUEUED, expires_at__lte=NOW)

Checkpoint = Callable[[str, uuid.UUID], None]
Due = Callable[[int, datetime], list[SmsMessage]]  # up to so many rows that are due now, locked


@dataclass(frozen=True)
class Claim:
    """A row that is ours: ``fence`` proves it, ``at`` is the monotonic time from which the lease runs.

    With a ``gateway`` it has passed the barrier, and may leave through it.
    """

    message: SmsMessage
    fence: int
    at: float
    gateway: Gateway | None = None


@dataclass(frozen=True)
class Taken:
    """What a look at the queue brought: rows that are ours now, and how many were ``touched`` in all."""

    claims: list[Claim] = field(default_factory=list)
    touched: int = 0


@dataclass(frozen=True)
class Sent:
    """What came back from a gateway: its acceptance or its error."""

    claim: Claim
    gateway: Gateway
    accepted: Accepted | None
    error: GatewayError | None


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
        knows_gateways_s: float = 0.0,
    ) -> None:
        """``at_once`` is how many messages of one platform may be on their way; None sets no limit.

        ``knows_gateways_s`` is how long the gateways of a platform may be remembered; what counts of them is
        asked by the statement that takes a place.
        """
        self.owner = owner
        self.turns = Turns(monotonic=monotonic, at_once=at_once)
        self.now, self.monotonic, self.checkpoint, self.jitter = now, monotonic, checkpoint, jitter
        self._knows_gateways_s = knows_gateways_s
        self._gateways: dict[int, tuple[float, list[Gateway]]] = {}
        self._first_due: dict[int, PreparedQuery] = {}
        self._waiting = PreparedQuery(
            lambda: Platform.objects.filter(
                Exists(self._due(NOW).filter(platform=OuterRef("pk")))
            ).values_list("pk")
        )

    # --- rows -----------------------------------------------------------------------------------
    def run_one(self, message_id: uuid.UUID | None = None) -> bool:
        """Carry one due row (or this one) as far as it goes; False when none is due."""
        alone = partial(self._due_alone, message_id) if message_id is not None else None
        taken = self._claim_safely(alone, 1) if alone else self.take(1)
        for claim in taken.claims:
            try:
                if (sent := self.carry(claim)) is not None:
                    self.settle([sent])
            finally:
                if message_id is None:
                    self.turns.give_back(claim.message.platform_id)
        return taken.touched > 0

    def take(self, places: int, *, look: bool = False) -> Taken:
        """Take up to ``places`` due rows, platforms in turn. Each claim's platform comes back by ``turns.give_back``.

        Nothing touched means that nothing is due (or that others are at it). ``look`` asks the table who waits
        even if somebody is known.
        """
        tried: set[int] = set()
        while True:
            shares = self.turns.take_many(places, self._waiting_platforms, look=look)
            taken, look = self._take_shares(shares), False
            if taken.touched or tried.issuperset(shares):
                return taken
            tried |= set(shares)

    def _take_shares(self, shares: dict[int, int]) -> Taken:
        claims: list[Claim] = []
        touched, unused = 0, dict(shares)
        try:
            for platform, share in shares.items():
                taken = self._claim_safely(partial(self._due_of, platform), share)
                claims += taken.claims
                touched += taken.touched
                unused[platform] -= len(taken.claims)
                if taken.touched < share:
                    self.turns.has_nothing(platform)
        except Exception:
            if not claims:
                raise
            logger.exception("outbox looked in vain")  # what is ours already must be carried
        finally:
            for platform, places in unused.items():
                for _place in range(places):
                    self.turns.give_back(platform)
        return Taken(claims, touched)

    def carry(self, claim: Claim) -> Sent | None:
        """Bring one claimed row through its gateway; None when there is nothing to settle. Raises nothing."""
        try:
            return self._carry(claim)
        except Lost:
            logger.info("outbox row lost id=%s fence=%s", claim.message.pk, claim.fence)
        except Exception:  # one poisonous row must not stop the others
            logger.exception("outbox row failed id=%s", claim.message.pk)
            self._set_aside(claim)
        return None

    def _waiting_platforms(self) -> list[int]:
        return [key for (key,) in self._waiting.rows(now=self.now())]

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
    def _claim_safely(self, due: Due, at_most: int) -> Taken:
        """``_claim``, one by one after a failure, and a row that breaks us alone is set aside."""
        first: list[SmsMessage] = []
        try:
            return self._claim(due, at_most, first)
        except NotAllMoved:  # what it stood on was changed in this moment: a new look tells
            if at_most == 1:
                return Taken()
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("outbox claim failed rows=%s", at_most)
            if at_most == 1:
                for row in first:
                    self._put_aside(row)
                return Taken(touched=len(first))
        return self._claim_safely(due, 1)

    def _claim(self, due: Due, at_most: int, seen: list[SmsMessage]) -> Taken:
        """Claim due rows in one transaction, and let those pass the barrier of which nobody is asked."""
        started, now = self.monotonic(), self.now()
        with transaction.atomic():
            rows = due(at_most, now)
            seen[:] = rows
            asked = [row for row in rows if self._is_asked_about(row)]
            self._claim_asked(asked, now=now)
            passed, waiting = self._pass([row for row in rows if not self._is_asked_about(row)], now=now)
            for row in rows:
                self.checkpoint("claim_before_commit", row.pk)
        for row in waiting:
            self._wait_for_a_gateway(row, now=now)
        for row in asked:
            self.checkpoint("after_claim", row.pk)
        for row, _gateway in passed:
            self.checkpoint("after_barrier", row.pk)
        claims = [Claim(row, row.fence, started) for row in asked]
        claims += [Claim(row, row.fence, started, gateway) for row, gateway in passed]
        return Taken(claims, len(rows))

    def _is_asked_about(self, message: SmsMessage) -> bool:
        """Whether guards have a say in this message."""
        return message.command_id is not None

    def _claim_asked(self, rows: list[SmsMessage], *, now: datetime) -> None:
        if not rows:
            return
        SMS.move_all(
            rows, SmsState.CLAIMED, now=now, by=self.owner, raise_fence=True, lease_owner=self.owner,
            each={"lease_until": self._leases(rows, now=now)},
        )  # fmt: skip
        commands = Command.objects.select_related("device").in_bulk(
            row.command_id for row in rows if row.command_id
        )
        for row in rows:
            if row.command_id:
                row.command = commands[row.command_id]

    def _leases(self, rows: Sequence[SmsMessage], *, now: datetime) -> list[datetime]:
        return [now + timedelta(seconds=self._lease_s(row)) for row in rows]

    def _pass(
        self, rows: list[SmsMessage], *, now: datetime
    ) -> tuple[list[tuple[SmsMessage, Gateway]], list[SmsMessage]]:
        """Claim and barrier at once: what may leave, each with its gateway, and what waits for one.

        The platform is asked twice: in the row that was locked, and by the statement that moves it.
        """
        for row in rows:
            if not row.platform.is_active and SMS.move(
                row,
                SmsState.CANCELLED,
                now=now,
                why="platform_inactive",
                by=self.owner,
                reason="platform_inactive",
            ):
                conclude_unsent(row, reason="platform_inactive", now=now)
        rows = [row for row in rows if row.platform.is_active]
        leaving: dict[int, list[tuple[SmsMessage, Gateway]]] = defaultdict(list)
        waiting = []
        for row, gateway in zip(rows, self._choose(rows, now=now), strict=True):
            if gateway is None:
                waiting.append(row)
                continue
            self.turns.served(row.platform_id)
            if self._sends_through(gateway):
                leaving[gateway.pk].append((row, gateway))
            else:
                self._hand_over_queued(row, gateway, now=now)
        for pairs in leaving.values():
            those = [row for row, _gateway in pairs]
            SMS.move_all(
                those, SmsState.SENDING, now=now, by=self.owner, raise_fence=True,
                where=MAY_LEAVE, gateway=pairs[0][1], reason="", handed_until=None,
                lease_owner=self.owner,
                each={
                    "attempts": [row.attempts + 1 for row in those], "lease_until": self._leases(those, now=now),
                },
            )  # fmt: skip
            for row in those:
                self.checkpoint("barrier_before_commit", row.pk)
        return [pair for pairs in leaving.values() for pair in pairs], waiting

    def _wait_for_a_gateway(self, row: SmsMessage, *, now: datetime) -> None:
        """Put the row off. Raises nothing: others have passed the barrier with it, and must be carried."""
        try:
            self._put_off(row, *gateways.when_to_look_again(row, now=now))
        except Exception:
            logger.exception("outbox row put aside id=%s", row.pk)
            with suppress(DatabaseError, InterfaceError):
                self._put_aside(row)

    def _put_aside(self, row: SmsMessage) -> None:
        """A row that broke us while it was queued tries again later."""
        self._put_off(row, self.now() + backoff(1, base_s=5.0, jitter=self.jitter()), "error")

    def _put_off(self, row: SmsMessage, at: datetime, why: str) -> None:
        """A row that is still queued, and stays so, is looked at again later."""
        mine = SmsMessage.objects.filter(pk=row.pk, state=SmsState.QUEUED, fence=row.fence)
        mine.filter(next_attempt_at=row.next_attempt_at).update(next_attempt_at=at, reason=why)

    def _due(self, now: datetime | Given) -> QuerySet[SmsMessage]:
        """The rows that this pump may take up."""
        due = SmsMessage.objects.filter(state=SmsState.QUEUED, next_attempt_at__lte=now, expires_at__gt=now)
        return due.exclude(handed_until__gt=now)

    def _due_of(self, platform_id: int, at_most: int, now: datetime) -> list[SmsMessage]:
        """The first due rows of a platform, locked."""
        if at_most not in self._first_due:
            mine = self._due(NOW).filter(platform=Given("platform", Platform._meta.pk))
            self._first_due[at_most] = PreparedQuery(lambda: self._locked(mine)[:at_most])
        return self._first_due[at_most].objects(now=now, platform=platform_id)

    def _due_alone(self, message_id: uuid.UUID, at_most: int, now: datetime) -> list[SmsMessage]:
        """This row, if it is due, locked."""
        return list(self._locked(self._due(now).filter(pk=message_id))[:at_most])

    def _locked(self, due: QuerySet[SmsMessage]) -> QuerySet[SmsMessage]:
        due = due.order_by("next_attempt_at", "created_at").select_related("platform")
        if connection.features.has_select_for_update_skip_locked:
            return due.select_for_update(skip_locked=True, of=("self",))
        return due

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
    def _carry(self, claim: Claim) -> Sent | None:
        gateway = claim.gateway
        if gateway is None:
            try:
                gateway = self._barrier(claim)
            except NoGateway:
                self._postpone(claim)
            if gateway is None:
                return None
        deadline_s, lease_s = self._deadline_s(claim.message), self._lease_s(claim.message)
        if self._lease_left_s(claim) < deadline_s + MARGIN_RATIO * lease_s:
            self._step_back(claim, why="lease nearly over", reason="lease_over")
            return None
        if claim.message.expires_at <= self.now():  # the reaper says so
            self._step_back(claim, why="too late")
            return None
        accepted, error = self._send(claim, gateway, deadline_s)
        self.checkpoint("after_post", claim.message.pk)
        return Sent(claim, gateway, accepted, error)

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
            gateway = self._choose([message], now=now)[0]
            if gateway is None:
                raise NoGateway
            self.turns.served(message.platform_id)
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

    def _choose(self, messages: list[SmsMessage], *, now: datetime) -> list[Gateway | None]:
        """The gateway of each message, with a place of its rate taken; None where there is none now."""
        chosen = gateways.reserve_slots(messages, now=now, known=self._known)
        if None not in chosen or not self._knows_gateways_s:
            return chosen
        self._gateways.clear()  # others may be there by now, or well again
        left = [message for message, gateway in zip(messages, chosen, strict=True) if gateway is None]
        others = iter(gateways.reserve_slots(left, now=now, known=self._known))
        return [gateway or next(others) for gateway in chosen]

    def _known(self, platform_id: int) -> list[Gateway]:
        known = self._gateways.get(platform_id)
        if known is None or self.monotonic() >= known[0]:
            known = self.monotonic() + self._knows_gateways_s, gateways.candidates(platform_id)
            self._gateways[platform_id] = known
        return known[1]

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

    def _hand_over_queued(self, row: SmsMessage, gateway: Gateway, *, now: datetime) -> None:
        """The same of a row that is locked and was not claimed."""
        until = now + timedelta(seconds=settings.OUTBOX_HAND_OVER_S)
        SmsMessage.objects.filter(pk=row.pk, state=SmsState.QUEUED, fence=row.fence).update(
            gateway=gateway, handed_until=until, next_attempt_at=now, reason="waits_for_modem"
        )
        row.events.create(
            from_state=row.state,
            to_state=row.state,
            at=now,
            why=f"handed to gateway {gateway.pk}",
            by=self.owner,
        )

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

    def _step_back(self, claim: Claim, *, why: str, reason: str = "") -> None:
        """We were stopped for too long and nothing has left: hand the row back without a byte."""
        now = self.now()
        self._move(
            claim, SmsState.QUEUED, now=now, why=why, reason=reason, next_attempt_at=now,
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
            accepted = backend.send(message.to, message.body, client_ref=ref, deadline_s=deadline_s)
            return replace(accepted, ref=storable(accepted.ref)[:REF_LENGTH]), None
        except GatewayError as error:
            return None, error
        except Exception as exc:  # against the port's contract: it may have left
            logger.exception("gateway broke its contract gateway=%s", gateway.pk)
            return None, GatewayError(f"gateway_fault_{type(exc).__name__}", outcome="unknown")

    # --- settle ---------------------------------------------------------------------------------
    def settle(self, results: Sequence[Sent]) -> None:
        """Write down what came back, what is alike in one transaction. Raises nothing."""
        alike: list[Sent] = []
        others: list[Sent] = []
        for one in results:
            is_alike = one.accepted is not None and one.claim.message.command_id is None
            (alike if is_alike else others).append(one)
        for one in others if self._settle_together(alike) else results:
            self._settle_safely(one)
        for one in results:
            self.checkpoint("after_result", one.claim.message.pk)
        self._note_health(results)

    def _settle_together(self, results: list[Sent]) -> bool:
        """Settle messages to people that were accepted, all or none; False when each must be settled by itself."""
        if not results:
            return False
        messages = [one.claim.message for one in results]
        while True:
            now = self.now()
            for message in messages:
                message.state = SmsState.SENDING  # also after a try that went back
            try:
                with transaction.atomic():
                    SMS.move_all(
                        messages, SmsState.SENT, now=now, by=self.owner, sent_at=now, reason="", lease_owner="",
                        lease_until=None,
                        each={
                            "gateway_ref": [one.accepted.ref for one in results if one.accepted],
                            "price": [one.gateway.price * one.claim.message.segments for one in results],
                        },
                    )  # fmt: skip
                    settle_sent(messages, now=now)
                    for message in messages:
                        self.checkpoint("result_before_commit", message.pk)
                return True
            except NotAllMoved:
                return False
            except (OperationalError, InterfaceError) as exc:
                if not self._may_repeat(results, exc):
                    return False
            except Exception:
                logger.exception("outbox settles one by one rows=%s", len(results))
                return False

    def _may_repeat(self, results: Sequence[Sent], exc: Exception) -> bool:
        """Wait a moment for the database; False when a lease is nearly over: then the reaper says unknown."""
        if (
            connection.in_atomic_block
            or min(self._lease_left_s(one.claim) for one in results) < SETTLE_RETRY_S
        ):
            return False
        logger.warning("settle repeated rows=%s error=%s", len(results), type(exc).__name__)
        connection.close()
        threading.Event().wait(SETTLE_RETRY_S)
        return True

    def _settle_safely(self, one: Sent) -> None:
        """Settle, again after a failure of the database, while the lease lasts; then the reaper says unknown."""
        while True:
            try:
                self._settle(one.claim, one.gateway, one.accepted, one.error)
                return
            except Lost:
                logger.info("outbox row lost id=%s fence=%s", one.claim.message.pk, one.claim.fence)
                return
            except Exception as exc:
                is_database = isinstance(exc, OperationalError | InterfaceError)
                if not is_database or not self._may_repeat([one], exc):
                    logger.exception("outbox row left to the reaper id=%s", one.claim.message.pk)
                    return

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
            columns |= {"gateway_ref": accepted.ref, "price": gateway.price * claim.message.segments}
        reported = [SmsState.DELIVERED, SmsState.UNDELIVERED]
        mine = SmsMessage.objects.filter(pk=claim.message.pk, fence=claim.fence, state__in=reported)
        if not mine.update(**columns):
            raise Lost

    def _note_health(self, results: Sequence[Sent]) -> None:
        """Transactions of their own: no row of the outbox ever waits for the gateway's row and holds another."""
        now = self.now()
        try:
            for gateway in {one.gateway.pk: one.gateway for one in results if one.error is None}.values():
                gateways.note_success(gateway, now=now)
            for one in results:
                if one.error is not None:
                    logger.warning(
                        "sms not accepted gateway=%s outcome=%s reason=%s",
                        one.gateway.pk, one.error.outcome, one.error.reason,
                    )  # fmt: skip
                    gateways.note_failure(one.gateway, one.error, now=now)
        except (OperationalError, InterfaceError) as exc:
            logger.warning("health of a gateway not written error=%s", type(exc).__name__)
        except Exception:
            logger.exception("health of a gateway not written")

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
        work = [
            (CLAIMED_AND_LEFT, self._reap_claimed), (SENDING_AND_LEFT, self._reap_sending),
            (TOO_LATE, self._reap_late),
        ]  # fmt: skip
        return sum(
            self._reap_safely(row, how, now=now) for found, how in work for row in found.objects(now=now)
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
        columns["gateway_ref"] = accepted.ref
    if verdict.spent:
        columns |= {"sent_at": now, "price": gateway.price * message.segments}
    return columns
