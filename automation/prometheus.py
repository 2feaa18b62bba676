"""Ask Prometheus. An error is never an empty answer: it raises, and nobody decides on it.

Source: Prometheus HTTP API, ``POST /api/v1/query``; samples are ``[unix seconds, "value"]``.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import promql_parser
from django.conf import settings
from django.utils.translation import gettext as _

from automation.errors import PrometheusUnavailable
from automation.models.prometheus import PrometheusConnection
from remosa.lib import http
from remosa.lib.clock import utcnow

NOTED_EVERY = timedelta(seconds=30)
MAX_ANSWER = 64 * 1024 * 1024  # bytes: 100,000 series are 20 MB


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector; ``at`` is the time of the sample itself where it can be told."""

    labels: dict[str, str]
    value: float
    at: datetime


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    resultType: str
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
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
    series = _ask(promql, at=at)
    scraped: dict[tuple[tuple[str, str], ...], float] = {}
    try:
        if isinstance(promql_parser.parse(promql), promql_parser.VectorSelector):
            scraped = {_key(row.metric): float(row.value[1]) for row in _ask(f"timestamp({promql}\n)", at=at)}
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


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


def _ask(promql: str, *, at: datetime) -> list[_Series]:
    target = connection()
    if target is None:
        raise PrometheusUnavailable(_("No Prometheus is connected. Ask the superadmin to set its address."))
    try:
        response = http.request(
            "POST",
            target.url.rstrip("/") + "/api/v1/query",
            data={"query": promql, "time": f"{at.timestamp():.3f}", "timeout": f"{target.timeout_s:g}s"},
            headers=_headers(target),
            deadline_s=target.timeout_s + 2,
            max_bytes=MAX_ANSWER,
        )
        series = _read(response)
    except (http.HttpFailure, PrometheusUnavailable) as exc:
        trouble = (
            exc
            if isinstance(exc, PrometheusUnavailable)
            else PrometheusUnavailable(f"Prometheus: {exc.reason}")
        )
        _note(target, error=str(trouble)[:300])
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


def _read(response: http.Response) -> list[_Series]:
    try:
        answer = msgspec.json.decode(response.body, type=_Answer)
    except msgspec.MsgspecError as exc:
        raise PrometheusUnavailable(f"Prometheus: HTTP {response.status}, not the expected answer") from exc
    if response.status != 200 or answer.status != "success" or answer.data is None:
        raise PrometheusUnavailable(f"Prometheus: {answer.error[:200] or response.status}")
    if answer.warnings:
        raise PrometheusUnavailable(f"Prometheus: partial answer: {answer.warnings[0][:200]}")
    if answer.data.resultType != "vector":
        raise PrometheusUnavailable(f"Prometheus: the query returns a {answer.data.resultType}")
    return answer.data.result
