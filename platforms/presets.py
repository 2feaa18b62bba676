"""Presets: what a new client starts with, prepared once as data (``platforms/data/presets``).

A preset sets columns of the platform and holds lists of rows for the apps above, which make them by the port
``PRESET_PARTS``. It is applied once, when the platform is created, in the same transaction; a later version
changes no client. Jobs of a preset begin in shadow: no preset can say otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from platforms import audit
from platforms.errors import BadPreset
from platforms.invitations import invite
from platforms.models import Platform
from platforms.ports import PresetPart
from platforms.roles import Role
from platforms.services import create_platform
from remosa.lib.registry import backend

DATA = Path(__file__).parent / "data" / "presets"
COLUMNS = frozenset({"device_limit", "sms_limit", "series_limit", "sms_people_share_ratio", "currency"})
HEAD = frozenset({"version", "order", "name", "about", "platform"})


@dataclass(frozen=True)
class Preset:
    """One preset: ``platform`` are columns, ``parts`` rows of the apps above."""

    code: str
    version: int
    order: int
    name: Mapping[str, str]
    about: Mapping[str, str]
    platform: Mapping[str, Any]
    parts: Mapping[str, Sequence[Mapping[str, Any]]]

    def __str__(self) -> str:
        return in_words(self.name)

    def brings(self) -> list[str]:
        """What a client would get besides its limits, as sentences for whoever chooses."""
        return [text for kind, rows in self.parts.items() for text in _part(kind).brings(rows)]


def in_words(text: Mapping[str, str]) -> str:
    """A text of the data in the reader's language."""
    return text.get((translation.get_language() or "en")[:2]) or text["en"]


@cache
def shipped() -> dict[str, Preset]:
    """Every preset by its code, the usual one first; BadPreset names the file that is wrong."""
    found = [_read(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in DATA.glob("*.json")]
    return {preset.code: preset for preset in sorted(found, key=lambda preset: (preset.order, preset.code))}


def _read(code: str, data: Mapping[str, Any]) -> Preset:
    parts = {name: rows for name, rows in data.items() if name not in HEAD}
    preset = Preset(
        code, data["version"], data["order"], data["name"], data["about"], data.get("platform", {}), parts
    )
    if wrong := (set(preset.platform) - COLUMNS) | (set(parts) - set(settings.PRESET_PARTS)):
        raise BadPreset(f"{code}: no preset sets {', '.join(sorted(wrong))}")
    for kind, rows in parts.items():
        try:
            _part(kind).check(rows)
        except ValueError as exc:
            raise BadPreset(f"{code}: {kind}: {exc}") from exc
    return preset


def _part(kind: str) -> PresetPart:
    return backend("PRESET_PARTS", kind)()


def create_client(
    *, name: str, by: Any, now: datetime, preset: str = "", admin_email: str = "", **fields: Any
) -> Platform:
    """A new platform with what its preset brings, and its first admin invited; all of it or nothing.

    ``fields`` that are given win over the preset's. ValidationError for bad ones, KeyError for a preset that
    there is not.
    """
    chosen = shipped()[preset] if preset else None
    columns = {**(chosen.platform if chosen else {}), **fields}
    with transaction.atomic():
        platform = create_platform(name=name, by=by, **columns)
        if chosen is not None:
            made = {kind: _part(kind).apply(platform, rows, by=by) for kind, rows in chosen.parts.items()}
            audit.record(
                actor=audit.person(by), verb="platform.preset_applied", target=platform, platform=platform, at=now,
                after={"preset": chosen.code, "version": chosen.version, **dict(chosen.platform), **made},
            )  # fmt: skip
        if admin_email:
            invite(platform=platform, email=admin_email, role=Role.ADMIN, by=by, now=now)
    return platform


def limits_in_words(preset: Preset) -> str:
    """Its limits in one sentence."""
    limits = preset.platform
    return _("Devices: up to %(devices)s. SMS parts per month: %(sms)s, of which %(share)s %% kept for people.") % {
        "devices": limits.get("device_limit", "—"), "sms": limits.get("sms_limit", "—"),
        "share": round(100 * limits.get("sms_people_share_ratio", 0.2)),
    }  # fmt: skip
