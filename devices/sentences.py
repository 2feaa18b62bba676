"""What happened to a device, as a sentence. Pure: a word and data in, text out, in the active language."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def output_words(line: Any) -> str:
    """``output 2``, or all of them."""
    return _("all outputs") if line in (0, "0") else _("output %(line)s") % {"line": line}


def event_sentence(kind: str, data: Mapping[str, Any]) -> str:
    """The event ``kind``; a word that nobody has put into a sentence yet is shown as it is."""
    output = {"output": output_words(data.get("line", "?")), "text": str(data.get("text", ""))}
    sentences: dict[str, Callable[[], str]] = {
        "mains_lost": lambda: _("The mains are lost at the socket. Nothing is rebooted there until they are back."),
        "mains_back": lambda: _("The mains are back at the socket."),
        "alarm": lambda: _("An input of the socket raised an alarm."),
        "low_signal": lambda: _("The GSM signal of the socket is weak: commands may be lost."),
        "temperature": lambda: _("The temperature at the socket left its range."),
        "delay_done": lambda: _("A delay of the socket has run out. Ask for its status to know what is on."),
        "master_registered": lambda: _("The socket has accepted a new administrator's number."),
        "off_unasked": lambda: _("The socket says that %(output)s is off, and REMOSA did not switch it off.") % output,
        "left_dark": lambda: _(
            "A person switched %(output)s off, and it is still off. Switch it on, or say that it stays off."
        ) % output,
        "not_on_again": lambda: _(
            "REMOSA cannot get %(output)s on again. It goes on trying: look at the socket."
        ) % output,
        "removed_dark": lambda: _(
            "The socket was taken out of service while %(output)s was off. Nobody switches it on any more: look "
            "whether the players there have power."
        ) % output,
        "device_removed": lambda: _("The socket was taken out of service."),
        "device_moved": lambda: _("The socket belongs to another platform now."),
        "platform_inactive": lambda: _("The platform is not active."),
        "on_again": lambda: _("It is certain that %(output)s is on again.") % output,
        "silent": lambda: silence(data),
        "sim_payment": lambda: _("The SIM of the socket is paid until %(until)s.") % {"until": _day(data.get("until"))},
        "left_off": lambda: _("A person leaves %(output)s off.") % output,
        "not_armed": lambda: _("The socket did not confirm that it will switch on again: nothing was switched off."),
        "armed_too_late": lambda: _("The socket confirmed its delay too late: nothing was switched off."),
        "off_not_sent": lambda: _("The OFF did not get through: nothing was switched off."),
    }  # fmt: skip
    return sentences[kind]() if kind in sentences else f"{kind.replace('_', ' ')}"


def dark_sentence(*, way: str, state: str, line: int, minutes: int) -> str:
    """An output that is off now, or may be, and what is done about it; "" where nothing was switched off yet."""
    output = {"output": output_words(line), "minutes": minutes}
    if state == "arming":
        return ""
    if state == "broken":
        return event_sentence("left_dark" if way == "watch" else "not_on_again", {"line": line})
    if way == "watch":
        return _("A person switched %(output)s off. Nobody switches it on unasked.") % output
    if state == "dark":
        return _("REMOSA switched %(output)s off for %(minutes)d min and switches it on again.") % output
    return _("REMOSA is switching %(output)s on again and waits for proof.") % output


def silence(data: Mapping[str, Any]) -> str:
    """For how long a socket has said nothing."""
    days = int(data.get("days", 0))
    if not data.get("ever", True):
        return _("The socket has never answered by SMS. Check its number and its SIM.")
    sentence = ngettext(
        "The socket has been silent for %(n)d day. Ask for its status; look at its SIM.",
        "The socket has been silent for %(n)d days. Ask for its status; look at its SIM.",
        days,
    )
    return sentence % {"n": days}


def _day(text: Any) -> str:
    try:
        return date_format(date.fromisoformat(str(text)), "SHORT_DATE_FORMAT")
    except ValueError:
        return str(text)


EVENT_TONES = {"info": "grey", "warning": "amber", "critical": "red"}
