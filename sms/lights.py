"""How a gateway feels and what it may send, in a word with its age."""

from datetime import datetime

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from platforms.console.display import ago, pill
from remosa.lib.clock import utcnow
from sms.display import trouble_text
from sms.models import Gateway
from sms.services.gateways import is_day_full


def gateway_pill(row: Gateway, *, named: bool = True) -> SafeString:
    """How the gateway feels, and since when that is known; what it said last only where it is ``named``."""
    now = utcnow()
    said = trouble_text(row.last_error) if named else ""
    seen = max((at for at in (row.last_ok_at, row.inbox_polled_at) if at is not None), default=None)
    if not row.is_enabled:
        return pill(_("off"), "grey")
    if row.breaker == Gateway.Breaker.OPEN:
        light = pill(_("suspended after errors"), "red", said)
        return SafeString(f"{light} {ago(row.breaker_since or row.last_error_at, now)}")
    if is_day_full(row, now=now):
        return pill(_("limit of the day is reached"), "amber")
    if row.last_error_at is not None and (seen is None or row.last_error_at > seen):
        light = pill(_("last try failed"), "amber", said)
        return SafeString(f"{light} {ago(row.last_error_at, now)}")
    if seen is None:
        return pill(_("not used yet"), "grey")
    return SafeString(pill(_("works"), "green") + " " + ago(seen, now))


def rate_text(row: Gateway) -> str:
    """How much it may send."""
    per_minute = _("%(n)d a minute") % {"n": row.rate_per_minute}
    if row.rate_per_day is None:
        return per_minute
    per_day = _("%(n)d a day") % {"n": row.rate_per_day}
    return f"{per_minute}, {per_day}"


def limits_of(row: Gateway, now: datetime) -> str:
    """What it took today, of what it may."""
    used = row.rate_day_used if row.rate_day == now.date() else 0
    if row.rate_per_day is None:
        return _("%(n)d today") % {"n": used}
    return _("%(n)d of %(limit)d today") % {"n": used, "limit": row.rate_per_day}
