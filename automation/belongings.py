"""What a person who leaves has to do with automation: cases that they took. Jobs are the platform's and stay."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from automation.models import Case
from automation.states import LIVE
from platforms.ports import Belonging

SHOWN = 20


class CasesOfAPerson:
    """The port of ``platforms`` for people who leave."""

    def left_by(self, user: Any, platform: Any) -> list[Belonging]:
        rows = Case.objects.of(platform).filter(acknowledged_by=user, state__in=LIVE)
        titles = [case.title for case in rows.order_by("opened_at")]
        if not titles:
            return []
        what = _("Open cases that they took: they pass to the successor, or wait for somebody again")
        return [Belonging(what, titles[:SHOWN], max(0, len(titles) - SHOWN))]

    def pass_on(self, user: Any, platform: Any, *, successor: Any, by: Any, now: datetime) -> dict[str, int]:
        """A case that nobody has taken is one that needs somebody: it shows up again."""
        rows = Case.objects.of(platform).filter(acknowledged_by=user, state__in=LIVE)
        return {"cases": rows.update(acknowledged_by=successor, acknowledged_at=now if successor else None)}
