"""Asking a CMS politely, and reading what it says without believing any of it.

Shared by the pollers: one round's time budget, the table from failures to reasons, JSON that cannot
crash the reader, and texts that every database and every exposition can hold.
"""

import json
import re
import time
from asyncio import TaskGroup
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from exporters.errors import UPSTREAM_REASONS, AskError, BadSettings, ParseError, Reason
from exporters.ports import Observation, PollSettings, RoundResult, Target
from remosa.lib.http import Door, HttpFailure, Response

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_TEXT = 200  # characters of a name or a version that are kept
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff]")
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\?#]")
_HEADER_TEXT = re.compile(r"[\x21-\x7e]*")

FAILURE_REASONS = {  # the door's words -> ours
    "dns": Reason.DNS,
    "refused": Reason.REFUSED,
    "connect_timeout": Reason.TIMEOUT,
    "tls": Reason.TLS,
    "egress": Reason.EGRESS,
    "bad_url": Reason.REFUSED,  # check_settings says it better, and before
    "deadline": Reason.TIMEOUT,
    "reset": Reason.RESET,
    "truncated": Reason.TRUNCATED,
    "too_large": Reason.TOO_LARGE,
    "protocol": Reason.WRONG_SHAPE,  # something answers, and it does not speak HTTP
}
STATUS_REASONS = {
    401: Reason.HTTP_401,
    403: Reason.HTTP_403,
    404: Reason.HTTP_404,
    429: Reason.HTTP_429,
}


def reason_of_status(status: int) -> Reason | None:
    """The reason for an HTTP status, None for a success."""
    if 200 <= status < 300:
        return None
    if status in STATUS_REASONS:
        return STATUS_REASONS[status]
    if 300 <= status < 400:
        return Reason.REDIRECT
    return Reason.HTTP_4XX if 400 <= status < 500 else Reason.HTTP_5XX


def read_json(body: bytes) -> object:
    """Decode JSON of any depth and content; ``ParseError`` (not_json, wrong_shape), nothing else."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise ParseError(Reason.WRONG_SHAPE) from None
    except ValueError:  # JSON, UTF-8 and numbers of thousands of digits alike
        raise ParseError(Reason.NOT_JSON) from None


def _refuse_constant(word: str) -> object:
    raise ValueError(word)


def clean_text(value: object) -> str:
    """A text or a number of the CMS as one short line; "" for everything else.

    Control characters and halves of surrogate pairs go: PostgreSQL refuses the one, UTF-8 the
    other, and a CMS that cuts a name in the middle of an emoji sends such halves.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = value if isinstance(value, str) else str(value)[:MAX_TEXT]
    return _UNFIT.sub(" ", text[: 4 * MAX_TEXT]).strip()[:MAX_TEXT]


def check_settings(settings: PollSettings, *, needs_secret: bool) -> None:
    """Raise ``BadSettings`` for settings that no request can be made of."""
    try:
        parts = urlsplit(settings.base_url)
        port = parts.port
    except ValueError as exc:
        raise BadSettings(_("The address of the CMS is not a valid URL.")) from exc
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise BadSettings(_("The address of the CMS must begin with http:// or https:// and name a host."))
    if _NOT_IN_URLS.search(settings.base_url) or "@" in parts.netloc:
        raise BadSettings(
            _("The address of the CMS must not have spaces, a password, “?” or “#”; leave only the address.")
        )
    if needs_secret and not settings.secret:
        raise BadSettings(_("This kind of exporter needs an API token; enter it in the exporter's settings."))
    if not _HEADER_TEXT.fullmatch(settings.secret):
        raise BadSettings(_("The API token has spaces, line breaks or non-Latin characters; paste it again."))
    if settings.timeout_s <= 0 or settings.round_timeout_s <= 0 or settings.concurrency < 1:
        raise BadSettings(_("The timeout must be above 0 s and the number of parallel requests at least 1."))


class Asker:
    """Puts the questions of one round: within its time, through the door, and not after a 429."""

    def __init__(self, door: Door, settings: PollSettings, *, max_bytes: int) -> None:
        self._door = door
        self._settings = settings
        self._max_bytes = max_bytes
        self._started = time.monotonic()
        self._told_to_wait = False

    @property
    def elapsed_s(self) -> float:
        """Seconds since the round began."""
        return time.monotonic() - self._started

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> bytes:
        """One request to ``base_url + path``; the body of a success, or ``AskError``."""
        try:
            response = await self._request(method, path, params, headers, body)
        except HttpFailure as exc:
            raise AskError(FAILURE_REASONS[exc.reason]) from exc
        if reason := reason_of_status(response.status):
            self._told_to_wait = self._told_to_wait or reason is Reason.HTTP_429
            raise AskError(reason)
        return response.body

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: object,
    ) -> Response:
        """Through the door; a reset is tried once more, as the CMS may just have closed a kept
        connection, and our questions only read."""

        async def once() -> Response:
            return await self._door.request(
                method,
                self._settings.base_url.rstrip("/") + path,
                params=params,
                headers={"Accept": "application/json", **(headers or {})},
                json=body,
                deadline_s=min(self._settings.timeout_s, self._left_s()),
                max_bytes=self._max_bytes,
            )

        try:
            return await once()
        except HttpFailure as exc:
            if exc.reason != "reset":
                raise
        return await once()

    def _left_s(self) -> float:
        """Seconds that are left for a request; ``AskError`` when the round must not ask any more."""
        if self._told_to_wait:
            raise AskError(Reason.HTTP_429)
        left_s = self._settings.round_timeout_s - self.elapsed_s
        if left_s <= 0:
            raise AskError(Reason.TIMEOUT)
        return left_s


async def each(
    items: Sequence[Item], work: Callable[[Item], Awaitable[Answer]], *, at_once: int
) -> list[Answer]:
    """Await ``work`` for every item, at most ``at_once`` together; the answers in the order of the items."""
    answers: dict[int, Answer] = {}
    queue = iter(enumerate(items))

    async def worker() -> None:
        for index, item in queue:
            answers[index] = await work(item)

    async with TaskGroup() as group:
        for _ in range(min(at_once, len(items))):
            group.create_task(worker())
    return [answers[index] for index in range(len(items))]


def round_result(
    observations: Sequence[Observation],
    *,
    errors: Counter[str],
    understood: bool,
    complete: bool,
    duration_s: float,
    found: Sequence[Target] = (),
) -> RoundResult:
    """Put a round together; ``understood``: at least one answer made sense, or nothing had to be asked."""
    blame = Counter({reason: n for reason, n in errors.items() if reason in UPSTREAM_REASONS})
    return RoundResult(
        observations=tuple(observations),
        found=tuple(found),
        errors=errors,
        upstream_ok=understood,
        upstream_reason="" if understood else Reason(blame.most_common(1)[0][0]),
        complete=complete,
        duration_s=duration_s,
    )
