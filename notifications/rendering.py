"""From a notice to the words a person reads. Pure: the data comes in, text goes out, in the active language."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from automation.sentences import why_sentence
from notifications import limit_words
from notifications.ports import Text


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """What the notice ``kind`` about ``data`` says, in one line."""
    if kind in limit_words.KINDS:
        return limit_words.sentence(kind, data)
    title = {"title": str(data.get("title", ""))}
    if kind == "verified":
        return _("%(title)s: back and stable") % title
    if kind == "suggested":
        return _("%(title)s: approve a power cycle?") % title
    if kind == "step":
        return _("%(title)s: a job asks you to look") % title
    return _("%(title)s: needs you") % title


def details(kind: str, data: Mapping[str, Any]) -> str:
    """What the reader should know or do."""
    if kind in limit_words.KINDS:
        return limit_words.details(kind, data)
    if kind == "verified":
        return _("The case is closed.")
    if kind == "suggested":
        return _("The device is offline. Open the case to approve or to decline.")
    if kind == "step":
        return _("This is the first step of the job. Nothing was switched yet.")
    return why_sentence(str(data.get("why", "")))


def render(kind: str, data: Mapping[str, Any], *, link: str) -> Text:
    """The notice ``kind`` about ``data`` (title, platform, why, outcome) in the active language."""
    subject, platform = sentence(kind, data), str(data.get("platform", ""))
    body = "\n".join([subject, "", details(kind, data), "", link, ""])
    return Text(subject=f"REMOSA · {platform} · {subject}", body=body)
