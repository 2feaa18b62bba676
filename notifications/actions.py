"""A step of a case that only tells people: automation's port, carried out by a notice."""

from django.db import transaction

from automation.models import Case
from automation.ports import Order, Outcome
from notifications.models import Notice
from notifications.services import address
from remosa.lib.clock import utcnow
from remosa.lib.tasks import later


class NoticeAction:
    """``config`` is empty: the notice goes to those who hear of the platform's cases."""

    def execute(self, order: Order, *, deadline_s: float) -> Outcome:
        """One notice per key, however often it is asked for."""
        now = utcnow()
        case = Case.objects.select_related("platform", "device").filter(pk=order.case_id).first()
        if case is None:
            return Outcome("refused", "case_gone")
        with transaction.atomic():
            notice, created = Notice.objects.get_or_create(
                dedupe_key=order.key,
                defaults={
                    "platform": case.platform, "severity": Notice.Severity.WARNING, "kind": "step", "case": case,
                    "created_at": now,
                    "data": {"title": case.title, "platform": case.platform.name, "why": "asked_by_job"},
                },
            )  # fmt: skip
            if created:
                address(notice, case, now=now)
                later("notifications.tasks.deliver")
        return Outcome("done")
