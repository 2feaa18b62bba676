"""MAC addresses as people write them: what a MAC is, and how it is stored (``aa:bb:cc:dd:ee:ff``). Pure."""

import re

from django.utils.translation import gettext as _

_STORED = re.compile(r"(?!00:00:00:00:00:00)[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_PAIRS = re.compile(r"[0-9a-f]{2}([:.-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}")
_QUADS = re.compile(r"[0-9a-f]{4}([:.-])[0-9a-f]{4}\1[0-9a-f]{4}")
_BARE = re.compile(r"[0-9a-f]{12}")
_SEPARATORS = str.maketrans("", "", ":.-")
_NOT_MAC = re.compile(r"[^0-9a-f:.-]")
_CYRILLIC_ALIKE = set("аАвВсСеЕоО")
INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"  # what comes along from a web page or an editor
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
SHOWN_MAX = 80


def normalise_mac(text: str) -> str:
    """``aa:bb:cc:dd:ee:ff`` from any usual spelling; ValueError with a sentence for people."""
    if _STORED.fullmatch(text):  # most are: a round asks for thousands of them
        return text
    lowered = text.strip().strip(INVISIBLE).strip().lower()
    if not any(shape.fullmatch(lowered) for shape in (_PAIRS, _QUADS, _BARE)):
        raise ValueError(_why_not_a_mac(lowered))
    digits = lowered.translate(_SEPARATORS)
    if digits == "0" * 12:
        raise ValueError(_("The MAC is all zeros, which no device has; copy it from the player's settings."))
    if int(digits[:2], 16) & 1:
        raise ValueError(_("This is a group address (multicast or broadcast), not the MAC of one device."))
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _why_not_a_mac(lowered: str) -> str:
    """The most helpful sentence for a text that has not the shape of a MAC."""
    if not lowered:
        return _("The MAC is missing.")
    if alike := sorted(_CYRILLIC_ALIKE & set(lowered)):
        return _("The letter “%(letter)s” is Cyrillic; type the MAC in Latin letters.") % {"letter": alike[0]}
    if strange := _NOT_MAC.search(lowered):
        return _("“%(character)s” cannot be part of a MAC; it has only digits and the letters A to F.") % {
            "character": shown(strange.group())
        }
    digits = len(lowered.translate(_SEPARATORS))
    if digits != 12:
        return _("A MAC has 12 hexadecimal digits; this has %(count)d.") % {"count": digits}
    return _("The separators are mixed; write the MAC like AA:BB:CC:DD:EE:FF.")


def shown(text: str) -> str:
    """A piece of input that can be shown: short, without control characters."""
    short = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
    return CONTROL.sub("\ufffd", short)
