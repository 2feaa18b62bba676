"""From a notice to the words a person reads. Pure: the data comes in, text goes out, in the active language."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from notifications.ports import Text


def why_sentence(why: str) -> str:
    """The closed list of outcomes and refusals, as people say it."""
    sentences = {
        "common_cause": _(
            "Several devices went offline together: look for a common cause before repairing one by one."
        ),
        "cms_in_doubt": _(
            "The CMS does not answer, or its answer cannot be believed. Nothing is being switched."
        ),
        "not_back_in_time": _("The device did not come back after the power cycle."),
        "no_data_after_action": _(
            "The power was cycled, but the CMS does not say whether the device is back."
        ),
        "outcome_unknown": _(
            "It is not known whether the SMS reached the socket. Nothing will be sent again by itself."
        ),
        "guards_refuse": _("Automation was not allowed to act for too long. See “Why not” in the case."),
        "command_refused": _("The socket refused the command."),
        "command_not_executed": _("The SMS did not reach the socket."),
        "command_blocked": _("The command was blocked before it was sent."),
        "command_failed": _("No SMS gateway accepted the command."),
        "command_expired": _("The SMS could not be sent in time and was dropped."),
        "command_cancelled": _("The command was cancelled."),
        "command_superseded": _("The command was not needed any more."),
    }
    return sentences.get(why, why.replace("_", " "))


def render(kind: str, data: Mapping[str, Any], *, link: str) -> Text:
    """The notice ``kind`` about ``data`` (title, platform, why, outcome) in the active language."""
    title, platform = str(data.get("title", "")), str(data.get("platform", ""))
    if kind == "verified":
        subject = _("%(title)s: back and stable") % {"title": title}
        lines = [_("The case is closed.")]
    elif kind == "suggested":
        subject = _("%(title)s: approve a power cycle?") % {"title": title}
        lines = [_("The device is offline. Open the case to approve or to decline.")]
    else:
        subject = _("%(title)s: needs you") % {"title": title}
        lines = [why_sentence(str(data.get("why", "")))]
    return Text(
        subject=f"REMOSA · {platform} · {subject}", body="\n".join([subject, "", *lines, "", link, ""])
    )
