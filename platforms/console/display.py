"""How the console shows a state, an age, a price: one place for words and colours."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

TONES = ("green", "red", "amber", "blue", "grey")
DASH = "—"


def pill(text: Any, tone: str = "grey", title: str = "") -> SafeString:
    """A state as a coloured word; the word alone says everything, the colour only helps."""
    tone = tone if tone in TONES else "grey"
    return format_html('<span class="rm-pill rm-{}" title="{}">{}</span>', tone, title, text)


def span_text(span: timedelta) -> str:
    """A duration in its two largest units: ``45 s``, ``14 min``, ``3 h 5 min``, ``8 d``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return _("%(n)d s") % {"n": seconds}
    if seconds < 3600:
        return _("%(n)d min") % {"n": seconds // 60}
    if seconds < 86_400:
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        text = _("%(n)d h") % {"n": hours}
        return f"{text} {_('%(n)d min') % {'n': minutes}}" if minutes else text
    return _("%(n)d d") % {"n": seconds // 86_400}


def exact_span_text(seconds: float) -> str:
    """A duration in seconds with all its units, as ``platforms.console.fields.SpanField`` reads it: ``1 h 30 min``."""
    rest, parts = seconds, []
    for size, text in ((86_400, _("%(n)d d")), (3600, _("%(n)d h")), (60, _("%(n)d min"))):
        count, rest = divmod(rest, size)
        if count:
            parts.append(text % {"n": count})
    if rest or not parts:
        parts.append(_("%(n)d s").replace("%(n)d", f"{rest:g}"))
    return " ".join(parts)


def clock_text(at: datetime) -> str:
    """A moment in the reader's time zone, with date and seconds."""
    local = timezone.localtime(at)
    return f"{date_format(local, 'SHORT_DATE_FORMAT')} {local:%H:%M:%S}"


def short_clock_text(at: datetime, now: datetime) -> str:
    """The same without the date where that is today's."""
    local = timezone.localtime(at)
    return f"{local:%H:%M:%S}" if local.date() == timezone.localtime(now).date() else clock_text(at)


def ago(at: datetime | None, now: datetime) -> SafeString | str:
    """How long ago, with the exact time on hover; the page keeps it running."""
    if at is None:
        return DASH
    text = _("%(span)s ago") % {"span": span_text(now - at)}
    return format_html(
        '<time class="rm-ago" datetime="{}" title="{}">{}</time>', at.isoformat(), clock_text(at), text
    )


def moment(at: datetime | None) -> SafeString | str:
    """A moment as a clock time, with its date unless that is today."""
    if at is None:
        return DASH
    shown = short_clock_text(at, timezone.now())
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), clock_text(at), shown)


def countdown(deadline: datetime | None, now: datetime) -> SafeString | str:
    """Minutes and seconds that are left; the page keeps it running, and says so when the time is over."""
    if deadline is None:
        return ""
    left = max(0, int((deadline - now).total_seconds()))
    return format_html(
        '<span class="rm-countdown" data-deadline="{}" data-over="{}" title="{}">{}</span>',
        deadline.isoformat(),
        _("any moment now"),
        clock_text(deadline),
        f"{left // 60}:{left % 60:02d}" if left else _("any moment now"),
    )


def link(url: str, text: Any) -> SafeString:
    """A link inside a cell or a sentence."""
    return format_html('<a class="rm-link" href="{}">{}</a>', url, text)


def bar(used: int, total: int) -> dict[str, Any]:
    """What a usage bar needs: the share 0..100 and its tone."""
    ratio = min(1.0, used / total) if total > 0 else 1.0
    tone = "red" if ratio >= 1.0 else "amber" if ratio >= 0.8 else "green"
    return {"percent": round(ratio * 100), "tone": tone, "used": used, "total": total}
