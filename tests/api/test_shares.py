"""One device shared with one person, in the API and on the device's page."""

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from devices.models import Device, DeviceShare
from devices.services import share_device
from platforms.models import AuditEvent, Platform, User
from tests.api.conftest import BACKEND, Call
from tests.factories import make_device, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/device-shares/"


@pytest.fixture
def device(north: Platform) -> Device:
    return make_device(north, name="zq-player")


@pytest.fixture
def uma(north: Platform) -> User:
    return make_user("uma", platform=north, role="user")


def test_sharing_shows_the_device_and_its_end_hides_it(
    api: Call, device: Device, alice: User, uma: User
) -> None:
    before = api(uma).get(f"/api/v1/devices/{device.pk}/").status_code

    made = api(alice).post(URL, {"device": device.pk, "user": uma.pk, "level": "viewer"})
    during = api(uma).get(f"/api/v1/devices/{device.pk}/").status_code
    gone = api(alice).delete(f"{URL}{made.json()['id']}/")

    assert (before, made.status_code, during, gone.status_code) == (404, 201, 200, 204)
    assert api(uma).get(f"/api/v1/devices/{device.pk}/").status_code == 404
    verbs = AuditEvent.objects.filter(verb__startswith="device.share").order_by("at")
    assert list(verbs.values_list("verb", flat=True)) == ["device.shared", "device.share_ended"]


@pytest.mark.parametrize("role", ["viewer", "user"])
def test_who_may_not_edit_devices_shares_none(
    api: Call, north: Platform, device: Device, uma: User, role: str
) -> None:
    person = make_user("person", platform=north, role=role)

    answer = api(person).post(URL, {"device": device.pk, "user": uma.pk, "level": "owner"})

    assert answer.status_code in (400, 403)
    assert not DeviceShare.objects.exists()


def test_whoever_has_a_share_sets_the_notices_and_not_the_level(api: Call, device: Device, uma: User) -> None:
    share = DeviceShare.objects.create(device=device, user=uma, level="viewer")
    address = f"{URL}{share.pk}/"

    quiet = api(uma).patch(address, {"notifications": False})
    raised = api(uma).patch(address, {"level": "owner"})

    share.refresh_from_db()
    assert (quiet.status_code, raised.status_code) == (200, 403)
    assert (share.notifications, share.level) == (False, "viewer")


def test_a_stranger_to_the_platform_gets_no_share(device: Device, charlie: User, alice: User) -> None:
    with pytest.raises(ValidationError):
        share_device(device=device, user=charlie, level="viewer", by=alice)


def test_the_device_page_shares_and_ends(device: Device, alice: User, uma: User, client: Client) -> None:
    client.force_login(alice, backend=BACKEND)
    url = reverse("admin:devices_device_change", args=[device.pk])
    form = {
        "name": device.name, "kind": "player", "mac": device.mac, "shares-TOTAL_FORMS": "1",
        "shares-INITIAL_FORMS": "0",
        "shares-MIN_NUM_FORMS": "0", "shares-MAX_NUM_FORMS": "1000", "shares-0-user": str(uma.pk),
        "shares-0-level": "admin", "shares-0-notifications": "on",
    }  # fmt: skip

    client.post(url, form)
    share = DeviceShare.objects.get()
    form |= {"shares-INITIAL_FORMS": "1", "shares-0-id": str(share.pk), "shares-0-DELETE": "on"}
    client.post(url, form)

    assert (share.user, share.level, share.notifications) == (uma, "admin", True)
    assert not DeviceShare.objects.exists()
    assert AuditEvent.objects.get(verb="device.shared").actor_label == "alice"
