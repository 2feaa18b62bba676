"""Cases of the CMSs themselves: opened when one fails or contradicts itself, closed when it is well again."""

from datetime import datetime

from django.db import transaction

from automation.models import Case
from automation.services.cases import close_well, drop, escalate, live_or_new
from automation.services.timeline import tell
from automation.states import LIVE
from exporters.models import Exporter


def see_to_upstream(exporter: Exporter, *, now: datetime) -> Case | None:
    """A CMS that fails or contradicts itself is one case of its own, and closes when it is well again."""
    subject = f"upstream:{exporter.pk}"
    live = Case.objects.filter(subject=subject, state__in=LIVE).first()
    in_doubt = exporter.is_enabled and (exporter.is_up is False or bool(exporter.suspect_reason))
    if in_doubt and live is None:
        with transaction.atomic():
            live, created = live_or_new(
                subject=subject, platform=exporter.platform, kind=Case.Kind.UPSTREAM, title=exporter.name,
                down_since=now,
                evidence={"exporter": exporter.pk, "why": exporter.suspect_reason or exporter.last_error}, now=now,
            )  # fmt: skip
            if created:
                tell(live, "upstream_doubted", now=now, why=exporter.suspect_reason or exporter.last_error)
                escalate(live, why="cms_in_doubt", now=now)
    elif not in_doubt and live is not None:
        with transaction.atomic():
            if not exporter.is_enabled:
                drop(live, why="exporter_disabled", now=now)
            elif exporter.is_up:
                close_well(live, now=now, outcome="cms_answers_again")
    return live


def drop_orphans(*, now: datetime) -> int:
    """Close the cases of CMSs that are not there any more; how many there were."""
    ours = {f"upstream:{key}" for key in Exporter.objects.values_list("pk", flat=True)}
    live = Case.objects.filter(kind=Case.Kind.UPSTREAM, state__in=LIVE)
    return sum(drop(case, why="exporter_removed", now=now) for case in live if case.subject not in ours)
