"""Placeholders in a configured request, and paths and patterns into an answer. Pure.

Filling is structural: a placeholder is replaced inside the value where it stands, once, and what
is filled in is never read again as a template or as markup. Patterns come from a form, so they are
held to shapes that cannot be made slow.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import jmespath
from django.utils.translation import gettext as _
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from devices.pattern_cost import MAX_GROUPS, PatternError, cost_of

NAMES = ("to", "to_digits", "text", "client_ref", "sender", "validity_s", "secret")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
INDEX = re.compile(r"(?:^|\.)(\d+)(?=[.\[]|$)")
PATH_LENGTH = 200
ABSENT: Final = object()  # an answer that is no JSON
PATTERN_LENGTH = 200
PATTERN_TEXT = 300  # characters of the answer that a pattern gets to see
PATTERN_COST = 100_000  # ways to match from one place: two unbounded repetitions pass, three do not


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """``template`` (text, object or list, nested) with every placeholder replaced; other values unchanged."""
    if isinstance(template, str):
        return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
    if isinstance(template, Mapping):
        return {str(key): fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    return template


def fill_flat(template: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """As ``fill`` for a query, a form or headers: every value ends as text."""
    return {str(key): _as_text(fill(value, values)) for key, value in template.items()}


def fill_url(template: str, values: Mapping[str, str]) -> str:
    """As ``fill`` for an address: what is filled in is percent-encoded, slashes included."""
    return fill(template, {name: quote(value, safe="") for name, value in values.items()})


def unknown_placeholders(template: Any) -> list[str]:
    """The placeholders that nothing will fill, sorted."""
    if isinstance(template, str):
        return sorted({name for name in PLACEHOLDER.findall(template) if name not in NAMES})
    if isinstance(template, Mapping):
        template = list(template.values())
    if isinstance(template, list):
        return sorted({name for value in template for name in unknown_placeholders(value)})
    return []


def placeholders(template: Any) -> set[str]:
    """The placeholders that a template uses."""
    if isinstance(template, str):
        return set(PLACEHOLDER.findall(template))
    if isinstance(template, Mapping):
        template = list(template.values())
    return set().union(*(placeholders(value) for value in template)) if isinstance(template, list) else set()


def look_up(content: Any, path: str) -> Any:
    """The value at a JMESPath (``data[0].id``; ``data.0.id`` is the same), or None when there is none."""
    try:
        return _compiled(path).search(content)
    except JMESPathError:
        return None  # a function met a value that it is not for


@lru_cache(maxsize=512)
def _compiled(path: str) -> ParsedResult:
    return jmespath.compile(INDEX.sub(r"[\1]", path).removeprefix("."))


def check_path(path: Any) -> str:
    """What is wrong with a path, or ``""``."""
    if not isinstance(path, str) or not path.strip() or len(path) > PATH_LENGTH:
        return _("A path is a text of at most %(length)d characters, such as data[0].id.") % {
            "length": PATH_LENGTH
        }
    try:
        _compiled(path)
    except (JMESPathError, RecursionError) as exc:
        return _("This is not a JMESPath: %(why)s.") % {"why": str(exc).splitlines()[0]}
    return ""


def find(pattern: str, text: str) -> str | None:
    """What the one group of ``pattern`` finds in the beginning of ``text``."""
    found = re.search(pattern, text[:PATTERN_TEXT])
    return found[1] if found else None


def finds(pattern: str, text: str) -> bool:
    """Whether ``pattern`` is found in the beginning of ``text``."""
    return re.search(pattern, text[:PATTERN_TEXT]) is not None


def check_pattern(pattern: Any, *, groups: int) -> str:
    """What is wrong with a pattern, or ``""``."""
    if not isinstance(pattern, str) or not pattern:
        return _("Write a text.")
    if len(pattern) > PATTERN_LENGTH:
        return _("A pattern has at most %(length)d characters.") % {"length": PATTERN_LENGTH}
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        return _("This is not a regular expression: %(why)s.") % {"why": exc}
    if compiled.groups != groups or pattern.count("(") > MAX_GROUPS:
        if not groups:
            return _("Write the pattern without brackets, or with (?: ).")
        return _("Put exactly one pair of brackets around what is to be found.")
    try:
        cost = cost_of(pattern, longest=PATTERN_TEXT)
    except PatternError as exc:
        return _("This is not a regular expression: %(why)s.") % {"why": exc}
    if cost > PATTERN_COST:
        return _("This pattern can match in too many ways: bound its repetitions, {1,20} instead of +.")
    return ""


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
