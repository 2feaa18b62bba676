"""The bench check by API is the superadmin's; kept filters are each person's own; a recheck lets automation act."""

import pytest

from devices.models import Device, DeviceModel, SavedFilter
from devices.services.moves import replace_sim
from devices.services.saved_filters import MOST
from platforms.models import KillSwitch, Platform, User
from remosa.lib.clock import utcnow
from tests.api.conftest import Call
from tests.devices.test_bench import SEEN, UNHEARD, answers_of
from tests.factories import make_socket

pytestmark = pytest.mark.django_db
MODELS, FILTERS = "/api/v1/device-models/", "/api/v1/device-filters/"


@pytest.fixture
def model() -> DeviceModel:
    return DeviceModel.objects.get(code="D210")


# --- the bench -------------------------------------------------------------------------------------


def test_replies_are_read_a_rule_is_proposed_and_switched_on_and_the_check_is_passed(
    api: Call, root: User, model: DeviceModel
) -> None:
    DeviceModel.objects.update(bench_checked_at=None)
    url, caller = f"{MODELS}{model.pk}/bench/", api(root)
    replies = {**answers_of(model), "reply_power_cycle": UNHEARD}

    read = {step["key"]: step for step in caller.post(f"{url}read/", {"replies": replies}).json()}
    early = caller.post(f"{url}pass/", {"replies": replies, "seen": list(SEEN)})
    rule = read["reply_power_cycle"]["proposal"]
    used = caller.post(f"{url}rules/", {"rules": [rule]})
    passed = caller.post(f"{url}pass/", {"replies": replies, "seen": list(SEEN), "firmware": "1.2"})

    assert (read["reply_status"]["done"], read["reply_power_cycle"]["done"]) == (True, False)
    assert list(early.json()["error"]["fields"]) == ["reply_power_cycle"]
    assert (early.status_code, used.status_code, passed.status_code) == (400, 204, 201)
    assert (passed.json()["firmware"], passed.json()["withdrawn_at"]) == ("1.2", None)
    assert caller.get(f"{MODELS}{model.pk}/").json()["bench_checked_at"] is not None
    assert [caller.post(f"{url}withdraw/", {"reason": "x"}).status_code for _twice in range(2)] == [204, 409]


def test_the_bench_is_the_superadmins(api: Call, alice: User, model: DeviceModel) -> None:
    url, caller = f"{MODELS}{model.pk}/bench/", api(alice)

    refused = [caller.get(url)] + [
        caller.post(f"{url}{deed}/", {}) for deed in ("read", "rules", "pass", "withdraw")
    ]

    assert [answer.status_code for answer in refused] == [403] * 5
    assert caller.get(MODELS).status_code == 200
    assert api(None).get(MODELS).status_code == 401


@pytest.mark.parametrize(
    ("deed", "body"),
    [
        ("read", {"replies": {"strange": "x"}}), ("read", {"replies": {"reply_status": "x" * 1601}}),
        ("rules", {"rules": [{"name": "x", "pattern": "(", "verdict": "info"}]}), ("rules", {"rules": []}),
        ("pass", {"replies": {}, "seen": "came_back"}), ("withdraw", {"reason": ""}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_on_the_bench_is_a_400(
    api: Call, root: User, model: DeviceModel, deed: str, body: dict
) -> None:
    before = model.reply_rules

    answer = api(root).post(f"{MODELS}{model.pk}/bench/{deed}/", body)

    model.refresh_from_db()
    assert (answer.status_code, model.reply_rules == before) == (400, True)


def test_lists_know_their_parameters(api: Call, alice: User) -> None:
    caller = api(alice)

    asked = [
        f"{MODELS}?search=D210",
        f"{MODELS}?ordering=code",
        f"{FILTERS}?search=x",
        f"{FILTERS}?page_size=5",
    ]

    assert [caller.get(url).status_code for url in asked] == [200, 400, 400, 200]


# --- filters ---------------------------------------------------------------------------------------


def test_a_filter_is_its_owners_own(api: Call, north: Platform, alice: User, bob: User) -> None:
    body = {"name": "Dark", "query": "?p=3&state__exact=offline&q="}

    made = api(bob).post(FILTERS, body)
    one = f"{FILTERS}{made.json()['id']}/"

    assert (made.status_code, made.json()["url"]) == (201, "/admin/devices/device/?state__exact=offline")
    assert [row["name"] for row in api(bob).get(FILTERS).json()["results"]] == ["Dark"]
    assert api(alice).get(FILTERS).json()["results"] == []
    assert (api(alice).get(one).status_code, api(alice).delete(one).status_code) == (404, 404)
    assert api(bob).delete(one).status_code == 204


def test_a_name_is_kept_once_and_there_are_not_endlessly_many(api: Call, alice: User) -> None:
    caller = api(alice)
    for number in range(MOST):
        SavedFilter.objects.create(user=alice, name=f"{number}", query="q=x", created_at=utcnow())

    again = caller.post(FILTERS, {"name": "0", "query": "q=y"})
    more = caller.post(FILTERS, {"name": "more", "query": "q=y"})
    nothing = caller.post(FILTERS, {"name": "0", "query": "p=2"})

    assert (again.status_code, more.status_code, nothing.status_code) == (201, 400, 400)
    assert SavedFilter.objects.get(name="0").query == "q=y"
    assert SavedFilter.objects.count() == MOST


# --- after a move ----------------------------------------------------------------------------------


def test_after_a_change_automation_comes_back_with_proof_or_with_a_persons_word(
    api: Call, north: Platform, alice: User
) -> None:
    socket = make_socket(north)
    replace_sim(socket, msisdn="+79165550009", by=alice, reason="lost", now=utcnow())
    url = f"/api/v1/devices/{socket.pk}/recheck/"

    early = api(alice).post(url, {})
    still = KillSwitch.objects.filter(released_at=None).count()
    seen = api(alice).post(url, {"seen": True})

    assert (early.status_code, still, seen.status_code) == (409, 1, 200)
    assert not KillSwitch.objects.filter(released_at=None).exists()
    assert Device.objects.get(pk=socket.pk).recheck_since is None
