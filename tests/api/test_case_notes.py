"""What people write into a case: it stands in the timeline, moves nothing, and is read by whoever sees the case."""

import pytest
from django.urls import reverse

from automation.models import Case
from platforms.models import AuditEvent, Platform, User
from tests.api.conftest import Call
from tests.console.world import make_case
from tests.factories import make_device, make_job, make_user

pytestmark = pytest.mark.django_db
TEXT = "Called the hall: the fuse is out, an electrician comes at 9."


@pytest.fixture
def case(north: Platform) -> Case:
    return make_case(make_device(north), make_job(north))


def note(api: Call, who: User, case: Case, text: str = TEXT) -> int:
    return api(who).post(f"/api/v1/cases/{case.pk}/note/", {"text": text}).status_code


def test_a_note_stands_in_the_timeline_with_its_author(api: Call, case: Case, alice: User) -> None:
    state = (case.state, case.state_changed_at)

    assert note(api, alice, case) == 200

    case.refresh_from_db()
    event = case.events.get(kind="note")
    line = AuditEvent.objects.get(verb="case.noted")
    assert (event.data, event.by) == ({"text": TEXT}, "alice")
    assert (line.after, line.cause_id) == ({"text": TEXT}, case.cause_id)
    assert (case.state, case.state_changed_at) == state
    page = api(alice).get(reverse("admin:automation_case_change", args=[case.pk])).content.decode()
    assert "the fuse is out" in page


def test_a_case_that_ended_takes_notes_too(api: Call, case: Case, alice: User) -> None:
    Case.objects.update(state="verified", closed_at=case.opened_at)

    answer = api(alice).post(
        reverse("admin:automation_case_note", args=[case.pk]), {"text": TEXT}, format="multipart"
    )

    assert answer.status_code == 302
    assert case.events.filter(kind="note").count() == 1


def test_who_only_looks_and_who_is_foreign_writes_nothing(
    api: Call, north: Platform, case: Case, bob: User, charlie: User
) -> None:
    uma = make_user("uma", platform=north, role="user")  # nobody shared the device with her

    assert [note(api, who, case) for who in (bob, charlie, uma)] == [403, 404, 404]
    assert not case.events.filter(kind="note").exists()


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001])
def test_an_empty_or_endless_note_is_refused(api: Call, case: Case, alice: User, text: str) -> None:
    assert note(api, alice, case, text) == 400
    assert not case.events.filter(kind="note").exists()
