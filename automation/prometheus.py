"""Ask Prometheus. An error is never an empty answer: it raises, and nobody decides on it.

Source: Prometheus HTTP API, ``POST /api/v1/query``; samples are ``[unix seconds, "value"]``.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
import promql_parser
from django.conf import settings
from django.utils.translation import gettext as _

from automation.errors import NoPrometheus, PrometheusUnavailable
from automation.models.prometheus import PrometheusConnection
from remosa.lib import http
from remosa.lib.clock import utcnow

NOTED_EVERY = timedelta(seconds=30)
QUERY_REFUSED = (400, 422)  # it was read, and cannot be evaluated
POINTS, FINEST_S = 60, 15  # of a range: so many points, and no closer
MAX_ANSWER = 64 * 1024 * 1024  # bytes: 100,000 series are 20 MB


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector; ``at`` is the time of the sample itself where it can be told."""

    labels: dict[str, str]
    value: float
    at: datetime


Row = TypeVar("Row")


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Run(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, Generic[Row]):
    resultType: str
    result: list[Row]


class _Answer(msgspec.Struct, Generic[Row]):
    status: str
    data: _Data[Row] | None = None
    error: str = ""
    warnings: list[str] = []


def connection() -> PrometheusConnection | None:
    """What the console says, else the environment's first value; None when there is none."""
    row = PrometheusConnection.objects.order_by("pk").first()
    if row is None and settings.PROMETHEUS_URL:
        return PrometheusConnection(url=settings.PROMETHEUS_URL)
    return row


def query_vector(promql: str, *, at: datetime) -> list[Sample]:
    """Evaluate ``promql`` at ``at``; [] is a true "nothing matches". PrometheusUnavailable otherwise.

    For a plain selector the samples carry the time of their scrape, so that the same scrape is never
    counted as two observations; for other expressions Prometheus does not tell, and ``at`` stands.
    """
    series = _instant(promql, at=at)
    scraped: dict[tuple[tuple[str, str], ...], float] = {}
    try:
        if isinstance(promql_parser.parse(promql), promql_parser.VectorSelector):
            scraped = {
                _key(row.metric): float(row.value[1]) for row in _instant(f"timestamp({promql}\n)", at=at)
            }
        return [
            Sample(
                labels=row.metric,
                value=float(row.value[1]),
                at=datetime.fromtimestamp(scraped.get(_key(row.metric), row.value[0]), tz=UTC),
            )
            for row in series
        ]
    except (ValueError, OverflowError, OSError) as exc:  # a number or a time that is none
        raise PrometheusUnavailable(f"Prometheus: not the expected answer: {exc}") from exc


@dataclass(frozen=True)
class Run:
    """One series over a time: its points, oldest first. ``expected`` says how many there could be."""

    labels: dict[str, str]
    points: list[tuple[datetime, float]]
    expected: int


def query_range(promql: str, *, span: timedelta, at: datetime) -> list[Run]:
    """Evaluate ``promql`` over the ``span`` before ``at``. PrometheusUnavailable as for an instant."""
    step_s = max(FINEST_S, round(span.total_seconds() / POINTS))
    start = at - span
    expected = int(span.total_seconds() // step_s) + 1
    asked = {"start": f"{start.timestamp():.3f}", "end": f"{at.timestamp():.3f}", "step": str(step_s)}
    runs: list[_Run] = _ask(promql, path="query_range", asked=asked, answer=_Answer[_Run], wanted="matrix")
    try:
        return [
            Run(
                row.metric,
                [(datetime.fromtimestamp(when, tz=UTC), float(value)) for when, value in row.values],
                expected,
            )
            for row in runs
        ]
    except (ValueError, OverflowError, OSError) as exc:  # a number or a time that is none
        raise PrometheusUnavailable(f"Prometheus: not the expected answer: {exc}") from exc


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


def _instant(promql: str, *, at: datetime) -> list[_Series]:
    asked = {"time": f"{at.timestamp():.3f}"}
    found: list[_Series] = _ask(promql, path="query", asked=asked, answer=_Answer[_Series], wanted="vector")
    return found


def _ask(promql: str, *, path: str, asked: dict[str, str], answer: Any, wanted: str) -> list[Any]:
    target = connection()
    if target is None:
        raise NoPrometheus(_("No Prometheus is connected. Ask the superadmin to set its address."))
    try:
        response = http.request(
            "POST",
            f"{target.url.rstrip('/')}/api/v1/{path}",
            data={"query": promql, **asked, "timeout": f"{target.timeout_s:g}s"},
            headers=_headers(target),
            deadline_s=target.timeout_s + 2,
            max_bytes=MAX_ANSWER,
        )
        series = _read(response, answer, wanted)
    except (http.HttpFailure, PrometheusUnavailable) as exc:
        trouble = (
            exc
            if isinstance(exc, PrometheusUnavailable)
            else PrometheusUnavailable(f"Prometheus: {exc.reason}")
        )
        _note(target, error="" if trouble.of_query else str(trouble)[:300])
        raise trouble from exc
    _note(target, error="")
    return series


def _note(target: PrometheusConnection, *, error: str) -> None:
    """Keep for the superadmin's page how it went; not more often than needed."""
    now = utcnow()
    is_news = error != target.last_error
    if target.pk and (
        is_news or (not error and (target.last_ok_at is None or now - target.last_ok_at > NOTED_EVERY))
    ):
        changed = {"last_error": error} | ({} if error else {"last_ok_at": now})
        PrometheusConnection.objects.filter(pk=target.pk).update(**changed)


def _headers(target: PrometheusConnection) -> dict[str, str]:
    if not target.secret:
        return {}
    if target.username:
        pair = base64.b64encode(f"{target.username}:{target.secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {"Authorization": f"Bearer {target.secret}"}


def _read(response: http.Response, form: Any, wanted: str) -> list[Any]:
    try:
        answer = msgspec.json.decode(response.body, type=form)
    except msgspec.MsgspecError as exc:
        raise PrometheusUnavailable(f"Prometheus: HTTP {response.status}, not the expected answer") from exc
    if response.status != 200 or answer.status != "success" or answer.data is None:
        of_query = response.status in QUERY_REFUSED
        raise PrometheusUnavailable(f"Prometheus: {answer.error[:200] or response.status}", of_query=of_query)
    if answer.warnings:
        raise PrometheusUnavailable(f"Prometheus: partial answer: {answer.warnings[0][:200]}")
    if answer.data.resultType != wanted:
        raise PrometheusUnavailable(
            f"Prometheus: the query returns a {answer.data.resultType}", of_query=True
        )
    found: list[Any] = answer.data.result
    return found
