"""Each resource, once along its life: list, open, make, change, end."""

from typing import Any

import pytest

from automation.models import Job
from devices.models import Device, PowerLink, Site
from exporters.models import ExporterTarget
from platforms.models import ApiToken, AuditEvent, Membership, Platform, User
from platforms.services import set_role
from remosa.lib.clock import utcnow
from sms.models import Gateway
from tests.api.conftest import Call
from tests.factories import (
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_link,
    make_platform,
    make_site,
    make_socket,
    make_target,
    make_user,
)

pytestmark = pytest.mark.django_db


def last_audit(verb: str) -> AuditEvent:
    return AuditEvent.objects.filter(verb=verb).latest("at")


def test_site_is_made_changed_and_deleted_with_audit(api: Call, north: Platform, alice: User) -> None:
    client = api(alice)

    made = client.post("/api/v1/sites/", {"platform": north.pk, "name": "Hall", "outer_ip": "203.0.113.7"})
    changed = client.patch(f"/api/v1/sites/{made.data['id']}/", {"name": "Hall A"})
    gone = client.delete(f"/api/v1/sites/{made.data['id']}/")

    assert (made.status_code, changed.status_code, gone.status_code) == (201, 200, 204)
    assert not Site.objects.exists()
    line = last_audit("site.changed")
    assert (line.before, line.after, line.platform) == ({"name": "Hall"}, {"name": "Hall A"}, north)
    assert last_audit("site.deleted").before["name"] == "Hall A"


@pytest.mark.parametrize(
    "written", ["8 (900) 123-45-67", " +7\u00a0900\u00a0123\u00a045\u00a067 ", "7 - 900 - 123 - 45 - 67"]
)
def test_a_number_is_taken_in_every_spelling(api: Call, north: Platform, alice: User, written: str) -> None:
    body = {"platform": north.pk, "kind": "socket", "name": "S", "model": "D210", "msisdn": written}

    made = api(alice).post("/api/v1/devices/", body)
    changed = api(alice).patch(f"/api/v1/devices/{made.data['id']}/", {"msisdn": "8-900-123-45-68"})
    refused = api(alice).patch(f"/api/v1/devices/{made.data['id']}/", {"msisdn": "8 (900) 123-45"})

    assert (made.status_code, made.data["msisdn"]) == (201, "+79001234567")
    assert (changed.status_code, changed.data["msisdn"]) == (200, "+79001234568")
    assert refused.status_code == 400
    assert list(refused.data["error"]["fields"]) == ["msisdn"]


def test_site_that_a_job_needs_is_not_deleted(api: Call, north: Platform, alice: User) -> None:
    site = make_site(north)
    make_job(north, site=site)

    refused = api(alice).delete(f"/api/v1/sites/{site.pk}/")

    assert refused.status_code == 409
    assert Site.objects.filter(pk=site.pk).exists()
    assert Job.objects.count() == 1


def test_second_site_of_the_same_name_is_refused(api: Call, north: Platform, alice: User) -> None:
    make_site(north, "Hall")

    refused = api(alice).post("/api/v1/sites/", {"platform": north.pk, "name": "Hall"})

    assert refused.status_code == 400
    assert Site.objects.count() == 1


def test_device_is_made_within_the_limit_and_its_mac_is_spelled_one_way(
    api: Call, north: Platform, alice: User
) -> None:
    Platform.objects.filter(pk=north.pk).update(device_limit=1)
    body = {"platform": north.pk, "name": "Экран 1", "mac": "AA-BB-CC-00-11-22", "labels": {"hall": "A"}}

    made = api(alice).post("/api/v1/devices/", body)
    refused = api(alice).post("/api/v1/devices/", body | {"mac": "aa:bb:cc:00:11:23"})

    assert (made.status_code, made.data["mac"], made.data["state"]) == (201, "aa:bb:cc:00:11:22", "unknown")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota")
    assert Device.objects.count() == 1


def test_device_keeps_platform_and_kind_and_loses_its_number_when_removed(
    api: Call, north: Platform, south: Platform, root: User
) -> None:
    socket = make_socket(north)

    changed = api(root).patch(
        f"/api/v1/devices/{socket.pk}/", {"platform": south.pk, "kind": "player", "name": "Socket 12"}
    )
    gone = api(root).delete(f"/api/v1/devices/{socket.pk}/")

    socket.refresh_from_db()
    assert (changed.status_code, gone.status_code) == (200, 204)
    assert (socket.platform, socket.kind, socket.name, socket.is_active) == (
        north,
        "socket",
        "Socket 12",
        False,
    )


def test_power_link_replaces_the_open_one_and_is_closed_not_deleted(
    api: Call, north: Platform, alice: User
) -> None:
    player, first, second = make_device(north), make_socket(north), make_socket(north, model="D410")
    make_link(player, first)

    made = api(alice).post("/api/v1/device-links/", {"device": player.pk, "socket": second.pk, "line": 2})
    gone = api(alice).delete(f"/api/v1/device-links/{made.data['id']}/")
    again = api(alice).delete(f"/api/v1/device-links/{made.data['id']}/")

    assert (made.status_code, gone.status_code, again.status_code) == (201, 204, 409)
    assert PowerLink.objects.filter(device=player).count() == 2
    assert not PowerLink.objects.filter(device=player, valid_to=None).exists()


def test_power_link_across_platforms_is_refused_even_for_the_superadmin(
    api: Call, north: Platform, south: Platform, root: User
) -> None:
    player, socket = make_device(north), make_socket(south)

    refused = api(root).post("/api/v1/device-links/", {"device": player.pk, "socket": socket.pk})

    assert refused.status_code == 400
    assert not PowerLink.objects.exists()


def test_gateway_keys_are_written_and_never_read(api: Call, north: Platform, alice: User) -> None:
    client = api(alice)
    body = {"platform": north.pk, "name": "Console", "kind": "console", "secret": "s3cret-canary"}

    made = client.post("/api/v1/gateways/", body)
    shown = client.get(f"/api/v1/gateways/{made.data['id']}/")

    assert made.status_code == 201
    assert str(Gateway.objects.get().secret) == "s3cret-canary"
    assert "s3cret-canary" not in made.content.decode() + shown.content.decode()
    assert last_audit("gateway.created").after["secret"] != "s3cret-canary"


def test_a_gateway_gets_another_key(api: Call, north: Platform, alice: User) -> None:
    gateway = make_gateway(north, kind="console", secret="the-first-key")

    answers = [
        api(alice).patch(f"/api/v1/gateways/{gateway.pk}/", {"secret": "the-second-key"})
        for _turn in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert str(Gateway.objects.get().secret) == "the-second-key"
    assert "secret" in last_audit("gateway.changed").after
    assert AuditEvent.objects.filter(verb="gateway.changed").count() == 1  # the same key again is no change
    assert "second-key" not in str(list(AuditEvent.objects.values()))


def test_shared_gateway_is_the_superadmins(api: Call, north: Platform, alice: User, root: User) -> None:
    shared = make_gateway(None)
    body = {"platform": None, "name": "Mine for all", "kind": "console"}

    by_admin = api(alice).post("/api/v1/gateways/", body)
    seen = api(alice).get(f"/api/v1/gateways/{shared.pk}/")
    by_root = api(root).post("/api/v1/gateways/", body)

    assert (by_admin.status_code, seen.status_code, by_root.status_code) == (400, 404, 201)


def test_exporter_is_made_polled_and_removed(api: Call, north: Platform, alice: User) -> None:
    client = api(alice)
    body = {"platform": north.pk, "name": "Cubic", "kind": "cubic", "base_url": "https://cms.example.org"}

    made = client.post("/api/v1/exporters/", body)
    address = f"/api/v1/exporters/{made.data['id']}/"
    polled, off = client.post(address + "poll/"), client.patch(address, {"is_enabled": False})
    refused, gone = client.post(address + "poll/"), client.delete(address)

    codes = [answer.status_code for answer in (made, polled, off, refused, gone)]
    assert codes == [201, 202, 200, 409, 204]


def test_exporter_shows_its_targets(api: Call, north: Platform, alice: User) -> None:
    exporter, player = make_exporter(north), make_device(north)
    make_target(exporter, player)

    shown = api(alice).get(f"/api/v1/exporters/{exporter.pk}/targets/")

    assert [row["device"] for row in shown.json()["results"]] == [player.pk]


def test_macs_are_added_listed_and_removed_by_the_hundred(api: Call, north: Platform, alice: User) -> None:
    exporter, other = make_exporter(north), make_exporter(make_platform())
    make_target(other, make_device(other.platform))
    macs = [f"02:00:00:00:00:{number:02x}" for number in range(40)]
    client = api(alice)

    made = client.post("/api/v1/exporter-macs/", {"exporter": exporter.pk, "macs": [*macs, macs[0].upper()]})
    again = client.post("/api/v1/exporter-macs/", {"exporter": exporter.pk, "macs": macs[:2]})
    shown = client.get("/api/v1/exporter-macs/", {"platform": north.pk})
    gone = client.delete("/api/v1/exporter-macs/", {"exporter": exporter.pk, "macs": macs[:39]})

    assert (made.status_code, made.data["added"], made.data["duplicates"]) == (201, macs, macs[:1])
    assert (again.status_code, again.data["known"]) == (200, macs[:2])
    assert [row["mac"] for row in shown.json()] == macs
    assert set(shown.json()[0]) == {"platform_id", "exporter_id", "mac", "name", "ip", "outip"}
    assert (gone.status_code, gone.data["removed"]) == (200, 39)
    assert ExporterTarget.objects.filter(exporter=exporter).count() == 1


def test_one_bad_mac_stores_none(api: Call, north: Platform, alice: User) -> None:
    exporter = make_exporter(north)

    refused = api(alice).post(
        "/api/v1/exporter-macs/", {"exporter": exporter.pk, "macs": ["02:00:00:00:00:01", "02:00:00:00:00"]}
    )

    assert refused.status_code == 400
    assert list(refused.json()["error"]["fields"]["macs"]) == ["1"]
    assert not ExporterTarget.objects.exists()


def test_job_grows_its_version_with_each_change_and_only_then(
    api: Call, north: Platform, alice: User
) -> None:
    job = make_job(north)
    address = f"/api/v1/jobs/{job.pk}/"
    client = api(alice)

    changed = client.patch(address, {"hold_s": 300, "version": 77})
    same = client.patch(address, {"hold_s": 300})
    devices = client.patch(address, {"devices": [make_device(north).pk]})

    assert [answer.data["version"] for answer in (changed, same, devices)] == [2, 2, 3]


def test_job_takes_no_device_of_another_platform(
    api: Call, north: Platform, south: Platform, root: User
) -> None:
    job = make_job(north)

    refused = api(root).patch(f"/api/v1/jobs/{job.pk}/", {"devices": [make_device(south).pk]})

    assert refused.status_code == 400
    assert not job.devices.exists()


def test_promql_of_another_platform_is_refused(
    api: Call, north: Platform, south: Platform, alice: User
) -> None:
    body = {
        "platform": north.pk,
        "name": "PromQL",
        "source": "promql",
        "promql": f'up{{platform_id="{south.pk}"}}',
    }

    refused = api(alice).post("/api/v1/jobs/", body)

    assert refused.status_code == 400
    assert "promql" in refused.json()["error"]["fields"]


def test_member_is_made_promoted_and_ended_and_the_last_admin_stays(
    api: Call, north: Platform, alice: User, bob: User
) -> None:
    client = api(alice)
    member = Membership.objects.get(user=bob)
    own = Membership.objects.get(user=alice)

    promoted = client.patch(f"/api/v1/members/{member.pk}/", {"role": "manager"})
    gone = client.delete(f"/api/v1/members/{member.pk}/")
    kept = client.delete(f"/api/v1/members/{own.pk}/")

    assert (promoted.status_code, promoted.data["role"], gone.status_code) == (200, "manager", 204)
    assert (kept.status_code, kept.json()["error"]["code"]) == (409, "conflict")


def test_colleague_of_one_platform_is_added_to_another(
    api: Call, north: Platform, alice: User, bob: User
) -> None:
    second = make_platform("second")
    set_role(user=alice, platform=second, role="admin")

    made = api(alice).post("/api/v1/members/", {"platform": second.pk, "user": bob.pk, "role": "user"})
    twice = api(alice).post("/api/v1/members/", {"platform": second.pk, "user": bob.pk, "role": "admin"})

    assert (made.status_code, twice.status_code) == (201, 409)


def test_manager_grants_no_role_of_their_own_rank(api: Call, north: Platform, bob: User) -> None:
    manager = make_user("manager", platform=north, role="manager")
    member = Membership.objects.get(user=bob)

    raised = api(manager).patch(f"/api/v1/members/{member.pk}/", {"role": "admin"})

    assert raised.status_code == 403
    member.refresh_from_db()
    assert member.role == "viewer"


def test_admin_sets_time_zone_but_neither_limits_nor_name(api: Call, north: Platform, alice: User) -> None:
    changed = api(alice).patch(
        f"/api/v1/platforms/{north.pk}/",
        {
            "time_zone": "Asia/Omsk",
            "name": "x",
            "sms_limit": 10**6,
            "device_limit": 10**6,
            "is_active": False,
        },
    )

    north.refresh_from_db()
    assert changed.status_code == 200
    assert (north.time_zone, north.name, north.sms_limit, north.device_limit, north.is_active) == (
        "Asia/Omsk", "north", 1000, 100, True,
    )  # fmt: skip


def test_only_the_superadmin_makes_platforms(api: Call, alice: User, root: User) -> None:
    by_admin = api(alice).post("/api/v1/platforms/", {"name": "east"})
    by_root = api(root).post("/api/v1/platforms/", {"name": "east"})

    assert (by_admin.status_code, by_root.status_code) == (403, 201)
    assert Platform.objects.filter(name="east").count() == 1


def test_token_text_is_shown_once_and_dies_at_once(api: Call, alice: User) -> None:
    client = api(alice)

    made = client.post("/api/v1/tokens/", {"name": "script", "scopes": ["read"]})
    text = made.data["token"]
    shown = client.get("/api/v1/tokens/")
    before = api(None).get("/api/v1/devices/", headers={"Authorization": f"Bearer {text}"})
    gone = client.delete(f"/api/v1/tokens/{made.data['id']}/")
    after = api(None).get("/api/v1/devices/", headers={"Authorization": f"Bearer {text}"})

    assert (made.status_code, before.status_code, gone.status_code, after.status_code) == (201, 200, 204, 401)
    assert text not in shown.content.decode()
    assert ApiToken.objects.get().revoked_at is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "a", "scopes": ["scrape"]}, 400),  # a person's own token is no machine's
        ({"name": "a", "scopes": ["read"], "platform": "north"}, 400),  # nor a machine's a person's
        ({"name": "a", "scopes": ["operator"]}, 400),
        ({"name": "a", "scopes": []}, 400),
        ({"name": "a", "scopes": ["edge"], "expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"name": "a", "scopes": ["edge"], "platform": "north"}, 201),
    ],
)
def test_token_scopes_fit_whose_token_it_is(
    api: Call, north: Platform, alice: User, body: dict[str, Any], code: int
) -> None:
    if "platform" in body:
        body = body | {"platform": north.pk}

    answer = api(alice).post("/api/v1/tokens/", body)

    assert answer.status_code == code
    assert ApiToken.objects.count() == (code == 201)


def test_manager_makes_no_machine_token(api: Call, north: Platform) -> None:
    manager = make_user("manager", platform=north, role="manager")

    refused = api(manager).post("/api/v1/tokens/", {"name": "a", "scopes": ["edge"], "platform": north.pk})

    assert refused.status_code == 403


def test_audit_is_read_only(api: Call, north: Platform, alice: User) -> None:
    line = AuditEvent.objects.filter(platform=north).first()
    client = api(alice)
    address = f"/api/v1/audit/{line.pk}/"

    codes = [
        client.get(address).status_code, client.put(address, {}).status_code, client.patch(address, {}).status_code,
        client.delete(address).status_code, client.post("/api/v1/audit/", {}).status_code,
    ]  # fmt: skip

    assert codes == [200, 405, 405, 405, 405]


def test_found_devices_are_listed_and_adopted(api: Call, north: Platform, alice: User) -> None:
    exporter = make_exporter(north, kind="addreality", secret="key")
    for number in ("101", "102", "103"):
        exporter.found.create(external_id=number, name=f"Экран {number}", first_seen_at=utcnow())
    address = f"/api/v1/exporters/{exporter.pk}/"
    client = api(alice)

    shown = client.get(address + "found/")
    some = client.post(address + "adopt/", {"ids": ["102"]})
    again = client.post(address + "adopt/", {"ids": ["102", "101"]})
    strange = client.post(address + "adopt/", {"ids": ["103", "999"]})
    rest = client.post(address + "adopt/", {})

    assert [row["external_id"] for row in shown.json()["results"]] == ["101", "102", "103"]
    assert (some.status_code, some.data["added"]) == (201, ["102"])
    assert (again.status_code, again.data["added"], again.data["known"]) == (201, ["101"], ["102"])
    assert (strange.status_code, list(strange.json()["error"]["fields"]["ids"])) == (400, ["1"])
    assert (rest.status_code, rest.data["added"]) == (201, ["103"])
    assert sorted(exporter.targets.values_list("device__name", flat=True)) == [
        "Экран 101", "Экран 102", "Экран 103",
    ]  # fmt: skip
    assert not exporter.found.exists()
