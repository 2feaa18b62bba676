"""The why-not journal through the API: who sees which lines, and that nobody reads of strange devices in them."""

from datetime import timedelta

import pytest

from automation.models import GuardRefusal
from devices.models import DeviceShare
from platforms.models import Platform, User
from remosa.lib.clock import utcnow
from tests.api.conftest import Call
from tests.console.world import make_case
from tests.factories import make_device, make_job, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def refusal(north: Platform) -> GuardRefusal:
    job, device, now = make_job(north), make_device(north), utcnow()
    case = make_case(device, job, state="open")
    return GuardRefusal.objects.create(
        platform=north, case=case, job=job, device=device, guard="power", reason="feeds_healthy_players",
        data={"players": ["Neighbour 7"]}, first_at=now, last_at=now, lifts_at=now + timedelta(hours=1), times=3,
    )  # fmt: skip


def test_a_line_says_which_guard_objected_to_what_and_when_that_lifts(
    api: Call, refusal: GuardRefusal, alice: User
) -> None:
    found = (
        api(alice).get("/api/v1/why-not/", {"device": refusal.device_id, "guard": "power"}).json()["results"]
    )

    mine = [line for line in found if line["id"] == refusal.pk]
    assert len(mine) == 1
    assert (mine[0]["reason"], mine[0]["times"], mine[0]["job"]) == (
        "feeds_healthy_players",
        3,
        refusal.job_id,
    )
    assert mine[0]["lifts_at"] is not None
    assert "Neighbour 7" in mine[0]["sentence"]


def test_who_has_one_device_reads_of_no_other(
    api: Call, north: Platform, refusal: GuardRefusal, charlie: User
) -> None:
    uma = make_user("uma", platform=north, role="user")
    before = api(uma).get("/api/v1/why-not/").json()["count"]
    DeviceShare.objects.create(device=refusal.device, user=uma, level="viewer")

    shown = api(uma).get("/api/v1/why-not/")

    assert before == 0
    assert refusal.pk in [line["id"] for line in shown.json()["results"]]
    assert "Neighbour 7" not in shown.content.decode()
    assert api(charlie).get(f"/api/v1/why-not/{refusal.pk}/").status_code == 404


def test_nobody_writes_it(api: Call, refusal: GuardRefusal, alice: User) -> None:
    client = api(alice)

    codes = [
        client.post("/api/v1/why-not/", {}).status_code, client.delete(f"/api/v1/why-not/{refusal.pk}/").status_code,
        client.patch(f"/api/v1/why-not/{refusal.pk}/", {"times": 1}).status_code,
    ]  # fmt: skip

    assert codes == [405, 405, 405]
