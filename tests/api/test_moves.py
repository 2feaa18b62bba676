"""Moving, replacing and photos by API: what the console does, with the same proofs afterwards."""

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from devices.models import Device, DeviceModel, DevicePhoto, PowerLink
from platforms.models import AuditEvent, KillSwitch, Platform, User
from tests.api.conftest import Call
from tests.factories import make_device, make_link, make_site, make_socket

pytestmark = pytest.mark.django_db


def url(row: Device, action: str) -> str:
    return f"/api/v1/devices/{row.pk}/{action}/"


def test_a_moved_player_hangs_on_its_new_output_and_automation_waits(
    api: Call, north: Platform, alice: User
) -> None:
    player, old, new, hall = make_device(north), make_socket(north), make_socket(north), make_site(north)
    make_link(player, old)

    answer = api(alice).post(
        url(player, "move"), {"site": hall.pk, "socket": new.pk, "reason": "the hall was rebuilt"}
    )

    assert (answer.status_code, answer.json()["site"]) == (200, hall.pk)
    link = PowerLink.objects.get(device=player, valid_to=None)
    assert (link.socket, link.line) == (new, 1)
    assert PowerLink.objects.filter(device=player, socket=old).exclude(valid_to=None).exists()
    assert KillSwitch.objects.get(scope="device", target_id=player.pk).reason.endswith("the hall was rebuilt")
    assert AuditEvent.objects.get(verb="device.moved").reason == "the hall was rebuilt"


def test_a_foreign_socket_or_one_for_a_socket_is_refused(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    player, socket, foreign = make_device(north), make_socket(north), make_socket(south)

    refused = api(alice).post(url(player, "move"), {"site": None, "socket": foreign.pk, "reason": "x"})
    fed = api(alice).post(url(socket, "move"), {"site": None, "socket": make_socket(north).pk, "reason": "x"})

    assert [answer.status_code for answer in (refused, fed)] == [400, 400]
    assert list(refused.json()["error"]["fields"]) == list(fed.json()["error"]["fields"]) == ["socket"]
    assert not KillSwitch.objects.exists()


def test_a_replaced_socket_hands_its_players_to_the_new_one(api: Call, north: Platform, alice: User) -> None:
    player, old = make_device(north), make_socket(north)
    make_link(player, old)
    body = {"msisdn": "8 916 123-45-67", "model": old.model.code, "reason": "burnt"}

    answer = api(alice).post(url(old, "replace"), body)
    again = api(alice).post(url(old, "replace"), body)

    assert (answer.status_code, answer.json()["msisdn"], again.status_code) == (201, "+79161234567", 409)
    assert PowerLink.objects.get(device=player, valid_to=None).socket_id == answer.json()["id"]
    old.refresh_from_db()
    assert not old.is_active


def test_a_replaced_player_needs_a_mac_and_a_socket_a_model(api: Call, north: Platform, alice: User) -> None:
    player, socket = make_device(north), make_socket(north)

    bare = api(alice).post(url(player, "replace"), {"reason": "broken"})
    half = api(alice).post(url(socket, "replace"), {"reason": "broken", "msisdn": "+79161234567"})
    new = api(alice).post(url(player, "replace"), {"reason": "broken", "mac": "02-55-00-00-00-09"})

    assert (bare.status_code, list(bare.json()["error"]["fields"])) == (400, ["mac"])
    assert (half.status_code, list(half.json()["error"]["fields"])) == (400, ["model"])
    assert (new.status_code, new.json()["mac"], new.json()["name"]) == (201, "02:55:00:00:00:09", player.name)


def test_a_sim_is_replaced_and_a_number_in_use_elsewhere_is_not_told_apart(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    socket, foreign = make_socket(north), make_socket(south)

    done = api(alice).post(url(socket, "replace-sim"), {"msisdn": "8 916 123-45-67", "reason": "lost"})
    taken = api(alice).post(url(socket, "replace-sim"), {"msisdn": foreign.msisdn, "reason": "lost"})
    player = api(alice).post(
        url(make_device(north), "replace-sim"), {"msisdn": "+79161234568", "reason": "x"}
    )

    assert (done.status_code, done.json()["msisdn"]) == (200, "+79161234567")
    assert (taken.status_code, player.status_code) == (400, 409)
    assert "south" not in taken.content.decode()


def test_who_only_looks_moves_and_replaces_nothing(
    api: Call, north: Platform, bob: User, alice: User
) -> None:
    player = make_device(north)
    bodies = {
        "move": {"site": None, "reason": "x"}, "replace": {"mac": "02:55:00:00:00:09", "reason": "x"},
    }  # fmt: skip

    answers = [api(bob).post(url(player, action), body).status_code for action, body in bodies.items()]

    assert answers == [403, 403]
    assert Device.objects.count() == 1


@pytest.mark.parametrize("kind", ["devices", "sites"])
def test_a_photo_is_kept_shown_and_removed(
    api: Call, north: Platform, alice: User, bob: User, charlie: User, kind: str
) -> None:
    row = make_device(north) if kind == "devices" else make_site(north)
    address, out = f"/api/v1/{kind}/{row.pk}/photo/", io.BytesIO()
    Image.new("RGB", (64, 32)).save(out, "PNG")

    def send(who: User, data: bytes) -> int:
        file = SimpleUploadedFile("p.png", data, content_type="image/png")
        return api(who).put(address, {"file": file}, format="multipart").status_code

    assert api(alice).get(address).status_code == 404
    assert [send(charlie, out.getvalue()), send(bob, out.getvalue())] == [404, 403]
    assert [send(alice, b"GIF89a no picture"), send(alice, out.getvalue())] == [400, 204]
    shown = api(bob).get(address)
    assert (shown.status_code, shown["Content-Type"], shown.content[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert api(charlie).get(address).status_code == 404
    assert [api(alice).delete(address).status_code for _twice in range(2)] == [204, 404]
    assert not DevicePhoto.objects.exists()


def test_a_model_that_is_not_known_is_named(api: Call, north: Platform, alice: User) -> None:
    assert DeviceModel.objects.exists()
    body = {"msisdn": "+79161234567", "model": "D999", "reason": "burnt"}

    answer = api(alice).post(url(make_socket(north), "replace"), body)

    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["model"])
