"""From a notice to the words a person reads. Pure: the data comes in, text goes out, in the active language."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from automation.sentences import why_sentence
from devices.sentences import event_sentence
from notifications import limit_words
from notifications.ports import Text
from sms.display import blocked_sentence

LISTED = 20  # notices that a digest names; the rest is counted


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """What the notice ``kind`` about ``data`` says, in one line."""
    if kind == "gateway_blocked":
        return _gateway_sentence(data)
    if kind in limit_words.KINDS:
        return limit_words.sentence(kind, data)
    if kind == "alerts_in_doubt":
        return _doubt_sentence(data)
    title = {"title": str(data.get("title", ""))}
    if "event" in data:
        return f"{data.get('title', '')}: {event_sentence(kind, data['event'])}"
    if kind == "verified":
        return _("%(title)s: back and stable") % title
    if kind == "suggested" and data.get("step") == "webhook":
        return _("%(title)s: approve the call of a webhook?") % title
    if kind == "suggested":
        return _("%(title)s: approve a power cycle?") % title
    if kind == "step":
        return _("%(title)s: a job asks you to look") % title
    return _("%(title)s: needs you") % title


def details(kind: str, data: Mapping[str, Any]) -> str:
    """What the reader should know or do."""
    if "event" in data:
        return _("The page of the device shows what was tried.")
    if kind == "alerts_in_doubt":
        return _doubt_details(data)
    if kind == "gateway_blocked":
        return _(
            "What waits is tried again by itself until it is too late. Look at the gateway: its key, its money, "
            "its line."
        )
    if kind in limit_words.KINDS:
        return limit_words.details(kind, data)
    if kind == "verified":
        return _("The case is closed.")
    if kind == "suggested":
        return _("The device is offline. Open the case to approve or to decline.")
    if kind == "step":
        return _("The job tells you and goes on with its next step, unless the device comes back.")
    return why_sentence(str(data.get("why", "")))


def render(kind: str, data: Mapping[str, Any], *, link: str) -> Text:
    """The notice ``kind`` about ``data`` (title, platform, why, outcome) in the active language."""
    subject, platform = sentence(kind, data), str(data.get("platform", ""))
    body = "\n".join([subject, "", details(kind, data), "", link, ""])
    return Text(f"REMOSA · {platform} · {subject}", body, line=f"REMOSA {platform}: {subject}")


def render_digest(told: Sequence[tuple[str, Mapping[str, Any], str]], *, link: str) -> Text:
    """Many notices (kind, data, severity) of one platform in one message: what needs somebody first."""
    order = ["critical", "warning", "info"]
    lines = [
        sentence(kind, data) for kind, data, _severity in sorted(told, key=lambda one: order.index(one[2]))
    ]
    urgent = sum(severity == "critical" for _kind, _data, severity in told)
    count = {"n": len(told), "urgent": urgent}
    head = ngettext("%(n)d notice, urgent: %(urgent)d", "%(n)d notices, urgent: %(urgent)d", len(told))
    platform = str(told[0][1].get("platform", ""))
    body = [head % count, "", *(f"- {line}" for line in lines[:LISTED])]
    if len(lines) > LISTED:
        body.append(_("- and %(n)d more") % {"n": len(lines) - LISTED})
    return Text(
        f"REMOSA · {platform} · {head % count}", "\n".join([*body, "", link, ""]), f"REMOSA {platform}: {head % count}"
    )  # fmt: skip


def _gateway_sentence(data: Mapping[str, Any]) -> str:
    """“SMSC refuses since 11:20; 3 commands wait”; the time is in the reader's zone."""
    since = datetime.fromisoformat(data["since"])
    name = capfirst(str(data.get("gateway") or _("shared SMS gateway")))
    waiting = int(data.get("waiting", 0))
    return blocked_sentence(
        name, reason=str(data.get("refuses", "")), since=since, waiting=waiting, now=since
    )


def _doubt_sentence(data: Mapping[str, Any]) -> str:
    """“Grafana: 12 alerts say that there is no data”."""
    count, signals = int(data.get("count", 0)), list(data.get("signals", []))
    said = {"title": str(data.get("title", "")), "n": count}
    if signals == ["error"]:
        return ngettext(
            "%(title)s: %(n)d rule could not be evaluated", "%(title)s: %(n)d rules could not be evaluated", count
        ) % said  # fmt: skip
    return ngettext(
        "%(title)s: %(n)d alert has no data", "%(title)s: %(n)d alerts have no data", count
    ) % said  # fmt: skip


def _doubt_details(data: Mapping[str, Any]) -> str:
    """Which, and that nothing is done about it."""
    names = [str(name) for name in data.get("names", [])]
    return _(
        "It is not known whether anything is wrong, so nothing is switched because of it. Look at the source of the "
        "data: %(names)s."
    ) % {"names": ", ".join(names)}
