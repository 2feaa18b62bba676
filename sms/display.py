"""Why an SMS is where it is, in words for people. A word that nobody has put into words yet is shown as it is."""

from django.utils.translation import gettext as _

from remosa.lib.redact import redact


def reason_text(reason: str) -> str:
    """The reason of an outgoing or incoming SMS; what a gateway said itself stays, numbers and keys hidden."""
    sentences = {
        "no_gateway": _("there is no SMS gateway that may carry it"),
        "rate_limit": _("the gateway's limit per minute is reached, it waits"),
        "gateway_suspended": _("the gateway is suspended after errors, it waits"),
        "waits_for_modem": _("waits for the modem"),
        "expired": _("too late to send it"),
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
        "stranger": _("from a number that belongs to no device"),
        "unrecognised": _("the text could not be read"),
        "confirmed": _("confirms the command"),
        "refused": _("refused"),
        "info": _("a notice, not an answer"),
        "event": _("a notice, not an answer"),
        "error": _("could not be read"),
        "ignored": _("set aside by a person"),
    }
    return sentences.get(reason, redact(reason))
