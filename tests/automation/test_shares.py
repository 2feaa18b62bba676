"""The answer to "why?", and the link by which anybody reads it: masked, for a week, taken back at will."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from automation.answers import answer
from automation.models import Case, GuardRefusal
from automation.services import shares
from automation.services.cases import add_note, cancel_case
from platforms.models import AuditEvent, Platform, User
from remosa.lib.clock import utcnow
from tests.automation.world import World, told
from tests.factories import NOW, make_device, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def calm() -> None:
    cache.clear()


@pytest.fixture
def case(north: Platform) -> Case:
    player = make_device(north, name="Entrance +79001234567")
    return Case.objects.create(
        platform=north, subject=f"device:{player.pk}", title=player.name, device=player, opened_at=NOW,
        state_changed_at=NOW, down_since=NOW, mode="auto",
        evidence={"source": "snapshot", "hold_s": 600, "samples": 3},
    )  # fmt: skip


def path_of(case: Case, *, by: User) -> str:
    link = shares.link_of(shares.share(case, by=by, now=utcnow()))
    return "/" + link.split("/", 3)[3]


def signed_in(person: User) -> Client:
    User.objects.filter(pk=person.pk).update(language="en")
    client = Client(headers={"accept-language": "en"})
    client.force_login(
        User.objects.get(pk=person.pk), backend="platforms.authentication.UsernameOrEmailBackend"
    )
    return client


def said(case: Case) -> list[str]:
    return answer(shares.told_of(case), clock=lambda at: f"{at:%H:%M}")


def test_a_repaired_case_answers_from_its_evidence_to_its_proof() -> None:
    world = World()
    player = world.players[0]
    case = world.until_fired(player)
    fired_at = world.now
    world.after(0.2)
    world.recover(player)
    world.turns(10)

    sentences = said(Case.objects.get(pk=case.pk))

    assert "no connection to its CMS" in sentences[0]
    assert "10 min" in sentences[0]
    assert (
        sentences[1]
        == f"At {fired_at:%H:%M} REMOSA asked the socket to switch the power off and on, to restart it."
    )
    assert sentences[-1] == "The device came back after the power cycle and stayed."


def test_a_case_without_a_deed_says_which_objection_stood(case: Case) -> None:
    assert case.device is not None
    GuardRefusal.objects.create(
        platform=case.platform, case=case, device=case.device, guard="power", reason="no_mains",
        data={"socket": "Secret socket"}, first_at=NOW, last_at=NOW,
    )  # fmt: skip

    sentences = said(case)

    assert "the mains are lost" in sentences[1]
    assert "Secret" not in " ".join(sentences)


def test_anybody_with_the_link_reads_the_answer_and_no_names(case: Case, alice: User) -> None:
    add_note(case, by=alice, text="Call +79005554433", now=NOW)
    case.events.create(
        at=NOW, kind="acted", by="Alice Admin", data={"socket": "Secret socket", "text": "#12#0#"}
    )
    path = path_of(case, by=alice)

    shown = Client(headers={"accept-language": "en"}).get(path)

    text = shown.content.decode()
    assert shown.status_code == 200
    assert "a person asked the socket to switch the power off and on" in text
    for secret in (
        "9001234",
        "9005554433",
        "Alice Admin",
        str(alice),
        "Secret socket",
        "#12#0#",
        case.platform.name,
    ):
        assert secret not in text
    assert "noindex" in shown["X-Robots-Tag"]
    assert shown["Cache-Control"] == "no-store"
    assert shown["Referrer-Policy"] == "no-referrer"
    assert "sessionid" not in shown.cookies


def test_a_link_ends_by_its_time_by_a_person_and_with_its_platform(case: Case, alice: User) -> None:
    now = utcnow()
    row = shares.share(case, by=alice, now=now)
    key = shares.link_of(row).rstrip("/").rpartition("/")[2]

    assert shares.find(key, now=now) == case
    assert shares.find(key, now=now + shares.LIFE) is None
    Platform.objects.filter(pk=case.platform_id).update(is_active=False)
    assert shares.find(key, now=now) is None
    Platform.objects.filter(pk=case.platform_id).update(is_active=True)
    assert shares.end_share(case, by=alice, now=now)
    assert shares.find(key, now=now) is None
    assert not shares.end_share(case, by=alice, now=now)
    again = shares.share(case, by=alice, now=now)
    assert again.pk != row.pk
    assert shares.find(key, now=now) is None, "a new link does not revive the old one"
    assert told(case) == ["shared", "share_ended", "shared"]
    verbs = AuditEvent.objects.filter(target_id=str(case.pk)).values_list("verb", flat=True)
    assert sorted(verbs) == ["case.share_ended", "case.shared", "case.shared"]


def test_a_live_link_is_given_again(case: Case, alice: User) -> None:
    now = utcnow()

    assert shares.share(case, by=alice, now=now) == shares.share(case, by=alice, now=now + timedelta(days=1))


@pytest.mark.parametrize(
    "spoil", [lambda key: key[:-4] + "AAAA", lambda key: f"1{key}", lambda key: key.split(".")[0]]
)
def test_a_link_that_we_did_not_sign_leads_nowhere(
    case: Case, alice: User, spoil: Callable[[str], str]
) -> None:
    key = path_of(case, by=alice).rstrip("/").rpartition("/")[2]

    shown = Client(headers={"accept-language": "en"}).get(f"/shared/cases/{spoil(key)}/")

    assert shown.status_code == 404
    assert "This link is over" in shown.content.decode()


def test_shared_pages_have_a_rate_of_their_own(case: Case, alice: User, settings: Any) -> None:
    settings.RATES = {**settings.RATES, "shared": "2/day"}
    path, client = path_of(case, by=alice), Client()

    codes = [client.get(path).status_code for _turn in range(3)]

    assert codes == [200, 200, 429]


def test_api_notes_shares_and_takes_back(case: Case, alice: User, bob: User) -> None:
    def api(person: User, deed: str, **body: str) -> Any:
        return signed_in(person).post(f"{address}/{deed}/", body, content_type="application/json")

    address = f"/api/v1/cases/{case.pk}"

    noted = api(alice, "note", text="Called the guard.")
    link = api(alice, "share").json()
    opened = Client().get("/" + link["url"].split("/", 3)[3])
    ended = api(alice, "unshare")
    gone = Client().get("/" + link["url"].split("/", 3)[3])
    nothing = api(alice, "unshare")
    by_viewer = [api(bob, deed, text="x").status_code for deed in ("note", "share")]

    assert noted.json()["events"][-1]["data"] == {"text": "Called the guard."}
    assert "no connection to its CMS" in noted.json()["answer"][0]
    assert (opened.status_code, ended.status_code, gone.status_code) == (200, 200, 404)
    assert nothing.status_code == 409
    assert by_viewer == [403, 403]


def test_console_notes_shares_and_takes_back(case: Case, alice: User) -> None:
    browser, page = signed_in(alice), f"/admin/automation/case/{case.pk}/"

    browser.post(f"{page}note/", {"text": "Called the guard."})
    shown = browser.post(f"{page}share/").content.decode()
    asked = browser.get(f"{page}change/").content.decode()
    browser.post(f"{page}unshare/")

    assert "/shared/cases/" in shown
    assert "Called the guard." in asked
    assert "no connection to its CMS" in asked
    assert told(case) == ["note", "shared", "share_ended"]


def test_a_note_is_audited_and_may_follow_the_end(case: Case, alice: User) -> None:
    cancel_case(case, by=alice, reason="Secret reason", now=NOW)
    add_note(case, by=make_user("dora", platform=case.platform, role="user"), text="Cable.", now=NOW)

    assert told(case) == ["cancelled", "note"]
    assert AuditEvent.objects.get(verb="case.noted").after == {"text": "Cable."}
    assert said(Case.objects.get(pk=case.pk))[-1] == "The case was ended without proof."
