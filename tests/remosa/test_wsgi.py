"""The entry point of the web process: complete answers as a list, streams as streams, and every request ended."""

from typing import Any

import pytest
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from remosa import wsgi

pytestmark = pytest.mark.django_db  # the end of a request looks after the connections that there are


@pytest.fixture
def finished() -> Any:
    seen: list[Any] = []

    def note(**_: Any) -> None:
        seen.append(1)

    request_finished.connect(note)
    yield seen
    request_finished.disconnect(note)


def served(monkeypatch: pytest.MonkeyPatch, response: Any) -> Any:
    monkeypatch.setattr(wsgi, "django_application", lambda environ, start_response: response)
    return wsgi.application(RequestFactory().get("/").environ, lambda *_: None)


def test_a_complete_answer_is_a_list_and_its_request_is_over(
    monkeypatch: pytest.MonkeyPatch, finished: list[int]
) -> None:
    body = b"metrics"

    answer = served(monkeypatch, HttpResponse(body))

    assert answer == [body]
    assert answer[0] is body  # a body of megabytes is not copied on its way
    assert len(finished) == 1


def test_a_stream_stays_a_stream_and_its_request_goes_on(
    monkeypatch: pytest.MonkeyPatch, finished: list[int]
) -> None:
    stream = StreamingHttpResponse(iter([b"a", b"b"]))

    answer = served(monkeypatch, stream)

    assert (answer, list(answer), finished) == (stream, [b"a", b"b"], [])
