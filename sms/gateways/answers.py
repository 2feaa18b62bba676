"""What an answer means, by configured rules: the first rule that fits decides. Pure.

A rule is an object. What it asks for must all be so: ``status`` (one or a list), ``path`` (a JMESPath into
a JSON answer; something is there, or it equals ``equals``, one value or a list), ``text`` (a pattern that is
found in the answer). ``means`` is what it proves.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django.utils.translation import gettext as _

from remosa.lib.http import Response
from sms.errors import GatewayError
from sms.gateways.templates import ABSENT, check_path, check_pattern, finds, look_up

Meaning = Literal["accepted", "refused", "wrong_key", "not_queued", "unknown"]
MEANINGS: dict[str, dict[str, Any]] = {
    "accepted": {},
    "refused": {"outcome": "rejected"},
    "wrong_key": {"outcome": "rejected", "breaks": True},
    "not_queued": {"outcome": "not_sent"},
    "unknown": {"outcome": "unknown"},
}
ASKS = ("status", "path", "equals", "text")
MAX_RULES = 30


def meaning(rules: Sequence[Mapping[str, Any]], response: Response) -> tuple[str, int] | None:
    """(what the answer means, the number of the rule that says so); None when no rule fits."""
    content = _json(response)
    for number, rule in enumerate(rules, start=1):
        if _fits(rule, response, content):
            return rule["means"], number
    return None


def error_of(means: str, number: int, *, detail: str) -> GatewayError:
    """The GatewayError of a rule that is no acceptance."""
    return GatewayError(f"rule_{number}_{means}", detail=detail, **MEANINGS[means])


def _json(response: Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return ABSENT


def _fits(rule: Mapping[str, Any], response: Response, content: Any) -> bool:
    if "status" in rule and response.status not in _listed(rule["status"]):
        return False
    if "text" in rule and not finds(rule["text"], response.text):
        return False
    if "path" not in rule:
        return True
    found = None if content is ABSENT else look_up(content, rule["path"])
    if "equals" not in rule:
        return found not in (None, "", False, [], {})
    return any(_same(found, value) for value in _listed(rule["equals"]))


def _same(found: Any, value: Any) -> bool:
    """``1`` and ``"1"`` are the same to a person who writes a rule; ``1`` and ``true`` are not."""
    if isinstance(found, bool) or isinstance(value, bool) or found is None or value is None:
        return found is value
    return str(found) == str(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_rules(rules: Any) -> str:
    """What is wrong with configured rules, or ``""``; names the rule by its number."""
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        return _('Write a list of objects: [{"path": "status", "equals": "error", "means": "refused"}].')
    if len(rules) > MAX_RULES:
        return _("At most %(count)d rules.") % {"count": MAX_RULES}
    for number, rule in enumerate(rules, start=1):
        if sentence := _rule_fault(rule):
            return _("Rule %(number)d: %(sentence)s") % {"number": number, "sentence": sentence}
    return ""


def _rule_fault(rule: Mapping[str, Any]) -> str:
    if unknown := sorted(set(rule) - {*ASKS, "means"}):
        return _("“%(name)s” is not known. Known: %(known)s.") % {
            "name": unknown[0], "known": ", ".join([*ASKS, "means"]),
        }  # fmt: skip
    if rule.get("means") not in MEANINGS:
        return _("“means” is one of: %(known)s.") % {"known": ", ".join(MEANINGS)}
    if not {"status", "path", "text"} & set(rule):
        return _("Name a status, a path or a text.")
    if "equals" in rule and "path" not in rule:
        return _("“equals” needs a path.")
    if "status" in rule and not all(
        type(one) is int and 100 <= one <= 599 for one in _listed(rule["status"])
    ):
        return _("Write HTTP statuses: [429, 503].")
    if "path" in rule and (sentence := check_path(rule["path"])):
        return sentence
    return check_pattern(rule["text"], groups=0) if "text" in rule else ""
