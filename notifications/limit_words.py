"""What the notices about limits say. Pure: the data comes in, text goes out, in the active language."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

KINDS = ("sms_limit_near", "sms_limit_full")


def sentence(kind: str, data: Mapping[str, Any]) -> str:
    """In one line."""
    figures = {"taken": data.get("taken", 0), "limit": data.get("limit", 0)}
    if kind == "sms_limit_full":
        return _("The SMS limit of this month is reached: %(taken)d of %(limit)d") % figures
    return _("The SMS of this month are running out: %(taken)d of %(limit)d are used") % figures


def details(kind: str, data: Mapping[str, Any]) -> str:
    """What it means, and what was not sent."""
    left, count = int(data.get("left", 0)), int(data.get("not_sent_count", 0))
    if kind == "sms_limit_full":
        parts = [_("Nothing more is sent until the next month, or until the limit is raised.")]
    elif int(data.get("left_to_automation", 0)) <= 0:
        parts = [
            _("Automation sends nothing more this month: the %(left)d that are left are kept for people.")
            % {"left": left}
        ]
    else:
        parts = [
            _("Automation may still send %(auto)d, people %(left)d.")
            % {"auto": int(data.get("left_to_automation", 0)), "left": left}
        ]
    if count:
        named = ", ".join(str(name) for name in data.get("not_sent", []))
        more = count - len(data.get("not_sent", []))
        parts.append(_("Not sent because of it: %(names)s.") % {"names": named})
        if more > 0:
            parts.append(
                ngettext("And for %(n)d more device.", "And for %(n)d more devices.", more) % {"n": more}
            )
    return " ".join(parts)
