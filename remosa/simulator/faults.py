"""What may go wrong in the simulated world, as one validated value.

A mode is how a server answers, a ratio is how often a message suffers. Changing faults never
touches players or sockets: only what the outside gets to see.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

OK = "ok"
SITE_DARK = "site_dark"

CMS_MODES = frozenset(
    {OK, "500", "401", "timeout", "reset", "html", "empty", "blank", "broken", "half", "all_offline"}
)
# *_after: the SMS is taken first and the answer goes wrong then; every other mode takes nothing.
SMS_MODES = frozenset(
    {OK, "400", "401", "429", "500", "307", "html", "timeout", "reset"}
    | {"500_after", "garbage_after", "reset_after", "timeout_after"}
)
INBOX_MODES = frozenset({OK, "500", "401", "html", "broken", "timeout"})
MODES = {"cubic": CMS_MODES, "addreality": CMS_MODES, "sms": SMS_MODES, "inbox": INBOX_MODES}


class BadWish(ValueError):
    """Somebody asked the simulator for what it does not have; the text says what to change."""


@dataclass(frozen=True)
class Faults:
    """The present faults; the default is a world in which everything works.

    ``site_dark:<slug>`` as a CMS mode shows every player of that site offline. Ratios are 0..1,
    ``*_minutes`` are minutes of the simulated world, ``timeout_s`` is real seconds.
    """

    cubic: str = OK
    addreality: str = OK
    sms: str = OK
    inbox: str = OK
    sms_loss_ratio: float = 0.0
    sms_duplicate_ratio: float = 0.0
    sms_reorder_ratio: float = 0.0
    reply_loss_ratio: float = 0.0
    reply_duplicate_ratio: float = 0.0
    reply_reorder_ratio: float = 0.0
    reply_late_ratio: float = 0.0
    sms_delay_minutes: float = 0.05
    reply_delay_minutes: float = 0.05
    late_minutes: float = 7.0
    timeout_s: float = 60.0

    def changed(self, wishes: Mapping[str, Any], *, sites: Collection[str]) -> "Faults":
        """The faults with ``wishes`` applied; ``cms`` sets both CMS, ``reset: true`` starts from none.

        Raises BadWish with a sentence that names the wrong key or value.
        """
        wishes = dict(wishes)
        base = NO_FAULTS if wishes.pop("reset", False) else self
        if "cms" in wishes:
            mode = wishes.pop("cms")
            wishes = {"cubic": mode, "addreality": mode} | wishes
        known = {field.name for field in fields(Faults)}
        unknown = sorted(set(wishes) - known)
        if unknown:
            raise BadWish(f"Unknown fault {unknown[0]!r}. Known: cms, reset, {', '.join(sorted(known))}.")
        return replace(base, **{name: _checked(name, value, sites) for name, value in wishes.items()})


NO_FAULTS = Faults()
# A message in fifty is lost and a reply in twenty comes late: seen within an hour, harmless to a demo.
DEMO_FAULTS = Faults(sms_loss_ratio=0.02, reply_late_ratio=0.05)


def _checked(name: str, value: Any, sites: Collection[str]) -> Any:
    if name in MODES:
        return _checked_mode(name, value, sites)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise BadWish(f"{name} must be a number, 0 or more.")
    if name.endswith("_ratio") and value > 1:
        raise BadWish(f"{name} must be between 0 and 1.")
    return float(value)


def _checked_mode(name: str, value: Any, sites: Collection[str]) -> str:
    if not isinstance(value, str):
        raise BadWish(f"{name} must be one of: {', '.join(sorted(MODES[name]))}.")
    mode, _, site = value.partition(":")
    if mode == SITE_DARK and name in ("cubic", "addreality"):
        if site not in sites:
            raise BadWish(f"No site {site!r}. Sites: {', '.join(sorted(sites))}.")
        return value
    if value not in MODES[name]:
        raise BadWish(f"{name} cannot be {value!r}. Choose one of: {', '.join(sorted(MODES[name]))}.")
    return value
