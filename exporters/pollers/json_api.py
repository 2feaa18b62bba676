"""Any CMS that answers JSON: what to ask and where the answers stand are settings, not code.

Three ways to ask follow from the request template: ``{id}`` asks for each device on its own;
``{offset}`` or ``{page}`` asks for the list page by page; without either one request gets the whole
list. What stands where is JMESPath (``exporters.mapping``). A state whose word is in neither list of
words is unknown, never offline.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from exporters.errors import UPSTREAM_REASONS, AskError, BadSettings, ParseError, Reason
from exporters.macs import normalise_mac
from exporters.mapping import BadMapping, JsonMapping, fill, fill_path, find, number, read_mapping, word
from exporters.pollers.addreality import EARLIEST, parse_time
from exporters.pollers.answers import Asker, check_settings, clean_text, each, read_json, round_result
from exporters.ports import Fact, Observation, PollSettings, RoundResult, Status, Target
from remosa.lib.http import Door

MAX_BYTES = 8 * 1024 * 1024
MAX_PAGES = 1000
MAX_ID = 100
_NO_ID = re.compile("[\\s;,\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff]")


@dataclass(slots=True)
class Listing:
    """What the list said: observations by id, and what could not be used, by reason."""

    devices: dict[str, Observation] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    trouble: Reason | None = None
    is_truncated: bool = False
    rows: int = 0

    def add(self, other: "Listing") -> None:
        """Take over a further page; two rows of one device that contradict each other prove nothing."""
        for key, observation in other.devices.items():
            _remember(self.devices, key, observation)
        self.errors += other.errors


class JsonPoller:
    """The poller of kind ``json``; see ``exporters.ports.Poller``."""

    fields = ("base_url", "config")
    secret_fields: tuple[str, ...] = ()
    discovers = True

    def faults(self, config: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the mapping."""
        try:
            read_mapping(config)
        except BadMapping as exc:
            return exc.faults
        return {}

    def normalise_id(self, text: str) -> str:
        """A MAC as ``aa:bb:cc:dd:ee:ff``, anything else as it is."""
        return _id_of(text)

    async def poll(self, door: Door, settings: PollSettings, targets: Sequence[Target]) -> RoundResult:
        """Ask for each device, or for the list."""
        check_settings(settings, needs_secret=False)
        try:
            mapping = read_mapping(settings.config)
        except BadMapping as exc:
            raise BadSettings(str(exc)) from exc
        asker = Asker(door, settings, max_bytes=MAX_BYTES)
        if mapping.asks_each:
            return await _poll_each(asker, settings, mapping, targets)
        return await _poll_list(asker, settings, mapping, targets)


# --- one request per device ------------------------------------------------------------------------


async def _poll_each(
    asker: Asker, settings: PollSettings, mapping: JsonMapping, targets: Sequence[Target]
) -> RoundResult:
    async def observe(target: Target) -> Observation:
        try:
            body = await _ask(asker, settings, mapping, {"id": target.external_id})
            return parse_device(body, mapping, external_id=target.external_id, notes=_notes(settings))
        except (AskError, ParseError) as exc:
            return Observation(target.external_id, Status.UNKNOWN, reason=exc.reason)

    observations = await each(targets, observe, settings)
    blamed = [seen.reason in UPSTREAM_REASONS for seen in observations]
    return round_result(
        observations,
        asker=asker,
        errors=Counter(str(seen.reason) for seen in observations if seen.reason),
        understood=not targets or not all(blamed),
        complete=not any(blamed),
    )


def parse_device(
    body: bytes, mapping: JsonMapping, *, external_id: str, notes: list[str] | None = None
) -> Observation:
    """Read the answer for one device; ``ParseError`` when it speaks of another one."""
    found = find(mapping.list, read_json(body))
    rows = found if isinstance(found, list) else [found] if isinstance(found, dict) else None
    if rows is None:
        raise ParseError(Reason.WRONG_SHAPE)
    if not rows:
        return Observation(external_id, Status.UNKNOWN, reason=Reason.NO_DATA)
    named = [(_row_id(row, mapping), row) for row in rows]
    own = [row for key, row in named if key == external_id]
    if not own and len(rows) == 1 and named[0][0] is None:
        own = rows  # the answer need not repeat the id that it was asked for
    if len(own) != 1:
        raise ParseError(Reason.WRONG_SHAPE)
    return _observation(external_id, own[0], mapping, notes)


# --- the whole list --------------------------------------------------------------------------------


async def _poll_list(
    asker: Asker, settings: PollSettings, mapping: JsonMapping, targets: Sequence[Target]
) -> RoundResult:
    listing = await _read_list(asker, settings, mapping)
    missing = listing.trouble or Reason.NO_DATA
    observations = []
    for target in targets:
        seen = listing.devices.get(target.external_id)
        observations.append(seen or Observation(target.external_id, Status.UNKNOWN, reason=missing))
    errors = listing.errors + Counter({str(listing.trouble): 1} if listing.trouble else {})
    errors.update(
        str(one.reason) for one in observations if one.reason and one.reason not in UPSTREAM_REASONS
    )
    asked_for = {target.external_id for target in targets}
    return round_result(
        observations,
        asker=asker,
        errors=errors,
        understood=listing.trouble is None or bool(listing.devices),
        complete=listing.trouble is None,
        is_truncated=listing.is_truncated,
        found=[
            Target(key, str(one.facts.get("name", "")))
            for key, one in listing.devices.items()
            if settings.discover and key not in asked_for
        ],
    )


async def _read_list(asker: Asker, settings: PollSettings, mapping: JsonMapping) -> Listing:
    """Every page until one is not full; one that repeats what was seen ends a list that may go on."""
    whole = Listing()
    for page_no in range(MAX_PAGES):
        settings.progress.total = page_no + 1
        values = {"offset": page_no * mapping.page_size, "page": page_no + 1, "limit": mapping.page_size}
        try:
            page = parse_list(await _ask(asker, settings, mapping, values), mapping, notes=_notes(settings))
        except (AskError, ParseError) as exc:
            whole.trouble = exc.reason
            return whole
        settings.progress.done = page_no + 1
        has_news = bool(page.devices.keys() - whole.devices.keys())
        whole.add(page)
        if not mapping.is_paged or page.rows < mapping.page_size:
            return whole
        if page_no and not has_news:
            break
    whole.is_truncated = True
    return whole


def parse_list(body: bytes, mapping: JsonMapping, *, notes: list[str] | None = None) -> Listing:
    """Read a list. A row that cannot be read spoils only itself; ``ParseError`` when there is no list."""
    rows = find(mapping.list, read_json(body))
    if not isinstance(rows, list):
        raise ParseError(Reason.WRONG_SHAPE)
    found = Listing(rows=len(rows))
    for row in rows:
        key = _row_id(row, mapping)
        if key is None:
            found.errors[Reason.BAD_ID] += 1
        else:
            _remember(found.devices, key, _observation(key, row, mapping, notes))
    return found


def _remember(seen: dict[str, Observation], key: str, observation: Observation) -> None:
    earlier = seen.setdefault(key, observation)
    if earlier.status is not observation.status:
        seen[key] = Observation(key, Status.UNKNOWN, reason=Reason.UNKNOWN_STATUS)


# --- one row ---------------------------------------------------------------------------------------


def _observation(key: str, row: object, mapping: JsonMapping, notes: list[str] | None) -> Observation:
    facts: dict[str, Fact] = {}
    for name, path in (("name", mapping.name), *mapping.facts.items()):
        if text := _text(find(path, row)):
            facts[name] = text
    if (seen_at := _moment(find(mapping.last_online, row))) is not None:
        facts["last_online_at"] = seen_at
    for gauge in mapping.gauges:
        if (value := number(find(gauge.path, row))) is not None:
            facts[gauge.name] = value
    state = word(find(mapping.state, row))
    if state and state in mapping.online:
        return Observation(key, Status.ONLINE, facts)
    if state and state in mapping.offline:
        return Observation(key, Status.OFFLINE, facts)
    if notes is not None and len(notes) < 20:
        notes.append(state)
    return Observation(key, Status.UNKNOWN, facts, Reason.UNKNOWN_STATUS)


def _text(value: object) -> str:
    return word(value) if isinstance(value, bool) else clean_text(value)


def _moment(value: object) -> datetime | None:
    """ISO-8601 with a zone, or Unix seconds or milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return parse_time(value)
    try:
        moment = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment >= EARLIEST else None


def _row_id(row: object, mapping: JsonMapping) -> str | None:
    """The id of a row in our spelling, None when it has none that we could keep."""
    value = find(mapping.id, row)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return _id_of(str(value))
    except ValueError:
        return None


def _id_of(text: str) -> str:
    """One spelling for each id; a number of twelve digits stays a number."""
    text = text.strip()
    if not text.isdigit():
        try:
            return normalise_mac(text)
        except ValueError:
            pass
    if not text or len(text) > MAX_ID or _NO_ID.search(text):
        raise ValueError(
            _("An id has 1 to %(most)d characters, without spaces, commas and semicolons.") % {"most": MAX_ID}
        )
    return text


async def _ask(
    asker: Asker, settings: PollSettings, mapping: JsonMapping, values: Mapping[str, str | int]
) -> bytes:
    with_secret = {**values, "secret": settings.secret}
    query = {key: str(value) for key, value in fill(mapping.query, values).items()}
    return await asker.ask(
        mapping.method,
        fill_path(mapping.path, values),
        params=query,
        headers={key: str(value) for key, value in fill(mapping.headers, with_secret).items()},
        body=fill(mapping.body, with_secret),
    )


def _notes(settings: PollSettings) -> list[str] | None:
    return settings.trace.notes if settings.trace is not None else None
