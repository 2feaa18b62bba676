"""Many rows in one request: each for itself, with a line of its own."""

import pytest

from devices.models import Device, Site
from platforms.models import AuditEvent, Platform, User
from tests.api.conftest import Call
from tests.factories import make_device, make_site

pytestmark = pytest.mark.django_db
SITES, DEVICES = "/api/v1/sites/bulk/", "/api/v1/devices/bulk/"


def test_rows_that_are_refused_do_not_hold_up_the_others(api: Call, north: Platform, alice: User) -> None:
    rows = [
        {"platform": north.pk, "name": "Hall A"},
        {"platform": north.pk, "name": ""},
        "Hall B",
        {"platform": north.pk, "name": "Hall C"},
    ]

    answer = api(alice).post(SITES, {"rows": rows})

    assert answer.status_code == 207
    assert (answer.data["done"], answer.data["refused"]) == (2, 2)
    assert [line["status"] for line in answer.data["results"]] == [201, 400, 400, 201]
    assert [line["row"] for line in answer.data["results"]] == [0, 1, 2, 3]
    assert list(answer.data["results"][1]["error"]["fields"]) == ["name"]
    assert {site.name: site.pk for site in Site.objects.all()} == {
        "Hall A": answer.data["results"][0]["id"], "Hall C": answer.data["results"][3]["id"],
    }  # fmt: skip
    assert AuditEvent.objects.filter(verb="site.created").count() == 2


def test_a_full_success_is_a_201(api: Call, north: Platform, alice: User) -> None:
    rows = [{"platform": north.pk, "kind": "player", "name": f"P{number}"} for number in range(3)]

    assert api(alice).post(DEVICES, {"rows": rows}).status_code == 201


def test_the_limit_of_devices_holds_for_each_row(api: Call, north: Platform, alice: User) -> None:
    Platform.objects.filter(pk=north.pk).update(device_limit=2)
    rows = [{"platform": north.pk, "kind": "player", "name": f"P{number}"} for number in range(4)]

    answer = api(alice).post(DEVICES, {"rows": rows})

    assert [line["status"] for line in answer.data["results"]] == [201, 201, 429, 429]
    assert Device.objects.count() == 2


def test_rows_are_changed_and_deleted_by_number(api: Call, north: Platform, alice: User) -> None:
    first, second, third = (make_site(north) for _ in range(3))

    changed = api(alice).patch(SITES, {"rows": [{"id": first.pk, "name": "New"}, {"name": "No number"}]})
    gone = api(alice).delete(SITES, {"rows": [{"id": second.pk}, {"id": third.pk}]})

    assert [line["status"] for line in changed.data["results"]] == [200, 400]
    assert gone.status_code == 200
    assert [(site.pk, site.name) for site in Site.objects.all()] == [(first.pk, "New")]


def test_rows_of_others_are_not_there_and_may_not_be_named(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    foreign = make_site(south)
    missing = foreign.pk + 1000
    before = list(Site.objects.values())

    changed = api(alice).patch(
        SITES, {"rows": [{"id": foreign.pk, "name": "x"}, {"id": missing, "name": "x"}]}
    )
    gone = api(alice).delete(SITES, {"rows": [{"id": foreign.pk}, {"id": missing}]})
    made = api(alice).post(SITES, {"rows": [{"platform": south.pk, "name": "x"}]})
    linked = api(alice).post(
        DEVICES, {"rows": [{"platform": north.pk, "kind": "player", "name": "P", "site": foreign.pk}]}
    )

    for answer in (changed, gone):
        errors = [line["error"] for line in answer.data["results"]]
        assert errors[0] == errors[1], "a foreign row looks like a missing one"
        assert errors[0]["code"] == "not_found"
    assert [line["status"] for line in made.data["results"]] == [400]
    assert [line["status"] for line in linked.data["results"]] == [400]
    assert list(Site.objects.values()) == before


def test_who_only_looks_changes_nothing(api: Call, north: Platform, bob: User) -> None:
    site, device = make_site(north), make_device(north)

    made = api(bob).post(SITES, {"rows": [{"platform": north.pk, "name": "x"}]})
    gone = api(bob).delete(SITES, {"rows": [{"id": site.pk}]})
    retired = api(bob).delete(DEVICES, {"rows": [{"id": device.pk}]})

    for answer in (made, gone, retired):
        assert answer.status_code == 403 or {line["status"] for line in answer.data["results"]} == {403}
    assert Site.objects.filter(pk=site.pk).exists()
    assert Device.objects.get(pk=device.pk).is_active


@pytest.mark.parametrize("body", [{}, {"rows": []}, {"rows": {}}, [], {"rows": [{}] * 501}])
def test_a_body_without_rows_says_what_to_send(api: Call, alice: User, body: object) -> None:
    answer = api(alice).post(SITES, body)

    assert answer.status_code == 400
    assert "500" in str(answer.data)
