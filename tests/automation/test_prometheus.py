"""Asking Prometheus: an error is never an empty answer, and an empty answer is never an error."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import promql_parser
import pytest

from automation.errors import PrometheusUnavailable
from automation.models import PrometheusConnection
from automation.prometheus import query_vector
from tests.automation.prometheus import FakePrometheus, vector
from tests.factories import NOW

pytestmark = pytest.mark.django_db
AT = NOW.timestamp()
QUERY = 'up{platform_id="7"}'


@pytest.fixture
def fake(settings: Any) -> Iterator[FakePrometheus]:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    with FakePrometheus() as server:
        settings.PROMETHEUS_URL = server.url + "/"
        yield server


def test_a_vector_is_read_with_labels_values_and_the_time_of_the_scrape(fake: FakePrometheus) -> None:
    fake.answer = vector(
        ({"__name__": "up", "mac": "aa", "name": "Плеер"}, AT, "0"), ({"mac": "bb"}, AT, "1")
    )
    fake.timestamps = vector(
        ({"mac": "aa", "name": "Плеер"}, AT, str(AT - 30)), ({"mac": "bb"}, AT, str(AT - 7))
    )

    samples = query_vector(QUERY, at=NOW)

    assert [(sample.labels["mac"], sample.value) for sample in samples] == [("aa", 0.0), ("bb", 1.0)]
    assert samples[0].labels["name"] == "Плеер"
    assert [sample.at for sample in samples] == [datetime.fromtimestamp(AT - s, tz=UTC) for s in (30, 7)]
    assert fake.asked[0] == {"path": "/api/v1/query", "query": QUERY, "time": f"{AT:.3f}", "timeout": "10s"}


def test_an_expression_has_no_scrape_of_its_own(fake: FakePrometheus) -> None:
    fake.answer = vector(({"mac": "aa"}, AT, "2"))

    samples = query_vector(f"sum by (mac) ({QUERY})", at=NOW)

    assert [sample.at for sample in samples] == [NOW]
    assert len(fake.asked) == 1


def test_a_comment_at_the_end_of_the_query_swallows_nothing(fake: FakePrometheus) -> None:
    query_vector(QUERY + " # who is up", at=NOW)

    asked = [form["query"] for form in fake.asked]
    assert len(asked) == 2
    assert isinstance(promql_parser.parse(asked[1]), promql_parser.Call)


def test_nothing_found_is_an_answer(fake: FakePrometheus) -> None:
    assert query_vector(QUERY, at=NOW) == []


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e300", "-0"])
def test_every_number_of_prometheus_is_read(fake: FakePrometheus, value: str) -> None:
    fake.answer = vector(({"mac": "aa"}, AT, value))

    read = query_vector(QUERY, at=NOW)[0].value

    assert math.isnan(read) if value == "NaN" else read == float(value)


BAD = [
    (500, b"oops"), (502, b"<html>Bad gateway</html>"), (404, b"not found"),
    (503, {"status": "error", "error": "starting"}),
    (400, {"status": "error", "errorType": "bad_data", "error": "parse error"}),
    (422, {"status": "error", "errorType": "execution", "error": "query timed out"}),
    (200, b""), (200, b"<html>login</html>"), (200, b"{"), (200, b"[]"), (200, b"null"), (200, {"status": "success"}),
    (200, {"status": "error", "error": "no"}), (200, {"status": "success", "data": {"resultType": "vector"}}),
    (200, {"status": "success", "data": {"resultType": "scalar", "result": []}}),
    (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}),
    (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}),
    (200, {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}),
    (200, {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"a": 1}, "value": [1, "2"]}]}}),
    (200, vector(({"mac": "aa"}, AT, "0"), warnings=["a store did not answer"])),
    (200, vector(({"mac": "aa"}, AT, "no number"))),
    (200, vector(({"mac": "aa"}, 1e30, "0"))),
    (302, b""), (200, b"\x1f\x8b\x08\x00rubbish"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "answer"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_whatever_is_no_answer_raises_and_only_that(fake: FakePrometheus, status: int, answer: Any) -> None:
    fake.status, fake.answer = status, answer

    with pytest.raises(PrometheusUnavailable) as trouble:
        query_vector(QUERY, at=NOW)

    assert str(trouble.value)


def test_nobody_at_home_raises(settings: Any) -> None:
    settings.EGRESS_ALLOW = ["127.0.0.0/8"]
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"

    with pytest.raises(PrometheusUnavailable):
        query_vector(QUERY, at=NOW)


def test_an_address_that_may_not_be_reached_is_not_reached(fake: FakePrometheus, settings: Any) -> None:
    settings.EGRESS_ALLOW = []

    with pytest.raises(PrometheusUnavailable):
        query_vector(QUERY, at=NOW)

    assert fake.asked == []


def test_without_a_connection_it_says_whom_to_ask(settings: Any) -> None:
    settings.PROMETHEUS_URL = ""

    with pytest.raises(PrometheusUnavailable, match=r"superadmin|суперадмин"):
        query_vector(QUERY, at=NOW)


@pytest.mark.parametrize(
    ("username", "expected"), [("", "Bearer s3cret"), ("prom", "Basic cHJvbTpzM2NyZXQ=")]
)
def test_the_console_s_connection_goes_before_the_environment_s(
    fake: FakePrometheus, settings: Any, username: str, expected: str
) -> None:
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"
    PrometheusConnection.objects.create(url=fake.url, username=username, secret="s3cret", timeout_s=3)

    query_vector(QUERY, at=NOW)

    assert fake.headers[0]["Authorization"] == expected
    assert fake.asked[0]["timeout"] == "3s"
    assert "s3cret" not in str(fake.asked)
