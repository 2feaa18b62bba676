"""Why an SMS is where it is, in words for people. A word that nobody has put into words yet is shown as it is."""

import re
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from platforms.console.display import short_clock_text
from remosa.lib.http import REASONS
from remosa.lib.redact import redact
from sms.models import ModemStatus

NO_ANSWER = re.compile(r"modem_|gateway_|no_json|no_id|http_(?:[35]|408)")


def reason_text(reason: str) -> str:
    """The reason of an outgoing or incoming SMS; what a gateway said itself stays, numbers and keys hidden."""
    sentences = {
        "no_gateway": _("there is no SMS gateway that may carry it"),
        "rate_limit": _("the gateway's limit per minute is reached, it waits"),
        "day_limit": _("the gateway's limit per day is reached"),
        "no_accepted_sender": _("no gateway has a number that this device obeys"),
        "gateway_suspended": _("the gateway is suspended after errors, it waits"),
        "waits_for_modem": _("waits for the modem"),
        "expired": _("too late to send it"),
        "too late": _("too late to send it"),
        "platform_inactive": _("the platform is closed"),
        "cancelled": _("taken back"),
        "command_cancelled": _("the command was cancelled"),
        "undelivered": _("the network did not deliver it"),
        "delivered after all": _("delivered after all"),
        "delivered_after_all": _("delivered after all"),
        "delivery report": _("delivery report"),
        "worker_lost": _("the process that sent it was lost"),
        "worker lost": _("the process that sent it was lost"),
        "worker lost before the barrier": _("the process was lost before anything left"),
        "lease nearly over": _("the process was too slow, nothing left"),
        "lease_over": _("the process was too slow, nothing left"),
        "stranger": _("from a number that belongs to no device"),
        "unrecognised": _("the text could not be read"),
        "confirmed": _("confirms the command"),
        "refused": _("refused"),
        "info": _("a notice, not an answer"),
        "event": _("a notice, not an answer"),
        "not_awaited": _("an answer that nobody awaits: late, repeated or unasked"),
        "other_command": _("answers another command than the one that waits"),
        "other_line": _("speaks of another output than the command that waits"),
        "other_value": _("speaks of another value than the command that waits"),
        "error": _("failed here: the log of the server says why"),
        "ignored": _("set aside by a person"),
        "repeated": _("the gateway handed the same SMS over again"),
    }
    word, _colon, before = reason.partition(": ")
    if word == "expired" and before in sentences:  # what it waited for
        return f"{sentences[word]}: {sentences[before]}"
    return sentences.get(reason, redact(reason))


def blocked_sentence(name: str, *, reason: str, since: datetime | None, waiting: int, now: datetime) -> str:
    """“SMSC refuses since 11:20; 3 commands wait”: what is said of a suspended gateway, everywhere."""
    said = {"name": name, "at": _since(since, now)}
    if is_refusal(reason):
        begun = _("%(name)s refuses since %(at)s") % said
    else:
        begun = _("%(name)s does not take SMS since %(at)s") % said
    if not waiting:
        return _("%(begun)s; no command waits") % {"begun": begun}
    wait = ngettext("%(n)d command waits", "%(n)d commands wait", waiting) % {"n": waiting}
    return f"{begun}; {wait}"


def is_refusal(reason: str) -> bool:
    """Whether the last words of a suspended gateway were a no, and not silence."""
    word = reason.partition(":")[0]
    return word not in REASONS and not NO_ANSWER.match(word)


def _since(at: datetime | None, now: datetime) -> str:
    """Hours and minutes; with the date unless that is today's."""
    shown = short_clock_text(at or now, now)
    return shown.rpartition(":")[0]


def trouble_text(error: str) -> str:
    """What a gateway said last, in words; its own words stay, numbers and keys hidden."""
    reading = {"inbox": _("incoming SMS are not read"), "status": _("delivery is not asked about")}
    word, colon, rest = error.partition(":")
    if word in reading and colon:
        return f"{reading[word]}: {trouble_text(rest.strip())}"
    sentences = {
        "http_401": _("it does not know our key"),
        "http_403": _("it does not let us in"),
        "refused": _("nobody answers at its address"),
        "dns": _("its name is not known"),
        "connect_timeout": _("nobody answers at its address"),
        "tls": _("its certificate is not good"),
        "deadline": _("it answers too slowly"),
        "reset": _("it breaks the connection"),
        "truncated": _("its answers break off"),
        "egress": _("its address may not be reached from here"),
        "no_inbox": _("it answers with something that is no inbox"),
        **{f"modem_{state}": str(label) for state, label in ModemStatus.State.choices},
    }
    return redact(f"{sentences.get(word, word)}{colon}{rest}")
