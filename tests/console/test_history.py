"""The history of an object: what changed, in the words of its form."""

from typing import Any

import pytest
from django.utils import translation

from automation.states import Mode
from platforms import audit
from platforms.console.history import with_changes
from platforms.models import AuditEvent, Platform, User
from tests.factories import make_device, make_job, make_platform, make_site, make_user

pytestmark = pytest.mark.django_db
Changes = list[tuple[str, str, str]]


@pytest.fixture
def platform() -> Platform:
    return make_platform()


@pytest.fixture
def manager(platform: Platform) -> User:
    return make_user("manager", platform=platform, role="manager")


def shown(platform: Platform, by: User, before: dict[str, Any], after: dict[str, Any]) -> Changes:
    job = make_job(platform)
    audit.record(
        actor=audit.person(by), verb="job.changed", target=job, platform=platform, before=before, after=after
    )
    line = AuditEvent.objects.get(target_type="automation.job", target_id=str(job.pk))
    with translation.override("ru"):
        return with_changes(line, by).shown_changes


def test_columns_and_choices_are_words(platform: Platform, manager: User) -> None:
    before = {"mode": "auto", "is_enabled": True, "hold_s": 10.0}

    changes = shown(platform, manager, before, {"mode": "suggest", "is_enabled": False, "hold_s": 5.0})

    with translation.override("ru"):
        words = [str(Mode.AUTO.label), str(Mode.SUGGEST.label)]
    assert list(changes[0][1:]) == words
    assert list(changes[1][1:]) == ["да", "нет"]
    assert list(changes[2][1:]) == ["10 с", "5 с"]
    assert {name for name, _old, _new in changes}.isdisjoint(before)


def test_related_objects_are_named_and_those_of_others_are_not(platform: Platform, manager: User) -> None:
    ours, theirs = make_site(platform, "ours"), make_site(make_platform(), "theirs")
    device = make_device(platform, name="screen 7")

    changes = shown(
        platform, manager, {"site": theirs.pk, "devices": []}, {"site": ours.pk, "devices": [device.pk]}
    )

    assert changes[0][1:] == (str(theirs.pk), str(ours))
    assert changes[1][1:] == ("—", str(device))


def test_what_is_no_column_and_what_is_masked_is_shown_as_it_is(platform: Platform, manager: User) -> None:
    changes = shown(platform, manager, {"gone": {"a": 1}, "site": "********"}, {"gone": [1, 2], "site": None})

    assert changes[0] == ("gone", "{'a': 1}", "[1, 2]")
    assert changes[1][1:] == ("********", "—")
