"""Commands through the API: the JSON, idempotency, preview, taking back."""

import pytest

from devices.models import Command, CommandEvent
from platforms.models import AuditEvent, Platform, User
from platforms.services import set_role
from sms.models import SmsMessage
from tests.api.conftest import Call
from tests.factories import make_device, make_gateway, make_socket

pytestmark = pytest.mark.django_db
KEY = {"Idempotency-Key": "order-1"}


@pytest.fixture
def gateway(north: Platform) -> None:
    make_gateway(north, price="1.2500")


@pytest.mark.usefixtures("gateway")
def test_command_has_exactly_the_promised_json(api: Call, north: Platform, alice: User) -> None:
    socket, player = make_socket(north), make_device(north)

    made = (
        api(alice)
        .post(
            "/api/v1/commands/",
            {"device": socket.pk, "template": "power_cycle", "params": {"minutes": 1}, "target": player.pk},
            headers=KEY,
        )
        .json()
    )

    promised = {
        "id", "platform", "device", "template", "params", "text", "effect", "state", "reason", "source", "source_ref",
        "cause_id", "created_at", "expires_at", "events",
    }  # fmt: skip
    assert promised <= set(made)
    assert (made["platform"], made["device"], made["target"]) == (north.pk, socket.pk, player.pk)
    assert (made["template"], made["text"], made["state"]) == ("power_cycle", "#12#0#1#1#", "queued")
    assert (made["source"], made["effect"], made["params"]) == ("api", "non-idempotent", {"minutes": 1})
    assert set(made["events"][0]) == {"from", "to", "at", "reason", "by"}
    assert [(step["from"], step["to"]) for step in made["events"]] == [("requested", "queued")]
    assert made["created_at"].endswith("Z")
    assert SmsMessage.objects.get().body == "#12#0#1#1#"


@pytest.mark.usefixtures("gateway")
def test_same_key_and_body_is_the_same_command(api: Call, north: Platform, alice: User) -> None:
    body = {"device": make_socket(north).pk, "template": "power_cycle", "params": {"minutes": 1}}
    client = api(alice)

    first = client.post("/api/v1/commands/", body, headers=KEY)
    again = client.post("/api/v1/commands/", body, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (Command.objects.count(), SmsMessage.objects.count()) == (1, 1)


@pytest.mark.usefixtures("gateway")
def test_same_key_with_another_body_is_a_409(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    socket = make_socket(north)
    set_role(user=alice, platform=south, role="admin")
    body = {"device": socket.pk, "template": "power_cycle", "params": {"minutes": 1}}
    client = api(alice)
    client.post("/api/v1/commands/", body, headers=KEY)

    others = [
        body | {"params": {"minutes": 2}}, body | {"template": "status", "params": {}},
        body | {"device": make_socket(north).pk}, body | {"target": make_device(north).pk},
        body | {"device": make_socket(south).pk},
    ]  # fmt: skip
    codes = [client.post("/api/v1/commands/", other, headers=KEY).status_code for other in others]

    assert codes == [409] * 5
    assert Command.objects.count() == 1


@pytest.mark.usefixtures("gateway")
def test_two_people_do_not_share_keys(api: Call, north: Platform, alice: User, root: User) -> None:
    body = {"device": make_socket(north).pk, "template": "status"}

    codes = [api(person).post("/api/v1/commands/", body, headers=KEY).status_code for person in (alice, root)]

    assert codes == [201, 201]


@pytest.mark.usefixtures("gateway")
def test_target_is_of_the_same_platform(api: Call, north: Platform, south: Platform, root: User) -> None:
    body = {"device": make_socket(north).pk, "template": "status", "target": make_device(south).pk}

    refused = api(root).post("/api/v1/commands/", body, headers=KEY)

    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["target"])


@pytest.mark.usefixtures("gateway")
def test_preview_shows_text_and_price_and_writes_nothing(api: Call, north: Platform, alice: User) -> None:
    body = {"device": make_socket(north).pk, "template": "power_cycle", "params": {"minutes": 5}}
    lines = AuditEvent.objects.count()

    shown = api(alice).post("/api/v1/commands/preview/", body)

    assert shown.status_code == 200
    assert shown.json() == {"text": "#12#0#5#1#", "segments": 1, "price": "1.2500", "currency": "RUB"}
    assert not Command.objects.exists()
    assert not SmsMessage.objects.exists()
    assert AuditEvent.objects.count() == lines


@pytest.mark.usefixtures("gateway")
def test_command_is_taken_back_once(api: Call, north: Platform, alice: User) -> None:
    client = api(alice)
    made = client.post(
        "/api/v1/commands/", {"device": make_socket(north).pk, "template": "status"}, headers=KEY
    )
    address = f"/api/v1/commands/{made.data['id']}/cancel/"

    done = client.post(address, {"reason": "wrong socket"})
    again = client.post(address, {})

    assert (done.status_code, done.data["state"], again.status_code) == (200, "cancelled", 409)
    assert CommandEvent.objects.get(to_state="cancelled").why == "wrong socket"
    assert SmsMessage.objects.get().state == "cancelled"


@pytest.mark.usefixtures("gateway")
def test_full_quota_blocks_the_command_visibly(api: Call, north: Platform, alice: User) -> None:
    Platform.objects.filter(pk=north.pk).update(sms_limit=0)

    made = api(alice).post(
        "/api/v1/commands/", {"device": make_socket(north).pk, "template": "status"}, headers=KEY
    )

    assert (made.status_code, made.data["state"], made.data["reason"]) == (201, "blocked", "quota")
    assert not SmsMessage.objects.exists()
