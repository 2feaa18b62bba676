"""The audit as a download: what the list shows, for whoever may read it, with a line that says who took it."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from platforms import audit, audit_export, audit_seal
from platforms.models import AuditEvent, Platform, User
from remosa.lib.clock import utcnow
from tests.factories import NOW

Pages = Callable[[User], Client]
EXPORT = "/admin/platforms/auditevent/export/"


@pytest.fixture(autouse=True)
def lines(north: Platform, south: Platform, settings: Any, tmp_path: Any) -> None:
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    token = audit.current_request.set(audit.RequestFacts("request-77", "192.0.2.77"))
    try:
        for platform in (north, south):
            for verb in ("device.changed", "job.changed"):
                audit.record(
                    actor=audit.Actor("person", "1", "=cmd()"), verb=verb, platform=platform, target=platform,
                    after={"name": f"zq{platform}"}, reason=f"zq{platform}", at=NOW,
                )  # fmt: skip
    finally:
        audit.current_request.reset(token)


def text_of(answer: HttpResponseBase) -> str:
    assert answer.status_code == 200
    return b"".join(answer).decode()  # type: ignore[arg-type]


def csv_of(answer: HttpResponseBase) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(answer).removeprefix("\ufeff"), newline="")))


def test_the_three_forms_hold_the_same_lines(alice: User, browser_of: Pages) -> None:
    client = browser_of(alice)
    query = {"q": "zqnorth"}

    from_csv = csv_of(client.get(EXPORT, {**query, "as": "csv"}))
    from_json = json.loads(text_of(client.get(EXPORT, {**query, "as": "json"})))
    book = load_workbook(io.BytesIO(client.get(EXPORT, {**query, "as": "xlsx"}).content))

    assert len(from_csv) == len(from_json) == book.active.max_row - 1 == 2
    assert {line["what"] for line in from_csv} == {line["verb"] for line in from_json}
    assert {line["who"] for line in from_csv} == {"'=cmd()"}
    assert {line["address"] for line in from_json} == {"192.0.2.77"}


def test_the_export_follows_the_filters_of_the_list(root: User, browser_of: Pages) -> None:
    client = browser_of(root)

    found = json.loads(text_of(client.get(EXPORT, {"as": "json", "q": "job.changed"})))

    assert {line["verb"] for line in found} == {"job.changed"}
    assert len(found) == 2


def test_nobody_takes_lines_of_another_platform(
    alice: User, charlie: User, bob: User, browser_of: Pages
) -> None:
    for person, foreign in ((alice, "zqsouth"), (bob, "zqsouth"), (charlie, "zqnorth")):
        client = browser_of(person)
        for form in ("csv", "json"):
            assert foreign not in text_of(client.get(EXPORT, {"as": form}))
        book = load_workbook(io.BytesIO(client.get(EXPORT, {"as": "xlsx"}).content))
        assert foreign not in str(list(book.active.values))


def test_a_viewer_takes_no_addresses(bob: User, browser_of: Pages) -> None:
    assert "192.0.2.77" not in text_of(browser_of(bob).get(EXPORT, {"as": "json"}))


def test_who_took_it_stands_in_the_audit(north: Platform, alice: User, browser_of: Pages) -> None:
    text_of(browser_of(alice).get(EXPORT, {"as": "json"}))

    line = AuditEvent.objects.get(verb="audit.exported")
    assert (line.platform, line.actor_label, line.after["format"]) == (north, "alice", "json")
    assert line.after["lines"] == AuditEvent.objects.filter(platform=north).count() - 1


def test_a_stranger_and_a_user_take_nothing(northern: Any, uma: User, browser_of: Pages) -> None:
    assert Client().get(EXPORT).status_code == 302
    assert browser_of(uma).get(EXPORT).status_code == 403


@pytest.mark.parametrize("query", [{"as": "exe"}, {"as": "csv", "platform__name": "x"}, {"at__year": "x"}])
def test_what_is_no_export_leads_back_to_the_list(
    query: dict[str, str], alice: User, browser_of: Pages
) -> None:
    answer = browser_of(alice).get(EXPORT, query)

    assert answer.status_code in (302, 400)
    assert not AuditEvent.objects.filter(verb="audit.exported").exists()


def test_too_many_lines_for_a_workbook_are_said(
    alice: User, browser_of: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "MOST_IN_A_WORKBOOK", 1)

    answer = browser_of(alice).get(EXPORT, {"as": "xlsx"}, follow=True)

    assert "Narrow the list" in answer.content.decode()


def test_the_page_of_a_line_says_whether_it_is_whole(north: Platform, alice: User, browser_of: Pages) -> None:
    line = AuditEvent.objects.filter(platform=north, verb="job.changed").get()
    url = reverse("admin:platforms_auditevent_change", args=[line.pk])
    client = browser_of(alice)

    before = client.get(url).content.decode()
    audit_seal.seal_all(now=utcnow())
    after = client.get(url).content.decode()

    assert "waits for its seal" in before
    assert "sealed, number" in after


# --- the same through the API ------------------------------------------------------------------------


def test_the_api_exports_with_its_own_filters(north: Platform, alice: User, browser_of: Pages) -> None:
    client = browser_of(alice)
    url = "/api/v1/audit/export/"

    found = json.loads(text_of(client.get(url, {"as": "json", "verb": "job.changed"})))
    wrong = [
        client.get(url, query) for query in ({"as": "exe"}, {"platform__name": "x"}, {"ordering": "reason"})
    ]

    assert [line["verb"] for line in found] == ["job.changed"]
    assert [answer.status_code for answer in wrong] == [400, 400, 400]
    assert "zqsouth" not in text_of(client.get(url, {"as": "csv"}))


def test_the_list_can_be_searched_through_the_api(alice: User, browser_of: Pages) -> None:
    found = browser_of(alice).get("/api/v1/audit/", {"search": "request-77"}).json()

    assert found["count"] == 2
