"""Facts about a device on their way to a JSON column and back. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from exporters.ports import Fact

TIMES = frozenset({"last_online_at"})


def lasting(facts: Mapping[str, Any], numbers: Collection[str]) -> dict[str, Any]:
    """The facts that stay true until another answer: no times, and no values of the present."""
    return {name: fact for name, fact in facts.items() if name not in TIMES and name not in numbers}


def pack(facts: Mapping[str, Fact]) -> dict[str, str | int | float]:
    """Facts as JSON values: times become ISO-8601 text, the rest stays."""
    return {key: fact.isoformat() if isinstance(fact, datetime) else fact for key, fact in facts.items()}


def unpack(stored: Mapping[str, object]) -> dict[str, Fact]:
    """The facts that ``pack`` stored; what is no fact (any more) is left out."""
    facts: dict[str, Fact] = {}
    for key, value in stored.items():
        if key in TIMES:
            if isinstance(value, str) and (moment := _time(value)) is not None:
                facts[key] = moment
        elif isinstance(value, (str, int, float)):
            facts[key] = value
    return facts


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
