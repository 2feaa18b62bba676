"""A link by which anybody reads why a device was switched: signed, for some days, and taken back at will.

A share is a line of its case's timeline (``shared``); ``share_ended`` takes back whatever was shared before it.
The link holds nothing but the line's number under our signature.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from automation.answers import Deed, Told
from automation.ladder import Do
from automation.models import Case, CaseEvent
from automation.services.timeline import tell
from platforms import audit

LIFE = timedelta(days=7)
SIGNER = signing.Signer(salt="automation.case_share", sep=".")


def share(case: Case, *, by: Any, now: datetime) -> CaseEvent:
    """The live share of the case: the one there is, or a new one."""
    with transaction.atomic():
        Case.objects.select_for_update(of=("self",)).get(pk=case.pk)  # two who ask at once get one link
        found = live_share(case, now=now)
        if found is not None:
            return found
        tell(case, "shared", now=now, by=str(by), until=(now + LIFE).isoformat())
        _record(case, "case.shared", by=by, now=now)
        return case.events.filter(kind="shared").latest("pk")


def end_share(case: Case, *, by: Any, now: datetime) -> bool:
    """Take the link back; False when there is none."""
    with transaction.atomic():
        Case.objects.select_for_update(of=("self",)).get(pk=case.pk)
        if live_share(case, now=now) is None:
            return False
        tell(case, "share_ended", now=now, by=str(by))
        _record(case, "case.share_ended", by=by, now=now)
    return True


def live_share(case: Case, *, now: datetime) -> CaseEvent | None:
    """The share by which the case may be read now."""
    last = case.events.filter(kind__in=["shared", "share_ended"]).order_by("-pk").first()
    return last if last is not None and last.kind == "shared" and ends_at(last) > now else None


def ends_at(row: CaseEvent) -> datetime:
    """When the link of this share is over."""
    return parse_datetime(str(row.data["until"])) or row.at


def link_of(row: CaseEvent) -> str:
    """The address that is passed on."""
    return settings.PUBLIC_URL + reverse("shared-case", args=[SIGNER.sign(str(row.pk))])


def find(text: str, *, now: datetime) -> Case | None:
    """The case that a link's last part opens; None when there is none, or it is over, whatever the cause."""
    try:
        number = int(SIGNER.unsign(text))
    except (signing.BadSignature, ValueError):
        return None
    cases = Case.objects.select_related("device", "platform", "job")
    case = cases.filter(events=number, platform__is_active=True).first()
    if case is None:
        return None
    live = live_share(case, now=now)
    return case if live is not None and live.pk == number else None


def told_of(case: Case) -> Told:
    """What the answer of this case is made of."""
    acts = case.events.filter(kind="acted").order_by("at", "pk")
    refusal = case.refusals.order_by("-last_at").first()
    return Told(
        state=case.state, mode=case.mode, outcome=case.outcome, source=str(case.evidence.get("source", "")),
        hold_s=float(case.evidence.get("hold_s") or 0), samples=int(case.evidence.get("samples") or 0),
        down_since=case.down_since, back_since=case.back_since,
        deeds=[
            Deed(act.at, bool(act.by), soft=act.data.get("do") == Do.WEBHOOK)
            for act in acts
            if act.data.get("do") not in (Do.NOTICE, Do.WAIT)
        ],
        objection=(refusal.guard, refusal.reason, refusal.data) if refusal else None,
    )  # fmt: skip


def _record(case: Case, verb: str, *, by: Any, now: datetime) -> None:
    audit.record(
        actor=audit.person(by), verb=verb, target=case, platform=case.platform, cause_id=case.cause_id, at=now
    )
