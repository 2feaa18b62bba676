"""Addreality: one POST for up to 300 players, by their ids, with ``X-API-Token``.

``POST {base}/public/v1/device/list`` with ``{"id": [4711, ...], "limit": 300}`` answers ``{"data":
[...]}``. Targets are asked for by id, at most 300 in a request, so a full page never hides
anything. An empty ``id`` lists whatever the account has; that question finds players that are no
targets, and is asked on page by page, because a list of exactly 300 may go on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from exporters.errors import AskError, ParseError, Reason
from exporters.pollers.answers import Asker, check_settings, clean_text, each, read_json, round_result
from exporters.ports import Fact, Observation, PollSettings, RoundResult, Status, Target
from remosa.lib.http import Door

PATH = "/public/v1/device/list"
PAGE = 300
MAX_PAGES = 1000
NO_SUCH_QUESTION = frozenset({Reason.HTTP_4XX, Reason.HTTP_404})  # an API without `offset`
MAX_BYTES = 8 * 1024 * 1024
MAX_ID = 2**63 - 1
TEXT_FACTS = ("name", "player_version", "time_zone")
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # programs write "never" as year 1 or 1970


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: observations by id, and how many rows could not be used, by reason."""

    devices: dict[int, Observation]
    errors: Counter[str]
    is_full: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for the ids that were ``wanted``: a page, or why there is none."""

    wanted: Sequence[int]
    page: Page | Reason | None
    is_truncated: bool = False


class AddrealityPoller:
    """The poller of kind ``addreality``; see ``exporters.ports.Poller``."""

    fields = ("base_url",)
    secret_fields = ("secret",)
    discovers = True

    def faults(self, config: Mapping[str, Any]) -> dict[str, str]:
        """There are no further settings."""
        return {}

    def normalise_id(self, text: str) -> str:
        """The decimal number that Addreality gives its players."""
        number = _id_of(text.strip())
        if number is None:
            raise ValueError(_("An Addreality id is a whole number, for example 4711."))
        return str(number)

    async def poll(self, door: Door, settings: PollSettings, targets: Sequence[Target]) -> RoundResult:
        """Ask for the targets by pages of ids; with ``settings.discover`` also for whatever else is there."""
        check_settings(settings, needs_secret=True)
        asker = Asker(door, settings, max_bytes=MAX_BYTES)
        ids = list(dict.fromkeys(number for target in targets if (number := _id_of(target.external_id))))
        questions: list[list[int] | None] = [ids[at : at + PAGE] for at in range(0, len(ids), PAGE)]
        if settings.discover:
            questions.append(None)

        async def ask_for(wanted: list[int] | None) -> list[Answer]:
            if wanted is None:
                return await _list_all(asker, settings.secret)
            return [Answer(wanted, await _ask_page(asker, settings.secret, {"id": wanted}))]

        answers = [answer for part in await each(questions, ask_for, settings) for answer in part]
        return _assemble(targets, answers, asker)


async def _ask_page(asker: Asker, secret: str, wish: dict[str, object]) -> Page | Reason:
    """One page, or the reason why there is none."""
    try:
        body = await asker.ask("POST", PATH, headers={"X-API-Token": secret}, body={**wish, "limit": PAGE})
        return parse_devices(body)
    except (AskError, ParseError) as exc:
        return exc.reason


async def _list_all(asker: Asker, secret: str) -> list[Answer]:
    """Everything that the account has, page by page.

    Exactly a full page may mean that there is more. No public document says how to ask on; ``offset`` is
    tried, and an API that refuses it, or repeats itself, has shown what it can: the list is truncated.
    """
    answers: list[Answer] = []
    seen: set[int] = set()
    while len(answers) < MAX_PAGES:
        wish = {"id": [], "offset": PAGE * len(answers)} if answers else {"id": []}
        page = await _ask_page(asker, secret, wish)
        if answers and (not isinstance(page, Page) or (page.devices and page.devices.keys() <= seen)):
            refused = page if isinstance(page, Reason) and page not in NO_SUCH_QUESTION else None
            return [*answers, Answer([], refused, is_truncated=True)]
        answers.append(Answer([], page))
        if isinstance(page, Reason) or not page.is_full:
            return answers
        seen |= page.devices.keys()
    return [*answers, Answer([], None, is_truncated=True)]


def _assemble(targets: Sequence[Target], answers: Sequence[Answer], asker: Asker) -> RoundResult:
    """Match what was answered with what was asked for."""
    errors: Counter[str] = Counter()
    seen: dict[int, Observation] = {}
    refused: dict[int, Reason] = {}
    for answer in answers:
        if isinstance(answer.page, Page):
            errors += answer.page.errors
            for number, observation in answer.page.devices.items():
                _remember(seen, number, observation)
        elif answer.page is not None:
            errors[answer.page] += 1
            refused |= dict.fromkeys(answer.wanted, answer.page)
    observations = [_observe(target, seen, refused) for target in targets]
    own = (Reason.NO_DATA, Reason.UNKNOWN_STATUS, Reason.BAD_ID)
    errors.update(str(one.reason) for one in observations if one.reason in own)
    asked_for = {_id_of(target.external_id) for target in targets}
    return round_result(
        observations,
        asker=asker,
        found=[
            Target(one.external_id, str(one.facts.get("name", "")))
            for number, one in sorted(seen.items())
            if number not in asked_for
        ],
        errors=errors,
        understood=not answers or any(isinstance(answer.page, Page) for answer in answers),
        complete=not any(isinstance(answer.page, Reason) for answer in answers),
        is_truncated=any(answer.is_truncated for answer in answers),
    )


def _remember(seen: dict[int, Observation], number: int, observation: Observation) -> None:
    """Keep one observation per id; two that contradict each other within a round prove nothing."""
    earlier = seen.setdefault(number, observation)
    if earlier.status is not observation.status:
        seen[number] = Observation(observation.external_id, Status.UNKNOWN, reason=Reason.UNKNOWN_STATUS)


def _observe(target: Target, seen: dict[int, Observation], refused: dict[int, Reason]) -> Observation:
    """The observation of one target; what the CMS left out is unknown, not offline."""
    number = _id_of(target.external_id)
    if number is None:
        return Observation(target.external_id, Status.UNKNOWN, reason=Reason.BAD_ID)
    if number in seen:
        one = seen[number]
        return Observation(target.external_id, one.status, one.facts, one.reason)
    return Observation(target.external_id, Status.UNKNOWN, reason=refused.get(number, Reason.NO_DATA))


def parse_devices(body: bytes) -> Page:
    """Read one answer. A row that cannot be read spoils only itself; ``ParseError`` when there is no list."""
    answer = read_json(body)
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise ParseError(Reason.WRONG_SHAPE)
    devices: dict[int, Observation] = {}
    errors: Counter[str] = Counter()
    for row in rows:
        if not isinstance(row, dict):
            errors[Reason.WRONG_SHAPE] += 1
            continue
        number = row.get("id")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MAX_ID:
            errors[Reason.BAD_ID] += 1
            continue
        _remember(devices, number, _parse_device(number, row))
    return Page(devices, errors, is_full=len(rows) >= PAGE)


def _parse_device(number: int, row: dict[str, object]) -> Observation:
    """One row of the list whose id is sound."""
    facts: dict[str, Fact] = {key: text for key in TEXT_FACTS if (text := clean_text(row.get(key)))}
    if isinstance(active := row.get("activation_state"), bool):
        facts["activation_state"] = "true" if active else "false"
    elif text := clean_text(active):
        facts["activation_state"] = text
    if isinstance(playing := row.get("player_status"), str):
        facts["player_status"] = int(playing == "playback")
    if (seen_at := parse_time(row.get("last_online"))) is not None:
        facts["last_online_at"] = seen_at
    match row.get("connection_state"):
        case "online":
            return Observation(str(number), Status.ONLINE, facts)
        case "offline":
            return Observation(str(number), Status.OFFLINE, facts)
        case _:
            return Observation(str(number), Status.UNKNOWN, facts, Reason.UNKNOWN_STATUS)


def parse_time(value: object) -> datetime | None:
    """ISO-8601 with a zone as aware UTC; None for anything else, a time without a zone included."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EARLIEST else None


def _id_of(text: str) -> int | None:
    """The number that an external id spells, None when it spells none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    number = int(text)
    return number if 0 < number <= MAX_ID else None
