"""Who may: roles, scopes, fields that nobody writes, and rights that are lost on the way."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.db import models
from guardian.shortcuts import assign_perm, get_objects_for_user
from rest_framework.test import APIClient

from automation.models import Case, Job
from devices.models import Command, Device, DeviceShare, Site
from devices.services import refusal_at_barrier
from exporters.models import Exporter
from platforms import tokens
from platforms.models import ApiToken, Membership, Platform, User
from platforms.querysets import platforms_of
from platforms.roles import Perm, Role
from platforms.services import set_role
from sms.models import Gateway
from tests.api.conftest import Call
from tests.factories import (
    NOW,
    make_device,
    make_exporter,
    make_gateway,
    make_job,
    make_site,
    make_socket,
    make_target,
    make_user,
)

pytestmark = pytest.mark.django_db


def token_client(text: str) -> APIClient:
    return APIClient(headers={"authorization": f"Bearer {text}", "accept-language": "en"})


# --- roles ---------------------------------------------------------------------------------------

MATRIX = {  # what each role gets: viewer, user, manager, admin
    ("get", "devices"): (200, 200, 200, 200),
    ("get", "audit"): (200, 200, 200, 200),
    ("post", "sites"): (403, 403, 201, 201),
    ("post", "devices"): (403, 403, 201, 201),
    ("post", "exporters"): (403, 403, 201, 201),
    ("post", "jobs"): (403, 403, 201, 201),
    ("post", "maintenance"): (403, 403, 201, 201),
    ("post", "webhooks"): (403, 403, 201, 201),
    ("post", "gateways"): (403, 403, 403, 201),
    ("post", "commands"): (403, 201, 201, 201),
    ("post", "platforms"): (403, 403, 403, 403),
}


@pytest.mark.parametrize(("verb", "path"), MATRIX)
@pytest.mark.parametrize("number", range(4))
def test_role_gets_what_the_matrix_says(
    api: Call, north: Platform, verb: str, path: str, number: int
) -> None:
    role = (Role.VIEWER, Role.USER, Role.MANAGER, Role.ADMIN)[number]
    person = make_user("person", platform=north, role=role)
    make_gateway(north)
    socket = make_socket(north, owner=person)
    bodies: dict[str, dict[str, Any]] = {
        "exporters": {"kind": "cubic", "base_url": "https://cms.example.org"},
        "gateways": {"kind": "console"},
        "commands": {"device": socket.pk, "template": "status"},
        "webhooks": {"url": "https://hook.example.org/", "secret": "never shown again"},
        "maintenance": {
            "reason": "works", "starts_at": "2026-12-01T08:00:00Z", "ends_at": "2026-12-01T10:00:00Z"
        },
    }  # fmt: skip
    body = {"platform": north.pk, "name": "new", **bodies.get(path, {})} if verb == "post" else {}

    answer = getattr(api(person), verb)(f"/api/v1/{path}/", body, headers={"Idempotency-Key": "k"})

    assert answer.status_code == MATRIX[verb, path][number], answer.content


@pytest.mark.parametrize("perm", Perm.values)
def test_platforms_of_says_what_guardian_says(north: Platform, south: Platform, perm: str) -> None:
    people = [make_user(role, platform=north, role=role) for role in Role.values]
    set_role(user=people[0], platform=south, role="viewer")
    assign_perm("platforms.control_devices", people[-1], south)

    for person in people:
        said = get_objects_for_user(person, f"platforms.{perm}", klass=Platform, accept_global_perms=False)

        assert set(platforms_of(person, perm)) == set(said)


def test_user_sees_own_and_shared_devices_only_and_what_hangs_off_them(api: Call, north: Platform) -> None:
    person = make_user("person", platform=north, role="user")
    own, shared, other = make_device(north, owner=person), make_device(north), make_device(north)
    DeviceShare.objects.create(device=shared, user=person, level="viewer")
    exporter = make_exporter(north)
    for device in (own, shared, other):
        make_target(exporter, device)

    devices = api(person).get("/api/v1/devices/").json()["results"]
    macs = api(person).get("/api/v1/exporter-macs/").json()
    exporters = api(person).get("/api/v1/exporters/").json()["results"]

    assert {row["id"] for row in devices} == {own.pk, shared.pk}
    assert {row["mac"] for row in macs} == {own.mac, shared.mac}
    assert exporters == []


def test_reader_of_a_shared_socket_sends_nothing(api: Call, north: Platform) -> None:
    make_gateway(north)
    person = make_user("person", platform=north, role="user")
    socket = make_socket(north)
    DeviceShare.objects.create(device=socket, user=person, level="viewer")

    refused = api(person).post(
        "/api/v1/commands/", {"device": socket.pk, "template": "status"}, headers={"Idempotency-Key": "k"}
    )

    assert refused.status_code == 403
    assert not Command.objects.exists()


def test_reader_of_a_shared_player_does_not_end_its_case(api: Call, north: Platform) -> None:
    person = make_user("person", platform=north, role="user")
    player = make_device(north)
    share = DeviceShare.objects.create(device=player, user=person, level="viewer")
    case = Case.objects.create(
        platform=north,
        subject=f"device:{player.pk}",
        title="x",
        device=player,
        opened_at=NOW,
        state_changed_at=NOW,
    )
    address = f"/api/v1/cases/{case.pk}/cancel/"

    refused = api(person).post(address, {"reason": "because"})
    DeviceShare.objects.filter(pk=share.pk).update(level="admin")
    done = api(person).post(address, {"reason": "because"})

    assert (refused.status_code, done.status_code) == (403, 200)


def test_viewer_reads_phones_masked(api: Call, north: Platform, alice: User, bob: User) -> None:
    socket = make_socket(north, msisdn="+79001234567", notes="call +79001234567")
    make_site(north, contact_phone="+79007654321")

    by_viewer = api(bob).get(f"/api/v1/devices/{socket.pk}/").content.decode()
    sites = api(bob).get("/api/v1/sites/").content.decode()
    by_admin = api(alice).get(f"/api/v1/devices/{socket.pk}/").json()

    assert "9001234" not in by_viewer
    assert "9007654" not in sites
    assert by_admin["msisdn"] == "+79001234567"


def test_dismissed_person_is_nobody_at_the_next_call(api: Call, north: Platform, alice: User) -> None:
    client = api(alice)
    _row, text = tokens.issue(name="t", scopes=["read"], by=alice, user=alice)
    pair = api(None).post("/api/v1/auth/token/", {"username": "alice", "password": "x"})
    before = (
        client.get("/api/v1/devices/").status_code,
        token_client(text).get("/api/v1/devices/").status_code,
    )

    User.objects.filter(pk=alice.pk).update(is_active=False)
    after = client.get("/api/v1/devices/").status_code, token_client(text).get("/api/v1/devices/").status_code

    assert pair.status_code == 401
    assert (before, after) == ((200, 200), (401, 401))


def test_member_who_is_removed_sees_nothing_at_the_next_call(
    api: Call, north: Platform, alice: User, bob: User
) -> None:
    make_device(north)
    client = api(bob)
    before = client.get("/api/v1/devices/").json()["count"]

    set_role(user=bob, platform=north, role=None, by=alice)

    assert (before, client.get("/api/v1/devices/").json()["count"]) == (1, 0)


# --- fields that nobody writes ---------------------------------------------------------------------

FIXED = {  # resource: (model, what may change by PATCH)
    "devices": (
        Device,
        {
            "site", "name", "mac", "external_id", "msisdn", "model", "labels", "notes",
            "sim_operator", "sim_iccid", "sim_account", "sim_balance", "sim_balance_on", "sim_paid_until",
            "sim_monthly_status",
        },
    ),
    "sites": (
        Site,
        {
            "name", "address", "time_zone", "broadcast_hours", "outer_ip", "contact_name", "contact_phone", "notes",
        },
    ),
    "exporters": (
        Exporter,
        {
            "name", "base_url", "secret", "interval_s", "timeout_s", "concurrency", "is_enabled", "next_poll_at",
            "rate_per_s", "jitter_s", "config", "has_old_names",
        },
    ),
    "gateways": (
        Gateway,
        {
            "name", "config", "secret", "sender_msisdn", "is_enabled", "priority", "rate_per_minute", "validity_s",
            "price", "price_in", "currency", "poll_interval_s", "hook_secret", "changed_at",
        },
    ),
    "jobs": (
        Job,
        {
            "name", "is_enabled", "mode", "source", "exporter", "site", "labels", "alert_labels", "promql",
            "operator", "threshold",
            "clear_threshold", "keep_firing_s", "flap_changes", "flap_window_s", "hours", "on_air", "on_air_wait_s",
            "off_air", "lead_s", "promql_range_s", "event_kind", "event_within_s", "cron", "overlap",
            "hold_s", "fresh_samples",
            "evidence_max_age_s", "template_key", "params", "max_attempts", "cooldown_s",
            "max_actions_per_day", "max_actions_per_week", "patience_s", "verify_s", "stable_s", "may_darken_others",
            "version", "ladder",
        },
    ),
    "members": (Membership, {"role"}),
    "platforms": (Platform, {"time_zone", "sms_people_share_ratio"}),
}  # fmt: skip


FORGED_TIME = datetime(2020, 1, 1, tzinfo=UTC)


def _other_value(column: models.Field, row: Any, south: Platform, charlie: User) -> Any:
    """A value that is not the row's own, and that its column would hold."""
    value = getattr(row, column.attname)
    if column.is_relation:
        return {Platform: south.pk, User: charlie.pk}.get(column.remote_field.model, 1)
    if column.choices:
        return next(key for key, _label in column.flatchoices if key != value)
    if isinstance(column, models.BooleanField):
        return not value
    if isinstance(column, models.DateTimeField):
        return FORGED_TIME.isoformat()
    if isinstance(column, models.UUIDField):
        return "00000000-0000-0000-0000-00000000dead"
    if isinstance(column, models.JSONField):
        return {"forged": "yes"}
    if isinstance(column, models.FloatField):
        return 0.5
    if isinstance(column, models.IntegerField | models.DecimalField):
        return 7
    return "forged"


@pytest.mark.parametrize("path", FIXED)
def test_no_field_outside_the_list_is_written_even_by_an_admin(
    api: Call, north: Platform, south: Platform, alice: User, bob: User, charlie: User, path: str
) -> None:
    model, writable = FIXED[path]
    row = {
        "devices": lambda: make_device(north), "sites": lambda: make_site(north),
        "exporters": lambda: make_exporter(north, base_url="https://cms.example.org"),
        "gateways": lambda: make_gateway(north), "jobs": lambda: make_job(north),
        "members": lambda: Membership.objects.get(user=bob), "platforms": lambda: north,
    }[path]()  # fmt: skip
    row.refresh_from_db()
    before = {column.attname: getattr(row, column.attname) for column in model._meta.concrete_fields}

    for column in model._meta.concrete_fields:
        for key in {column.name, column.attname}:
            body = {key: _other_value(column, row, south, charlie)}
            answer = api(alice).patch(f"/api/v1/{path}/{row.pk}/", body)
            assert answer.status_code in (200, 400, 403), (column.name, answer.content)
            cache.clear()

    after = model._base_manager.get(pk=row.pk)
    columns = model._meta.concrete_fields
    changed = {column.name for column in columns if getattr(after, column.attname) != before[column.attname]}
    assert changed <= writable
    assert FORGED_TIME not in [
        getattr(after, column.attname) for column in columns
    ]  # times of changes are ours
    assert changed  # the test does reach the row


@pytest.mark.parametrize(
    "field", ["is_staff", "is_superuser", "is_active", "groups", "user_permissions", "password"]
)
def test_membership_carries_no_right_of_the_person(
    api: Call, north: Platform, alice: User, bob: User, field: str
) -> None:
    member = Membership.objects.get(user=bob)

    api(alice).patch(f"/api/v1/members/{member.pk}/", {field: True, "user": alice.pk})

    bob.refresh_from_db()
    assert (bob.is_superuser, bob.is_active, member.user_id) == (False, True, bob.pk)


@pytest.mark.parametrize("own", ["manager", "user", "viewer"])
@pytest.mark.parametrize("wanted", ["admin", "manager"])
def test_nobody_raises_themselves_or_others_above_their_role(
    api: Call, north: Platform, alice: User, bob: User, own: str, wanted: str
) -> None:
    person = make_user("person", platform=north, role=own)
    client = api(person)

    codes = [
        client.patch(f"/api/v1/members/{Membership.objects.get(user=user).pk}/", {"role": wanted}).status_code
        for user in (person, bob)
    ]

    assert set(codes) <= {403, 404}
    assert Membership.objects.get(user=person).role == own


# --- scopes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "reading", "commanding", "writing"),
    [(["read"], 200, 403, 403), (["command"], 403, 201, 403), (["read", "command"], 200, 201, 403)],
)
def test_persons_token_is_narrowed_by_its_scopes(
    north: Platform, alice: User, scopes: list[str], reading: int, commanding: int, writing: int
) -> None:
    make_gateway(north)
    socket = make_socket(north)
    _row, text = tokens.issue(name="t", scopes=scopes, by=alice, user=alice)
    client = token_client(text)

    codes = (
        client.get("/api/v1/devices/").status_code,
        client.post(
            "/api/v1/commands/", {"device": socket.pk, "template": "status"}, headers={"Idempotency-Key": "k"}
        ).status_code,
        client.post("/api/v1/sites/", {"platform": north.pk, "name": "x"}).status_code,
    )

    assert codes == (reading, commanding, writing)


def test_token_has_no_more_than_its_person(north: Platform, bob: User) -> None:
    socket = make_socket(north)
    _row, text = tokens.issue(name="t", scopes=["read", "command"], by=bob, user=bob)

    refused = token_client(text).post(
        "/api/v1/commands/", {"device": socket.pk, "template": "status"}, headers={"Idempotency-Key": "k"}
    )

    assert refused.status_code == 403


@pytest.mark.parametrize("scope", ["scrape", "ingest", "intake", "edge"])
def test_machines_token_is_good_for_its_own_endpoint_only(
    north: Platform, south: Platform, alice: User, scope: str
) -> None:
    own, other = make_exporter(north), make_exporter(south)
    target = make_target(own, make_device(north))
    make_target(other, make_device(south))
    _row, text = tokens.issue(name="t", scopes=[scope], by=alice, platform=north)
    client = token_client(text)

    macs = client.get("/api/v1/exporter-macs/")
    foreign = client.get("/api/v1/exporter-macs/", {"platform": south.pk})
    missing = client.get("/api/v1/exporter-macs/", {"platform": 10**9})
    written = client.post("/api/v1/exporter-macs/", {"exporter": own.pk, "macs": ["02:00:00:00:00:01"]})
    codes = {
        client.get(f"/api/v1/{path}/").status_code for path in ("devices", "platforms", "audit", "tokens")
    }

    assert codes == {401}
    if scope == "edge":
        assert [row["mac"] for row in macs.json()] == [target.external_id]
        assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)
        assert (foreign.status_code, written.status_code) == (400, 403)
    else:
        assert (macs.status_code, written.status_code) == (401, 401)


def test_token_of_a_closed_platform_is_wrong(north: Platform, alice: User) -> None:
    _row, text = tokens.issue(name="t", scopes=["edge"], by=alice, platform=north)
    Platform.objects.filter(pk=north.pk).update(is_active=False)

    assert token_client(text).get("/api/v1/exporter-macs/").status_code == 401


def test_foreign_token_is_neither_seen_nor_revoked(
    api: Call, north: Platform, alice: User, bob: User, charlie: User
) -> None:
    row, _text = tokens.issue(name="t", scopes=["edge"], by=alice, platform=north)

    codes = {api(caller).delete(f"/api/v1/tokens/{row.pk}/").status_code for caller in (charlie, bob)}

    assert codes == {404}
    assert ApiToken.objects.get(pk=row.pk).revoked_at is None


# --- rights that are lost on the way -----------------------------------------------------------------


@pytest.mark.parametrize("loss", ["role", "membership", "dismissed", "share"])
def test_queued_command_of_a_person_who_lost_the_right_is_refused_at_the_barrier(
    api: Call, north: Platform, alice: User, loss: str
) -> None:
    make_gateway(north)
    person = make_user("person", platform=north, role="user")
    socket = make_socket(north, owner=person)
    made = api(person).post(
        "/api/v1/commands/", {"device": socket.pk, "template": "status"}, headers={"Idempotency-Key": "k"}
    )
    command = Command.objects.get(pk=made.data["id"])
    before = refusal_at_barrier(command.pk, now=NOW)

    if loss == "role":
        set_role(user=person, platform=north, role="viewer", by=alice)
    elif loss == "membership":
        set_role(user=person, platform=north, role=None, by=alice)
    elif loss == "dismissed":
        User.objects.filter(pk=person.pk).update(is_active=False)
    else:
        Device.objects.filter(pk=socket.pk).update(owner=alice)

    assert (before, refusal_at_barrier(command.pk, now=NOW)) == (None, "actor_lost_right")


def test_the_rights_of_a_caller_are_read_once_per_request(
    api: Call, alice: User, north: Platform, django_assert_max_num_queries
) -> None:
    for _number in range(3):
        make_socket(north)
    client = api(alice)

    with django_assert_max_num_queries(100) as seen:
        assert client.get("/api/v1/devices/").status_code == 200

    assert sum("platformuserobjectpermission" in query["sql"] for query in seen.captured_queries) == 1
