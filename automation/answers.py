"""The answer to "why was it switched?", or why it was not: what is known of one case, in a few sentences. Pure.

It names nobody: no person, no socket, no neighbour, no number, no free text. So it may be read by the
client's own client, who has nothing but a link.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from automation.sentences import refusal_sentence, span_words, why_sentence
from remosa.lib.redact import MASK

PLAIN = frozenset({"cms_in_doubt"})  # objections whose texts are words of ours


@dataclass(frozen=True)
class Deed:
    """A step that acted: when, whether a person asked for it, and whether it was a power cycle or a soft step."""

    at: datetime
    by_person: bool
    soft: bool = False


@dataclass(frozen=True)
class Told:
    """What the answer is made of; ``objection`` is (guard, reason, data) of the newest refusal."""

    state: str
    mode: str
    outcome: str
    source: str
    hold_s: float
    samples: int
    down_since: datetime | None
    back_since: datetime | None
    deeds: Sequence[Deed]
    objection: tuple[str, str, dict[str, Any]] | None


def answer(told: Told, *, clock: Callable[[datetime], str]) -> list[str]:
    """The sentences, in the order of events; ``clock`` writes a moment for the reader."""
    said = [_ground(told, clock)]
    said += [_deed(deed, clock) for deed in told.deeds] or [_why_nothing(told)]
    if told.back_since is not None:
        said.append(_("It was connected again at %(at)s.") % {"at": clock(told.back_since)})
        if told.state == "verified" and told.down_since is not None:
            said.append(
                _("The whole interruption lasted %(span)s.")
                % {"span": _span(told.back_since - told.down_since)}
            )
    if told.state in ("verified", "escalated") and told.outcome:
        said.append(why_sentence(told.outcome))
    if told.state == "escalated":
        said.append(_("It is with the duty desk."))
    if told.state == "cancelled":
        said.append(_("The case was ended without proof."))
    return said


def _span(span: timedelta) -> str:
    return span_words(span.total_seconds())


def _ground(told: Told, clock: Callable[[datetime], str]) -> str:
    """What was known; "no connection" is never "the screen does not work"."""
    data = {
        "at": clock(told.down_since) if told.down_since else "—", "hold": span_words(told.hold_s),
        "samples": told.samples,
    }  # fmt: skip
    if told.source == "snapshot":
        return (
            _(
                "From %(at)s on the player had no connection to its CMS:"
                " for at least %(hold)s, by %(samples)s fresh observations that agreed."
            )
            % data
        )
    return _("From %(at)s on the monitoring reported a fault, for at least %(hold)s.") % data


def _deed(deed: Deed, clock: Callable[[datetime], str]) -> str:
    if deed.soft:
        return _(
            "At %(at)s the program that looks after the player was asked to repair it; the power stayed on."
        ) % {"at": clock(deed.at)}
    if deed.by_person:
        return _("At %(at)s a person asked the socket to switch the power off and on.") % {
            "at": clock(deed.at)
        }
    return _("At %(at)s REMOSA asked the socket to switch the power off and on, to restart it.") % {
        "at": clock(deed.at)
    }


def _why_nothing(told: Told) -> str:
    if told.objection is not None:
        guard, reason, data = told.objection
        plain = {
            name: value if (reason in PLAIN and name == "why") or not isinstance(value, str) else MASK
            for name, value in data.items()
        }
        return _("Nothing was switched. %(why)s") % {
            "why": refusal_sentence(guard, reason, plain, names=False)
        }
    if told.mode == "shadow":
        return _("Nothing was switched: only watching is allowed here.")
    return _("Nothing was switched.")
