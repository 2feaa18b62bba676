"""A filter that a person keeps is theirs alone, and filters nothing but what they may see."""

import pytest

from devices.models import SavedFilter
from devices.services.saved_filters import MOST, tidy
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.factories import make_device

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
LIST, FILTERS = "/admin/devices/device/", "/admin/devices/device/filters/"


def test_a_filter_is_kept_shown_and_forgotten_by_its_owner(
    north: Platform, alice: User, bob: User, browser_of
) -> None:
    page, other = browser_of(alice), browser_of(bob)

    kept = page.post(FILTERS, {"name": "Не на связи", "query": "p=3&state__exact=offline&q="})

    assert kept.headers["Location"] == f"{LIST}?state__exact=offline"
    row = SavedFilter.objects.get()
    assert (row.user, row.query) == (alice, "state__exact=offline")
    assert "Не на связи" in page.get(LIST).content.decode()
    assert "Не на связи" not in other.get(LIST).content.decode()
    other.post(FILTERS, {"forget": row.pk})
    assert SavedFilter.objects.exists()
    page.post(FILTERS, {"forget": row.pk})
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize(
    "body", [{"name": "", "query": "a=b"}, {"name": "x", "query": "p=2"}, {"forget": "x"}, {}]
)
def test_what_filters_nothing_is_not_kept(north: Platform, alice: User, browser_of, body: dict) -> None:
    assert browser_of(alice).post(FILTERS, body).status_code == 302
    assert browser_of(alice).get(FILTERS).status_code == 405
    assert not SavedFilter.objects.exists()


def test_a_person_keeps_a_number_of_filters_that_fits_on_the_page(
    north: Platform, alice: User, browser_of
) -> None:
    SavedFilter.objects.bulk_create(
        SavedFilter(user=alice, name=str(n), query="a=b", created_at=utcnow()) for n in range(MOST)
    )

    browser_of(alice).post(FILTERS, {"name": "one more", "query": "state__exact=offline"})

    assert SavedFilter.objects.count() == MOST


def test_a_label_is_searched_for_by_its_name_and_value(
    north: Platform, south: Platform, alice: User, browser_of
) -> None:
    for name, labels in (("first", {"hall": "A"}), ("second", {"hall": "B"}), ("third", {"hall__x": "A"})):
        make_device(north, name=name, labels=labels)
    make_device(south, name="foreign", labels={"hall": "A"})

    def found(term: str) -> list[str]:
        return [row.name for row in browser_of(alice).get(LIST, {"q": term}).context["cl"].result_list]

    assert found("hall=A") == ["first"]
    assert found("hall = B") == ["second"]
    assert found("hall__x=A") == ["third"]
    assert found("hall=") == []
    assert found("'; --=x") == []


def test_an_address_has_one_form() -> None:
    assert tidy("q=&p=2&b=2&a=1") == "a=1&b=2"
