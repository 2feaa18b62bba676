"""What the process of a modem writes down: how the modem feels, what it handed over, what it heard."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from remosa.lib.clock import utcnow
from remosa.lib.phones import normalise_msisdn
from remosa.lib.texts import storable
from sms import pdu
from sms.models import Gateway, InboundPart, InboundSms, ModemStatus, SentPart
from sms.ports import InboundText
from sms.report_matching import Candidate, match
from sms.services.gateways import suspend as suspend_gateway
from sms.services.inbound import receive
from sms.services.reports import REF_AGE, Applied, apply_delivery_report

logger = logging.getLogger(__name__)

SUSPENDED_FOR = timedelta(minutes=5)  # renewed while the trouble lasts
TROUBLE = "modem_"  # what our own suspensions are called in ``last_error``
PARTS_WAIT = timedelta(minutes=15)  # for the missing parts of a text
KEPT = timedelta(days=7)
MISSING = " […] "
UNREADABLE, DATA = "[PDU] ", "[data] "
State = ModemStatus.State


# --- how it feels ------------------------------------------------------------------------------------
def note_state(gateway: Gateway, state: str, *, owner: str, now: datetime, detail: str = "") -> bool:
    """Write down the state of a modem; whether it is a new one."""
    row, _created = ModemStatus.objects.get_or_create(gateway=gateway)
    mine = ModemStatus.objects.filter(pk=row.pk)
    told = {"owner": owner[:64], "seen_at": now, "detail": storable(detail)[:200]}
    if mine.exclude(state=state).update(state=state, state_changed_at=now, **told):
        logger.info("modem state gateway=%s state=%s", gateway.pk, state)
        return True
    mine.update(**told)
    return False


def note_facts(
    gateway: Gateway, *, signal_dbm: int | None, registration: str, operator: str, now: datetime
) -> None:
    """Write down what the modem says about its network."""
    ModemStatus.objects.filter(gateway=gateway).update(
        signal_dbm=signal_dbm,
        registration=registration[:16],
        operator=storable(operator)[:60],
        seen_at=now,
    )


def note_balance(gateway: Gateway, text: str | None, *, now: datetime) -> None:
    """Write down what the operator says about the balance; without an answer only that we asked."""
    told = {} if text is None else {"balance_text": storable(text)[:300]}
    ModemStatus.objects.filter(gateway=gateway).update(balance_at=now, **told)


def note_reset(gateway: Gateway) -> None:
    """The modem hung and was made to begin anew."""
    ModemStatus.objects.filter(gateway=gateway).update(resets=F("resets") + 1)


def suspend(gateway: Gateway, reason: str, *, now: datetime) -> None:
    """Let messages go elsewhere, or wait, while the modem cannot send."""
    suspend_gateway(
        gateway.pk, until=now + SUSPENDED_FOR, now=now, last_error=f"{TROUBLE}{reason}"[:300],
        last_error_at=now,
    )  # fmt: skip


def resume(gateway: Gateway, *, now: datetime) -> None:
    """The modem can send. A suspension for failed messages is not lifted by that."""
    mine = Gateway.objects.filter(pk=gateway.pk)
    mine.filter(breaker=Gateway.Breaker.OPEN, last_error__startswith=TROUBLE).update(
        breaker=Gateway.Breaker.CLOSED, breaker_until=None
    )
    mine.filter(breaker=Gateway.Breaker.CLOSED, failures_in_row=0).update(last_ok_at=now)


def may_try_pin(gateway: Gateway, pin: str) -> bool:
    """Whether this PIN may be said to the SIM: once, whoever restarts what. A third wrong one would lock it.

    Committed before the PIN is said; ``pin_was_right`` forgets it.
    """
    digest = salted_hmac("sms.modems.pin", pin, algorithm="sha256").hexdigest()
    mine = ModemStatus.objects.filter(gateway=gateway).exclude(tried_pin=digest)
    return mine.update(tried_pin=digest) == 1


def pin_was_right(gateway: Gateway) -> None:
    """The SIM is open."""
    ModemStatus.objects.filter(gateway=gateway).exclude(tried_pin="").update(tried_pin="")


# --- outgoing ----------------------------------------------------------------------------------------
class PartsJournal:
    """The journal of ``sms.gateways.serial_modem``, in the database."""

    def __init__(self, gateway: Gateway, *, now: Callable[[], datetime] = utcnow) -> None:
        self._gateway, self._now = gateway, now

    def begin(self, *, client_ref: str, to: str, part: int, parts: int) -> int:
        """See the port."""
        return SentPart.objects.create(
            gateway=self._gateway, message_id=client_ref, to=to, part=part, parts=parts, handed_at=self._now()
        ).pk

    def accepted(self, entry: int, *, mr: int) -> None:
        """See the port. Without the number a report may still be matched by its time."""
        try:
            SentPart.objects.filter(pk=entry).update(mr=mr)
        except DatabaseError as exc:
            logger.warning("part not numbered entry=%s error=%s", entry, type(exc).__name__)

    def not_sent(self, entry: int) -> None:
        """See the port."""
        try:
            SentPart.objects.filter(pk=entry).delete()
        except DatabaseError as exc:
            logger.warning("part not removed entry=%s error=%s", entry, type(exc).__name__)


def apply_report(gateway: Gateway, report: pdu.StatusReport, *, now: datetime) -> Applied | None:
    """Settle the message whose part the network reports on; None while it is still trying, or parts are missing."""
    rows = SentPart.objects.filter(gateway=gateway, to=_number(report.to), handed_at__gte=now - REF_AGE)
    found = [Candidate(row.pk, row.mr, row.handed_at, row.status is not None) for row in rows]
    key = match(report.mr, report.sent_at, found)
    if key is None:
        logger.info("status report unmatched gateway=%s mr=%s", gateway.pk, report.mr)
        return "unmatched"
    verdict = pdu.class_of(report.status)
    part = SentPart.objects.get(pk=key)
    if part.mr is None:
        SentPart.objects.filter(pk=key).update(mr=report.mr)
    if verdict in ("temporary_retrying", "reserved"):
        return None
    SentPart.objects.filter(pk=key, status=None).update(status=report.status)
    delivered = _verdict(SentPart.objects.filter(message=part.message_id))
    if delivered is None:
        return None
    at = report.discharged_at
    at = at if at is not None and now - REF_AGE <= at <= now else now  # their clock may be anywhere
    return apply_delivery_report(gateway=gateway, delivered=delivered, at=at, client_ref=str(part.message_id))


def _number(text: str) -> str:
    """A number as we wrote it: networks report it with ``+`` and without."""
    try:
        return normalise_msisdn(text)
    except ValueError:
        return text


def _verdict(parts: Iterable[SentPart]) -> bool | None:
    """A message is delivered when all its parts are, and lost when one is; None: not known yet."""
    rows = list(parts)
    said = [pdu.class_of(row.status) for row in rows if row.status is not None]
    if any(word != "delivered" for word in said):
        return False
    return True if len({row.part for row in rows if row.status is not None}) == rows[0].parts else None


# --- incoming ----------------------------------------------------------------------------------------
def take_in(gateway: Gateway, raw: str, *, now: datetime) -> None:
    """Write down what one PDU from the modem says. It may be deleted there when this returns."""
    try:
        heard = pdu.decode(raw)
    except pdu.PduError as exc:
        logger.warning("pdu unreadable gateway=%s why=%s octets=%s", gateway.pk, exc.reason, len(raw) // 2)
        _receive(gateway, "", UNREADABLE + raw, None, raw=raw, now=now)
        return
    match heard:
        case pdu.StatusReport():
            apply_report(gateway, heard, now=now)
        case pdu.Deliver(concat=None):
            body = DATA + heard.octets.hex() if heard.octets else pdu.join([heard.text])
            _receive(gateway, heard.sender, body, heard.sent_at, raw=raw, now=now)
        case pdu.Deliver():
            _take_part(gateway, heard, now=now)
        case pdu.Submit():
            logger.info("stored draft left alone gateway=%s", gateway.pk)


def _receive(
    gateway: Gateway, sender: str, body: str, sent_at: datetime | None, *, raw: str, now: datetime
) -> InboundSms:
    batch = hashlib.sha256(raw.encode()).hexdigest()
    row, _new = receive(gateway=gateway, text=InboundText("", sender, body, sent_at), now=now, batch=batch)
    return row


def _take_part(gateway: Gateway, heard: pdu.Deliver, *, now: datetime) -> None:
    """Keep one part; with the last of its kin the text is put together."""
    place = heard.concat
    if place is None:
        return
    text = heard.text or (DATA + heard.octets.hex() if heard.octets else "")
    units = text.encode("utf-16-be", "surrogatepass")
    sender = storable(heard.sender)[:32]
    identity = (gateway.pk, sender, place, heard.sent_at, units.hex())
    digest = hashlib.sha256(repr(identity).encode()).hexdigest()
    if InboundPart.objects.filter(digest=digest).exists():
        return  # handed over twice
    kin = InboundPart.objects.filter(
        gateway=gateway, sender=sender, ref=place.ref, parts=place.parts, inbound=None
    )
    if kin.filter(part=place.part).exists():  # the number is used again: what lies there is another text
        _put_together(gateway, list(kin.order_by("part")), now=now)
    InboundPart.objects.create(
        gateway=gateway, sender=sender, ref=place.ref, part=place.part, parts=place.parts, units=units,
        sent_at=heard.sent_at, received_at=now, digest=digest,
    )  # fmt: skip
    rows = list(kin.order_by("part"))
    if len(rows) == place.parts:
        _put_together(gateway, rows, now=now)


def _put_together(gateway: Gateway, rows: list[InboundPart], *, now: datetime) -> None:
    """One incoming SMS of the parts that are there. Doing it again finds the same SMS."""
    first = rows[0]
    by_place = {row.part: bytes(row.units).decode("utf-16-be", "surrogatepass") for row in rows}
    body = pdu.join([by_place.get(part, MISSING) for part in range(1, first.parts + 1)])
    raw = ",".join(row.digest for row in rows)
    inbound = _receive(gateway, first.sender, body, first.sent_at, raw=raw, now=now)
    InboundPart.objects.filter(pk__in=[row.pk for row in rows]).update(inbound=inbound)


def sweep_parts(gateway: Gateway, *, now: datetime) -> int:
    """Show texts whose other parts do not come, with a mark where they are missing; forget what is old."""
    waiting = InboundPart.objects.filter(gateway=gateway, inbound=None)
    kins = set(waiting.values_list("sender", "ref", "parts"))
    shown = 0
    for sender, ref, parts in kins:
        rows = list(waiting.filter(sender=sender, ref=ref, parts=parts).order_by("part"))
        is_complete = len(rows) == parts
        if rows and (is_complete or max(row.received_at for row in rows) <= now - PARTS_WAIT):
            _put_together(gateway, rows, now=now)
            shown += 1
    InboundPart.objects.filter(Q(inbound__isnull=False), gateway=gateway, received_at__lt=now - KEPT).delete()
    SentPart.objects.filter(gateway=gateway, handed_at__lt=now - KEPT).delete()
    return shown
