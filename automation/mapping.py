"""From an alert's labels to one device of the source's platform. Pure: the devices that may be meant come in.

Rules are tried in their order. The first whose text can be filled in and names exactly one device wins; a
text that names nobody leaves the next rule to try.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from remosa.lib.macs import normalise_mac

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Rule:
    """One mapping: ``by`` is mac, external_id, uid, name or device."""

    by: str
    template: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    device_id: int | None = None


@dataclass(frozen=True)
class Known:
    """A device that may be meant: its number, and what it goes by."""

    id: int
    mac: str
    external_id: str
    uid: str
    name: str


@dataclass(frozen=True)
class Found:
    """The device, or why there is none: ``no_rule``, ``no_device`` or ``ambiguous``."""

    device_id: int | None
    why: str = ""


# what a new source starts with: the labels that REMOSA's own exporters and their like set
USUAL = (
    Rule("mac", "{mac}"),
    Rule("external_id", "{device_id}"),
    Rule("external_id", "{player_id}"),
    Rule("mac", "{player_id}"),
    Rule("uid", "{device_uid}"),
    Rule("name", "{player_name}"),
)


def filled(template: str, labels: Mapping[str, str]) -> str | None:
    """The text with its labels, or None when one of them is missing or empty."""
    names = PLACEHOLDER.findall(template)
    if not names or not all(labels.get(name) for name in names):
        return None
    return PLACEHOLDER.sub(lambda found: labels[found[1]], template)


def keys_of(rules: Sequence[Rule], labels: Mapping[str, str]) -> list[tuple[Rule, str]]:
    """What the rules look for, in their order: [(rule, text)]; a rule for one device looks for its number."""
    keys = []
    for rule in rules:
        if any(labels.get(name) != value for name, value in rule.only.items()):
            continue
        if rule.by == "device":
            keys.append((rule, str(rule.device_id)))
            continue
        text = filled(rule.template, labels)
        text = None if text is None else _canonical(rule.by, text.strip())
        if text:
            keys.append((rule, text))
    return keys


def _canonical(by: str, text: str) -> str | None:
    try:
        if by == "mac":
            return normalise_mac(text)
        if by == "uid":
            return str(UUID(text))
    except ValueError:
        return None
    return text


class Index:
    """Devices by what they go by."""

    def __init__(self, devices: Iterable[Known]) -> None:
        self._by: dict[tuple[str, str], set[int]] = {}
        for device in devices:
            for by, text in (
                ("mac", device.mac), ("external_id", device.external_id), ("uid", device.uid), ("name", device.name),
                ("device", str(device.id)),
            ):  # fmt: skip
                if text:
                    self._by.setdefault((by, text), set()).add(device.id)

    def find(self, keys: Sequence[tuple[Rule, str]]) -> Found:
        """The first rule that names exactly one device decides; two that fit one rule decide nothing."""
        if not keys:
            return Found(None, "no_rule")
        for rule, text in keys:
            fitting = self._by.get((rule.by, text), set())
            if len(fitting) == 1:
                return Found(next(iter(fitting)))
            if fitting:
                return Found(None, "ambiguous")
        return Found(None, "no_device")
