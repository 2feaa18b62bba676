"""Asking a CMS politely, and reading what it says without believing any of it.

Shared by the pollers: one round's time budget, the table from failures to reasons, JSON that cannot
crash the reader, and texts that every database and every exposition can hold.
"""

import asyncio
import json
import re
import time
from array import array
from asyncio import TaskGroup
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from exporters.errors import UPSTREAM_REASONS, AskError, BadSettings, ParseError, Reason
from exporters.ports import Observation, PollSettings, RoundResult, Target
from remosa.lib.http import Door, HttpFailure, Response

Item = TypeVar("Item")
Answer = TypeVar("Answer")

PATIENCE = 20  # failures in a row that end a round's asking, at the least
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
        return _decoder.decode(body.decode(json.detect_encoding(body), "surrogatepass"))  # as json.loads does
    except RecursionError:
        raise ParseError(Reason.WRONG_SHAPE) from None
    except ValueError:  # JSON, UTF-8 and numbers of thousands of digits alike
        raise ParseError(Reason.NOT_JSON) from None


def _refuse_constant(word: str) -> object:
    raise ValueError(word)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


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
    """Puts the questions of one round: within its time and rate, through the door, and not to a CMS that
    asked for a rest (429) or that has failed ``PATIENCE`` times without an answer in between."""

    def __init__(self, door: Door, settings: PollSettings, *, max_bytes: int) -> None:
        self._door = door
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._max_bytes = max_bytes
        self._started = time.monotonic()
        self._next_turn = self._started
        self._gave_up: Reason | None = None
        self._failures = 0
        self._patience = 1 if settings.is_cautious else max(PATIENCE, 2 * settings.concurrency)
        self._took_s = array("d")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the round began."""
        return time.monotonic() - self._started

    @property
    def latency_s(self) -> float | None:
        """The median time of the answers, None without any."""
        return median(self._took_s) if self._took_s else None

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
        await self._take_turn()
        started = time.monotonic()
        self._trace(request=f"{method} {self._base_url}{path}")
        try:
            response = await self._request(method, path, params, headers, body)
        except HttpFailure as exc:
            self._trace(answer=exc.reason)
            raise self._failed(FAILURE_REASONS[exc.reason]) from exc
        self._took_s.append(time.monotonic() - started)
        self._trace(answer=f"HTTP {response.status}", body=response.body)
        if reason := reason_of_status(response.status):
            raise self._failed(reason)
        self._failures, self._patience = 0, max(PATIENCE, 2 * self._settings.concurrency)
        return response.body

    def _failed(self, reason: Reason) -> AskError:
        """Count a question without an answer; enough of them end the asking."""
        self._failures += 1
        if reason is Reason.HTTP_429 or self._failures >= self._patience:
            self._gave_up = reason
        return AskError(reason)

    def _trace(self, **what: Any) -> None:
        if self._settings.trace is not None:
            for name, value in what.items():
                setattr(self._settings.trace, name, value)

    async def _take_turn(self) -> None:
        """Wait until the rate allows another request; ``AskError`` when the round would be over by then."""
        self._left_s()
        if self._settings.rate_per_s <= 0:
            return
        turn = max(time.monotonic(), self._next_turn)
        self._next_turn = turn + 1 / self._settings.rate_per_s
        if turn - self._started >= self._settings.round_timeout_s:
            raise AskError(Reason.TIMEOUT)
        await asyncio.sleep(turn - time.monotonic())

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
        for is_last in (False, True):
            try:
                return await self._door.request(
                    method,
                    self._base_url + path,
                    params=params,
                    headers={"Accept": "application/json", **(headers or {})},
                    json=body,
                    deadline_s=min(self._settings.timeout_s, self._left_s()),
                    max_bytes=self._max_bytes,
                )
            except HttpFailure as exc:
                if is_last or exc.reason != "reset":
                    raise
        raise AssertionError("the second try returns or raises")

    def _left_s(self) -> float:
        """Seconds that are left for a request; ``AskError`` when the round must not ask any more."""
        if self._gave_up is not None:
            raise AskError(self._gave_up)
        left_s = self._settings.round_timeout_s - self.elapsed_s
        if left_s <= 0:
            raise AskError(Reason.TIMEOUT)
        return left_s


async def each(
    items: Sequence[Item], work: Callable[[Item], Awaitable[Answer]], settings: PollSettings
) -> list[Answer]:
    """Await ``work`` for every item, ``settings.concurrency`` together; the answers in the order of the items.

    A cautious round asks the first question alone, so that a CMS that is still down gets no others.
    """
    answers: list[Any] = [None] * len(items)
    queue = iter(enumerate(items))
    settings.progress.done, settings.progress.total = 0, len(items)

    async def worker(most: int) -> None:
        for index, item in islice(queue, most):
            answers[index] = await work(item)
            settings.progress.done += 1

    if settings.is_cautious:
        await worker(1)
    async with TaskGroup() as group:
        for _ in range(min(settings.concurrency, len(items))):
            group.create_task(worker(len(items)))
    return answers


def round_result(
    observations: Sequence[Observation],
    *,
    asker: Asker,
    errors: Counter[str],
    understood: bool,
    complete: bool,
    found: Sequence[Target] = (),
    is_truncated: bool = False,
) -> RoundResult:
    """Put a round together; ``understood``: at least one answer made sense, or nothing had to be asked."""
    blame = Counter({reason: n for reason, n in errors.items() if reason in UPSTREAM_REASONS})
    return RoundResult(
        observations=tuple(observations),
        found=tuple(found),
        errors=errors,
        upstream_ok=understood,
        upstream_reason="" if understood else Reason(blame.most_common(1)[0][0]),
        complete=complete and not is_truncated,
        duration_s=asker.elapsed_s,
        is_truncated=is_truncated,
        latency_s=asker.latency_s,
    )
