"""Which gateway carries the next message, how fast, and whether it is well.

All of it lives in the gateway's row and is changed by single UPDATE statements, so that any number
of processes together keep the rate and send one probe, not ten, at a gateway that was ill.
"""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import (
    Case,
    DateField,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    When,
)

from remosa.lib.prepared import Given, PreparedUpdate
from remosa.lib.registry import backend
from sms import ports, senders
from sms.errors import GatewayError
from sms.models import Gateway, SmsMessage
from sms.signals import gateway_suspended
from sms.states import SmsState

MINUTE_US = 60_000_000
BURST_SHARE = 6  # of a minute's rate that may leave at once after a pause
CLOCK_BACK = timedelta(minutes=2)  # a place so far away was given out by a clock that was wrong
RANKS = 600  # waiting messages that are told apart when places are given out in advance
PROBE = timedelta(seconds=30)  # while one message tries whether a suspended gateway is well again
WRONG_KEY_PAUSE = timedelta(minutes=5)
FAILURES_BEFORE_PAUSE = 5
PAUSE_S = 30.0  # the first pause; each further failure doubles it
LONGEST_PAUSE_S = 600.0
SUCCESS_NOTED_EVERY = timedelta(seconds=5)  # a busy gateway is not written to for each message
NO_GATEWAY_WAIT = timedelta(seconds=10)

OPEN, CLOSED = Gateway.Breaker.OPEN, Gateway.Breaker.CLOSED


def account_of(gateway: Gateway) -> ports.Account:
    """One row as its backend sees it."""
    platform_zone = gateway.platform.time_zone if gateway.platform_id else "UTC"
    return ports.Account(
        gateway_id=gateway.pk,
        config=gateway.config,
        secret=str(gateway.secret),
        sender=gateway.sender_msisdn,
        validity_s=gateway.validity_s,
        time_zone=platform_zone,
        hook_secret=str(gateway.hook_secret),
        hook_url=f"{settings.PUBLIC_URL}/hooks/sms/{gateway.hook_id}",
    )


def backend_of(gateway: Gateway) -> ports.Gateway:
    """The backend of one row, ready to be used."""
    return backend("SMS_GATEWAYS", gateway.kind)(account_of(gateway))


def has_own_process(kind: str) -> bool:
    """Whether a gateway of this kind is sent through by a process of its own; False for an unknown kind."""
    return kind in settings.SMS_GATEWAYS and backend("SMS_GATEWAYS", kind).capabilities.own_process


def configuration_faults(kind: str, config: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with ``config`` for this kind of gateway, as ``{field: sentence}``."""
    return backend("SMS_GATEWAYS", kind).check(config)


def candidates(platform_id: int) -> list[Gateway]:
    """The enabled gateways of a platform in the order in which they are tried: its own, then the shared."""
    rows = Gateway.objects.filter(Q(platform=platform_id) | Q(platform=None), is_enabled=True)
    rows = rows.select_related("platform").order_by(F("platform").asc(nulls_last=True), "priority", "pk")
    return list(rows)


def routes(message: SmsMessage, rows: Sequence[Gateway] | None = None) -> list[Gateway]:
    """The gateways by which ``message`` may travel, in the order in which they are tried.

    ``rows`` are its platform's ``candidates``, where they are known already. A test stays with the gateway
    that it is meant to test; a command leaves from a number that its device obeys (see ``sms.senders``),
    whatever else is well.
    """
    rows = list(rows) if rows is not None else candidates(message.platform_id)
    if message.purpose == SmsMessage.Purpose.TEST and message.gateway_id:
        return [row for row in rows if row.pk == message.gateway_id]
    if message.command is None:
        return rows
    return senders.accepted(rows, senders.recorded(message.command.device.labels))


def choose_gateway(
    platform_id: int, *, now: datetime, labels: Mapping[str, Any] | None = None
) -> Gateway | None:
    """The gateway that would carry a message now, for a quote; None when there is none that is well.

    With the ``labels`` of a device: a command to it.
    """
    rows = candidates(platform_id)
    if labels is not None:
        rows = senders.accepted(rows, senders.recorded(labels))
    return next((row for row in rows if is_well(row, now=now)), None)


def is_well(gateway: Gateway, *, now: datetime) -> bool:
    """Whether the breaker lets messages through, or is due to let one try."""
    if gateway.breaker == CLOSED:
        return True
    return gateway.breaker_until is not None and gateway.breaker_until <= now


Known = Callable[[int], list[Gateway]]  # the candidates of a platform, as somebody read them


def reserve_slot(message: SmsMessage, *, now: datetime) -> Gateway | None:
    """Take a place at the best gateway for ``message``; None when all are full or ill."""
    return reserve_slots([message], now=now)[0]


def reserve_slots(
    messages: Sequence[SmsMessage], *, now: datetime, known: Known = candidates
) -> list[Gateway | None]:
    """Take a place at the best gateway for each message; None for those for which all are full or ill.

    ``known`` may be a little old: the statement that takes places asks whether the gateway still stands so.
    """
    found: dict[uuid.UUID, Gateway] = {}
    known = cache(known)
    alike: dict[tuple[int, ...], tuple[list[Gateway], list[SmsMessage]]] = {}
    for message in messages:
        rows = _in_order(message, routes(message, known(message.platform_id)))
        alike.setdefault(tuple(row.pk for row in rows), (rows, []))[1].append(message)
    for rows, waiting in alike.values():
        for row in rows:
            taken = _take_slots(row, len(waiting), now=now) if waiting and is_well(row, now=now) else 0
            found |= {message.pk: row for message in waiting[:taken]}
            del waiting[:taken]
    return [found.get(message.pk) for message in messages]


def _in_order(message: SmsMessage, rows: list[Gateway]) -> list[Gateway]:
    """The ways in which ``message`` tries them.

    A message that its last gateway did not take (or whose process did not take it up in time) goes
    to another one first, if there is another by which it may travel. So does a command that names a gateway
    before its first try: the one by which the same command was lost before.
    """
    if message.attempts or message.handed_until is not None or message.command_id is not None:
        return sorted(rows, key=lambda row: row.pk == message.gateway_id)  # stable: the order stays otherwise
    return rows


def pace(rate_per_minute: int) -> tuple[timedelta, int]:
    """(time between two places, how many may be taken at once): never more than the rate in any minute."""
    burst = max(1, rate_per_minute // BURST_SHARE)
    return timedelta(microseconds=math.ceil(MINUTE_US / (rate_per_minute - burst + 1))), burst


def _take_slots(gateway: Gateway, wanted: int, *, now: datetime) -> int:
    """Take up to ``wanted`` places; how many."""
    count = min(wanted, _seem_open(gateway, now=now))
    if count < 1:
        return 0
    if _take(gateway, count, now=now):
        return count
    return 1 if count > 1 and _take(gateway, 1, now=now) else 0  # others were faster, and left a few


def _take(gateway: Gateway, count: int, *, now: datetime) -> bool:
    """One statement: the settings as they were read, the breaker, the next places of the rate, the day's count."""
    every, burst = pace(gateway.rate_per_minute)
    taken = _taking.run(
        pk=gateway.pk, changed_at=gateway.changed_at, count=count, now=now, today=now.date(),
        open_until=now + every * (burst - count), wrong_clock=now + CLOCK_BACK, following=every * count,
        first=now + every * count, probe_until=now + PROBE,
    )  # fmt: skip
    return taken == 1


def _compose_taking() -> tuple[QuerySet[Gateway], dict[str, Any]]:
    at, count = partial(Given, field=DateTimeField()), Given("count", IntegerField())
    now, wrong_clock = at("now"), at("wrong_clock")
    is_today = Q(rate_day=Given("today", DateField()), rate_day__isnull=False)
    mine = Gateway.objects.filter(
        Q(slot_at=None) | Q(slot_at__lte=at("open_until")) | Q(slot_at__gt=wrong_clock),
        Q(rate_per_day=None) | ~is_today | Q(rate_day_used__lte=F("rate_per_day") - count),
        Q(breaker=CLOSED) | Q(breaker_until__lte=now),
        pk=Given("pk", Gateway._meta.pk), is_enabled=True, changed_at=at("changed_at"),
    )  # fmt: skip
    following = ExpressionWrapper(F("slot_at") + Given("following", DurationField()), DateTimeField())
    return mine, {
        "slot_at": Case(When(slot_at__gt=now, slot_at__lte=wrong_clock, then=following), default=at("first")),
        "rate_day": Given("today", DateField()),
        "rate_day_used": Case(When(is_today, then=F("rate_day_used") + count), default=count),
        "breaker_until": Case(When(breaker=OPEN, then=at("probe_until")), default=F("breaker_until")),
    }


_taking = PreparedUpdate(_compose_taking)


def _seem_open(gateway: Gateway, *, now: datetime) -> int:
    """How many places the row shows, which may be a little old; a suspended gateway lets one message try."""
    if not gateway.rate_per_minute or is_day_full(gateway, now=now):
        return 0
    every, burst = pace(gateway.rate_per_minute)
    left = burst if gateway.breaker == CLOSED else 1
    if gateway.rate_per_day is not None:
        left = min(left, gateway.rate_per_day - gateway.rate_day_used * (gateway.rate_day == now.date()))
    if gateway.slot_at is not None and now < gateway.slot_at <= now + CLOCK_BACK:
        left = min(left, (now + every * burst - gateway.slot_at) // every)
    return left


def when_to_look_again(message: SmsMessage, *, now: datetime) -> tuple[datetime, str]:
    """When a message without a gateway should try again, and the word for why it waits."""
    rows = routes(message)
    if not rows:
        why = "no_accepted_sender" if candidates(message.platform_id) else "no_gateway"
        return now + NO_GATEWAY_WAIT, why
    well = [row for row in rows if is_well(row, now=now)]
    if not well:
        wells = [row.breaker_until for row in rows if row.breaker_until is not None]
        return max(now + timedelta(seconds=1), min([*wells, now + NO_GATEWAY_WAIT])), "gateway_suspended"
    paced = [row for row in well if row.rate_per_minute and not is_day_full(row, now=now)]
    if not paced:
        return now + NO_GATEWAY_WAIT, "day_limit"
    return min(_turn_of(message, row, now=now) for row in paced), "rate_limit"


def is_day_full(gateway: Gateway, *, now: datetime) -> bool:
    """Whether this day's SMS of the gateway are used up. Its day begins at midnight UTC."""
    limit = gateway.rate_per_day
    return limit is not None and gateway.rate_day == now.date() and gateway.rate_day_used >= limit


def _turn_of(message: SmsMessage, gateway: Gateway, *, now: datetime) -> datetime:
    """The place that ``message`` may hope for behind its platform's older ones; nothing is reserved by it."""
    every, burst = pace(gateway.rate_per_minute)
    before = SmsMessage.objects.filter(
        platform=message.platform_id, state=SmsState.QUEUED, next_attempt_at__gt=now, reason="rate_limit",
        created_at__lt=message.created_at,
    )  # fmt: skip
    opens = gateway.slot_at - every * (burst - 1) if gateway.slot_at else now
    return max(opens, now) + every * before.order_by()[:RANKS].count()


def note_success(gateway: Gateway, *, now: datetime) -> None:
    """The gateway answered like one that is well; ``gateway`` is its row as it was before the message."""
    was_well = gateway.breaker == CLOSED and gateway.failures_in_row == 0
    if was_well and gateway.last_ok_at is not None and now - gateway.last_ok_at < SUCCESS_NOTED_EVERY:
        return
    stale = Q(last_ok_at=None) | Q(last_ok_at__lt=now - SUCCESS_NOTED_EVERY)
    ill = Q(breaker=OPEN) | Q(failures_in_row__gt=0)
    Gateway.objects.filter(stale | ill, pk=gateway.pk).update(
        last_ok_at=now, failures_in_row=0, breaker=CLOSED, breaker_until=None
    )
    gateway.last_ok_at, gateway.failures_in_row, gateway.breaker = now, 0, CLOSED


def note_failure(gateway: Gateway, error: GatewayError, *, now: datetime) -> None:
    """The gateway did not take a message, or nobody knows; enough of that in a row suspends it for a while.

    A refusal of one message says nothing against the gateway.
    """
    told = {"last_error": str(error)[:300], "last_error_at": now}
    row = Gateway.objects.filter(pk=gateway.pk)
    if error.breaks:
        row.update(failures_in_row=F("failures_in_row") + 1)
        suspend(gateway.pk, until=now + WRONG_KEY_PAUSE, now=now, **told)
        return
    if error.outcome == "rejected":
        row.update(**told, last_ok_at=now, failures_in_row=0, breaker=CLOSED, breaker_until=None)
        return
    row.update(**told, failures_in_row=F("failures_in_row") + 1)
    failures = row.values_list("failures_in_row", flat=True).first() or 0
    if failures >= FAILURES_BEFORE_PAUSE:
        pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(failures - FAILURES_BEFORE_PAUSE, 10))
        suspend(gateway.pk, until=now + timedelta(seconds=pause_s), now=now)


def suspend(gateway_id: int, *, until: datetime, now: datetime, **told: Any) -> None:
    """Open the breaker, or keep it open; whoever opens it rings ``gateway_suspended``, once."""
    row = Gateway.objects.filter(pk=gateway_id)
    row.update(**told, breaker_until=until)
    if row.filter(breaker=CLOSED).update(breaker=OPEN, breaker_since=now):
        transaction.on_commit(lambda: gateway_suspended.send_robust(Gateway, gateway_id=gateway_id))


def resume(gateway: Gateway) -> bool:
    """A person says that it may be tried again at once; False when it is not suspended."""
    closed = {"breaker": CLOSED, "breaker_until": None, "failures_in_row": 0}
    return Gateway.objects.filter(pk=gateway.pk, breaker=OPEN).update(**closed) == 1


def note_reading_error(gateway: Gateway, error: GatewayError, *, what: str, now: datetime) -> None:
    """The inbox or the statuses could not be read; that does not stop sending, nor hide why it was stopped."""
    well = Gateway.objects.filter(pk=gateway.pk, breaker=CLOSED)
    well.update(last_error=f"{what}: {error}"[:300], last_error_at=now)


def note_inbox_error(gateway: Gateway, error: GatewayError, *, now: datetime) -> None:
    """The inbox could not be read."""
    note_reading_error(gateway, error, what="inbox", now=now)


def has_another(message: SmsMessage, gateway_id: int, *, now: datetime) -> bool:
    """Whether a gateway besides this one could carry ``message`` now."""
    return any(row.pk != gateway_id and is_well(row, now=now) for row in routes(message))


def callback_addresses(gateway: Gateway) -> dict[str, str]:
    """``{"report": …, "inbound": …}``: what a person enters at the provider; only what this kind wants."""
    found = backend_of(gateway)
    wanted = {"report": found.capabilities.reports, "inbound": found.capabilities.inbound}
    addresses = {kind: found.callback_address(kind) for kind, can in wanted.items() if can}
    return {kind: address for kind, address in addresses.items() if address}


def of_hook(hook_id: uuid.UUID) -> Gateway | None:
    """The enabled gateway that calls back under this number."""
    return Gateway.objects.select_related("platform").filter(hook_id=hook_id, is_enabled=True).first()
