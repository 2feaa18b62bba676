"""The outbox as people should see it: what waits, since when, at which gateway, what is stuck, and what to do.

Reads only; the number of queries does not depend on the number of messages, gateways or platforms.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q
from django.utils.translation import gettext as _

from sms import spool
from sms.display import reason_text
from sms.models import Gateway, InboundSms, ModemStatus, SmsMessage
from sms.services.gateways import has_own_process
from sms.states import WAITS_FOR_A_PERSON, InboundState, SmsState

S = SmsState
LATE = timedelta(minutes=2)  # a running outbox would have moved a row by now
RECENT = timedelta(hours=24)
MODEM_SILENT = timedelta(minutes=2)
WAITING = (S.QUEUED, S.CLAIMED, S.SENDING)


@dataclass(frozen=True)
class Stuck:
    """One kind of trouble: how many rows, the oldest, what it means and what to do. ``query`` narrows a list."""

    title: str
    count: int
    oldest: datetime | None
    meaning: str
    advice: str
    tone: str = "amber"
    page: str = "sms_smsmessage"
    query: str = ""


@dataclass(frozen=True)
class Lane:
    """What waits for one gateway, or for none yet; ``left`` is what it took over within the last hour."""

    gateway: Gateway | None
    waiting: int
    oldest: datetime | None
    left: int


@dataclass(frozen=True)
class Queue:
    """The whole page."""

    waiting: int
    oldest: SmsMessage | None
    left_hour: int
    last_sent_at: datetime | None
    lanes: list[Lane]
    platforms: list[Any]  # {"platform__name", "n", "oldest"}
    stuck: list[Stuck]


def queue_of(platform_ids: Collection[int], *, everything: bool, now: datetime) -> Queue:
    """The queue of these platforms. ``everything`` is for the operator: also what belongs to no platform."""
    rows = SmsMessage.objects.filter(platform__in=platform_ids)
    waiting = rows.filter(state__in=WAITING)
    oldest = waiting.select_related("platform", "command__device", "gateway").order_by("created_at").first()
    sent = rows.filter(sent_at__gt=now - timedelta(hours=1)).aggregate(n=Count("pk"), last=Max("sent_at"))
    by_platform = waiting.values("platform__name").annotate(n=Count("pk"), oldest=Min("created_at"))
    return Queue(
        waiting=waiting.count(),
        oldest=oldest,
        left_hour=sent["n"],
        last_sent_at=sent["last"] or rows.aggregate(last=Max("sent_at"))["last"],
        lanes=_lanes(rows, platform_ids, everything=everything, now=now),
        platforms=list(by_platform.order_by("-n")[:50]),
        stuck=[*_of_outbox(rows, now=now), *_of_inbox(platform_ids, everything=everything, now=now),
               *_of_gateways(platform_ids, everything=everything, now=now)],
    )  # fmt: skip


def _lanes(rows: Any, platform_ids: Collection[int], *, everything: bool, now: datetime) -> list[Lane]:
    hour = Q(sent_at__gt=now - timedelta(hours=1))
    counted = rows.filter(Q(state__in=WAITING) | hour).order_by().values("gateway").annotate(
        waiting=Count("pk", filter=Q(state__in=WAITING)),
        oldest=Min("created_at", filter=Q(state__in=WAITING)),
        left=Count("pk", filter=hour),
    )  # fmt: skip
    by_key = {row["gateway"]: row for row in counted}
    mine = Q(platform__in=platform_ids) | (Q(platform=None) if everything else Q(pk__in=list(by_key)))
    gateways = Gateway.objects.filter(mine, is_enabled=True).select_related("platform")
    lanes = [_lane(gateway, by_key.get(gateway.pk)) for gateway in gateways.order_by("priority", "pk")[:100]]
    none = by_key.get(None)
    return [*([_lane(None, none)] if none and none["waiting"] else []), *lanes]


def _lane(gateway: Gateway | None, row: dict[str, Any] | None) -> Lane:
    found = row or {"waiting": 0, "oldest": None, "left": 0}
    return Lane(gateway, found["waiting"], found["oldest"], found["left"])


# --- what is stuck -----------------------------------------------------------------------------------
def _of_outbox(rows: Any, *, now: datetime) -> list[Stuck]:
    late, recent = now - LATE, now - RECENT
    no_process = _("Start or restart the process `manage.py outbox`; it goes on where it stopped.")
    kinds: list[tuple[Q, str, str, str, str, str]] = [
        (
            Q(state=S.QUEUED, next_attempt_at__lt=late, expires_at__gt=now), "red", _("Due, but nobody takes it up"),
            _("No outbox process is running, or it cannot keep up."), no_process, "trouble=stuck",
        ),
        (
            Q(state__in=[S.CLAIMED, S.SENDING], lease_until__lt=late), "red", _("Left behind by a process that died"),
            _("Nobody has said yet what became of it."), no_process, "trouble=stuck",
        ),
        (
            Q(state=S.QUEUED, expires_at__lt=late), "red", _("Too late, but still in the queue"),
            _("It is not sent any more; an outbox process will say so."), no_process, "state__exact=queued",
        ),
        *(
            (Q(state=S.QUEUED, reason=reason), tone, title, reason_text(reason), advice, "state__exact=queued")
            for reason, tone, title, advice in _reasons()
        ),
        (
            Q(state=S.UNKNOWN, state_changed_at__gt=recent), "amber", _("Outcome unknown, within a day"),
            _("It may have left. It is never sent again by itself."),
            _("Wait: a delivery report, the socket's reply or the player coming back settles it."), "trouble=unknown",
        ),
        (
            Q(state=S.EXPIRED, state_changed_at__gt=recent), "amber", _("Too late to send, within a day"),
            _("No gateway took it in time. The limit was not spent."),
            _("Look at the reasons: gateways that were suspended or too slow."), "state__exact=expired",
        ),
        (
            Q(state__in=[S.FAILED, S.UNDELIVERED], state_changed_at__gt=recent), "amber",
            _("Refused or not delivered, within a day"),
            _("The gateway said no, or the network gave up."),
            _("Check the number and the money on the SIM card of the device."), "state__exact=undelivered",
        ),
    ]  # fmt: skip
    counts = {f"n{place}": Count("pk", filter=kind[0]) for place, kind in enumerate(kinds)}
    oldest = {f"t{place}": Min("state_changed_at", filter=kind[0]) for place, kind in enumerate(kinds)}
    lately = rows.filter(Q(state__in=WAITING) | Q(state_changed_at__gt=recent))
    told = lately.aggregate(**counts, **oldest)
    return [
        Stuck(title, told[f"n{place}"], told[f"t{place}"], meaning, advice, tone, query=query)
        for place, (_where, tone, title, meaning, advice, query) in enumerate(kinds)
        if told[f"n{place}"]
    ]


def _reasons() -> list[tuple[str, str, str, str]]:
    """(reason, tone, title, what to do) of what waits in the queue."""
    return [
        ("no_gateway", "red", _("No gateway"), _("Add an SMS gateway for the platform, or switch one on.")),
        (
            "no_accepted_sender", "red", _("No gateway with a number that the device obeys"),
            _("Write the gateway's number into the socket and into its label “senders”, or enter it at the gateway."),
        ),
        (
            "gateway_suspended", "red", _("The gateway is suspended"),
            _("Open the gateway: correct its key, money or address, then press “Try again now”."),
        ),
        (
            "waits_for_modem", "amber", _("Waits for the modem"),
            _("Start the process `manage.py modem`; look at the modem's state at its gateway."),
        ),
        ("rate_limit", "blue", _("Waits for its turn"), _("Nothing. Add a gateway if it lasts.")),
        (
            "day_limit", "amber", _("The gateway's day is used up"),
            _("Add a gateway, or raise its number of SMS per day."),
        ),
        (
            "error", "red", _("Moved aside after an error"),
            _(
                "It holds up nobody and is tried again until it is too late. "
                "Tell the operator of REMOSA: the log says why."
            ),
        ),
    ]  # fmt: skip


def _of_inbox(platform_ids: Collection[int], *, everything: bool, now: datetime) -> list[Stuck]:
    mine = Q(platform__in=platform_ids) | (Q(platform=None) if everything else Q(pk__in=[]))
    rows = InboundSms.objects.filter(mine)
    waiting = Q(state=InboundState.RECEIVED, received_at__lt=now - LATE)
    placed = Q(state__in=WAITS_FOR_A_PERSON)
    told = rows.filter(state__in=[InboundState.RECEIVED, *WAITS_FOR_A_PERSON]).aggregate(
        waiting=Count("pk", filter=waiting), waiting_since=Min("received_at", filter=waiting),
        placed=Count("pk", filter=placed), placed_since=Min("received_at", filter=placed),
    )  # fmt: skip
    found = [
        Stuck(
            _("Received, not read yet"), told["waiting"], told["waiting_since"],
            _("It is safe in the database, but nobody has matched it."),
            _("Start or restart the process `manage.py outbox`; it goes on where it stopped."), "red",
            "sms_inboundsms", "state__exact=received",
        ),
        Stuck(
            _("Incoming SMS that answer nothing"), told["placed"], told["placed_since"],
            _("From a stranger, or it fits no command, or several."),
            _("Read them: say what each answers, make a rule, enter the number at its device, or set it aside."),
            "amber",
            "sms_inboundsms", "trouble=waits",
        ),
    ]  # fmt: skip
    bad = list(spool.folder().glob("*.bad")) if everything and spool.folder().is_dir() else []
    found.append(
        Stuck(
            _("Reads of an inbox that nobody understands"), len(bad), None,
            _("The gateway answered with something that is no inbox. It is kept on the disk."),
            _("Look at the files *.bad in SMS_SPOOL_DIR and correct the kind or address of the gateway."), "red",
            "sms_gateway",
        )
    )  # fmt: skip
    return [one for one in found if one.count]


def _of_gateways(platform_ids: Collection[int], *, everything: bool, now: datetime) -> list[Stuck]:
    mine = Q(platform__in=platform_ids) | (Q(platform=None) if everything else Q(pk__in=[]))
    rows = list(Gateway.objects.filter(mine, is_enabled=True))
    modems = {row.gateway_id: row.seen_at for row in ModemStatus.objects.filter(gateway__in=rows)}
    silent = [
        row for row in rows
        if has_own_process(row.kind) and (modems.get(row.pk) or now - RECENT) < now - MODEM_SILENT
    ]  # fmt: skip
    if not silent:
        return []
    return [
        Stuck(
            _("Modems whose process is silent"), len(silent),
            min((at for row in silent if (at := modems.get(row.pk))), default=None),
            _("Nothing leaves through them, and nothing is heard."),
            _("Start the process `manage.py modem`; look at the modem's state at its gateway."), "red", "sms_gateway",
        )
    ]  # fmt: skip
